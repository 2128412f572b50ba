"""Parser for OPTIMADE filters.

Supports comparisons (also with the value first), `HAS`, `HAS ALL`, `HAS ANY`, `HAS ONLY` of elements,
`LENGTH` of elements, `CONTAINS`, `STARTS WITH`, `ENDS WITH`, `IS KNOWN`, `IS UNKNOWN`, `AND`, `OR`, `NOT` and
parentheses. Properties are those of OPTIMADE that NOMAD has, and NOMAD's quantities with `_` for each dot,
with or without `_nmd_`. Not supported: properties joined by `:` (`elements:elements_ratios HAS ...`), and
comparisons of two properties.
"""

import re
from dataclasses import dataclass
from typing import Any

from nomad_dask.testing.quantities import QUANTITIES
from nomad_dask.testing.refused import Refused

NAME = "optimade_filter"
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"""
    r"""|(?P<op><=|>=|!=|[=<>():,])|(?P<word>[A-Za-z_][A-Za-z0-9_.]*))"""
)
_OPS = {"=": "is", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_RENAMED = {"id": "entry_id", "immutable_id": "entry_id", "last_modified": "upload_create_time"}
_OWN = {name.replace(".", "_"): name for name in QUANTITIES if "." not in name or name.startswith("results.")}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the values of a quantity. The operator `known` is true for any value."""

    name: str
    op: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Group:
    """`and` or `or` of the parts, or `not` of a single part."""

    op: str
    parts: "tuple[Node, ...]"


Node = Condition | Group


def parse(text: str) -> Node:
    """Parse a filter. Raises `Refused` 422, in NOMAD's words, if it is invalid or not supported."""
    return _Parser(text).whole()


def _refused(kind: str, what: str) -> Refused:
    message = f"Could not parse optimade filter: {kind} error: {what}"
    return Refused(422, [{"msg": message, "loc": [[NAME]]}])


def _both(*parts: Node) -> Node:
    return parts[0] if len(parts) == 1 else Group("and", parts)


class _Parser:
    """A recursive descent parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise _refused("Syntax", f"unexpected {text[at:].strip()[:20]!r} in {text!r}")
            self._tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            at = found.end()
        self._at = 0

    def whole(self) -> Node:
        node = self._either()
        if self._at < len(self._tokens):
            raise self._unexpected()
        return node

    def _either(self) -> Node:
        parts = [self._all()]
        while self._take("OR"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Group("or", tuple(parts))

    def _all(self) -> Node:
        parts = [self._one()]
        while self._take("AND"):
            parts.append(self._one())
        return _both(*parts)

    def _one(self) -> Node:
        if self._take("NOT"):
            return Group("not", (self._one(),))
        if self._take("("):
            node = self._either()
            self._need(")")
            return node
        kind, _ = self._peek()
        if kind in ("string", "number"):
            value = self._value()
            op = self._operator()
            return _compared(self._property(), _TURNED.get(op, op), value)
        return self._about(self._property())

    def _about(self, name: str) -> Node:
        """Parse what follows a property."""
        if self._take("HAS"):
            for op in ("ALL", "ANY", "ONLY"):
                if self._take(op):
                    return self._has(name, op, self._values())
            return Condition(name, "is", self._value())
        if self._take("LENGTH"):
            op = self._operator() if self._peek()[1] in (*_OPS, "!=") else "="
            return _compared(self._counted(name, "LENGTH"), op, self._value())
        if self._take("IS"):
            if self._take("KNOWN"):
                return Condition(name, "known")
            self._need("UNKNOWN")
            return Group("not", (Condition(name, "known"),))
        for word, op in (("CONTAINS", "contains"), ("STARTS", "starts"), ("ENDS", "ends")):
            if self._take(word):
                self._take("WITH")
                return Condition(name, op, self._value())
        if self._peek()[1] == ":":
            raise _refused(
                "Semantic", f"the embedded archive does not evaluate joined properties: {self._text}"
            )
        return _compared(name, self._operator(), self._value())

    def _has(self, name: str, op: str, values: list[Any]) -> Node:
        each = tuple(Condition(name, "is", value) for value in values)
        if op == "ANY":
            return Group("or", each)
        if op == "ONLY":
            return _both(*each, Condition(self._counted(name, "HAS ONLY"), "is", len(values)))
        return _both(*each)

    def _counted(self, name: str, what: str) -> str:
        """Return the quantity that counts the values of another."""
        if name != "optimade.elements":
            raise _refused("Semantic", f"{what} is not supported by {name.rpartition('.')[2]}")
        return "optimade.nelements"

    def _property(self) -> str:
        kind, word = self._peek()
        if kind != "word":
            raise self._unexpected()
        self._at += 1
        name = _RENAMED.get(word)
        if name is None and f"optimade.{word}" in QUANTITIES:
            name = f"optimade.{word}"
        name = name or _OWN.get(word.removeprefix("_nmd_"))
        if name is None:
            raise _refused("Semantic", f"{word} is not supported")
        return name

    def _operator(self) -> str:
        _, op = self._peek()
        if op not in (*_OPS, "!="):
            raise self._unexpected()
        self._at += 1
        return op

    def _values(self) -> list[Any]:
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        return values

    def _value(self) -> Any:
        kind, text = self._peek()
        if kind == "word" and text not in ("TRUE", "FALSE"):
            raise _refused("Semantic", f"the embedded archive does not compare two properties: {self._text}")
        if kind == "op":
            raise self._unexpected()
        self._at += 1
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "word":
            return text == "TRUE"
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)

    def _peek(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise _refused("Syntax", f"unexpected end of {self._text!r}")
        return self._tokens[self._at]

    def _take(self, word: str) -> bool:
        """Consume the next token if it is this word. True if it was."""
        found = self._at < len(self._tokens) and self._tokens[self._at] in (("word", word), ("op", word))
        self._at += found
        return found

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self._unexpected()

    def _unexpected(self) -> Refused:
        there = repr(self._tokens[self._at][1]) if self._at < len(self._tokens) else "end"
        return _refused("Syntax", f"unexpected {there} in {self._text!r}")


def _compared(name: str, op: str, value: Any) -> Node:
    if op == "!=":
        return Group("not", (Condition(name, "is", value),))
    return Condition(name, _OPS[op], value)
