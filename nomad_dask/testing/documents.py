"""Selection of parts of search documents by `include` and `exclude`."""

import re
from dataclasses import dataclass
from typing import Any

from nomad_dask.testing.quantities import Quantities
from nomad_dask.testing.refused import invalid, unknown_quantity

Json = dict[str, Any]
_EMPTY: tuple[Any, ...] = ([], {})


@dataclass(frozen=True)
class Projection:
    """A checked `required` of `entries/query`."""

    given: Json | None
    include: tuple[str, ...] | None
    exclude: tuple[str, ...]

    @classmethod
    def parse(cls, required: Any, quantities: Quantities) -> "Projection":
        """Parse `required`.

        Raises `Refused` 422 for names that are neither quantities nor patterns with `*`.
        """
        if required is None:
            return cls(None, None, ())
        if not isinstance(required, dict):
            raise invalid("dict_type", ["body", "required"], "Input should be a valid dictionary", required)
        for key in ("include", "exclude"):
            names = required.get(key)
            if names is not None and not isinstance(names, list):
                raise invalid("list_type", ["body", "required", key], "Input should be a valid list", names)
            for name in names or ():
                if not isinstance(name, str) or ("*" not in name and name not in quantities):
                    raise unknown_quantity(str(name), ["required"])
        include, exclude = required.get("include"), required.get("exclude")
        if include is not None and "entry_id" not in include:
            include = [*include, "entry_id"]
            required = {**required, "include": include}
        return cls(required, None if include is None else tuple(include), tuple(exclude or ()))

    @property
    def ids_only(self) -> bool:
        """True if the ids and parser names of entries are enough."""
        names = self.include
        return names is not None and not self.exclude and {*names} <= {"entry_id", "upload_id", "parser_name"}

    def of(self, document: Json) -> Json:
        """Return the selected part of a document. A selection leaves out empty lists and dicts."""
        if self.include is not None:
            document = _included(document, _Names.of(self.include), "")
        if self.exclude:
            document = _excluded(document, _Names.of(self.exclude), "")
        return document


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of quantities and sections, and patterns."""

    plain: frozenset[str]
    above: frozenset[str]
    """The sections that contain the plain names."""
    patterns: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, names: tuple[str, ...]) -> "_Names":
        plain = frozenset(name for name in names if "*" not in name)
        above = frozenset(name[:at] for name in plain for at, letter in enumerate(name) if letter == ".")
        patterns = (re.escape(name).replace(r"\*", ".*") for name in names if "*" in name)
        return cls(plain, above, tuple(map(re.compile, patterns)))

    def hold(self, name: str, value: Any) -> bool:
        """True if the value under a name is selected, with everything below it.

        A pattern matches sections and quantities at the top: `results.material*`. As recorded from the real
        server, it does not match quantities below the top, such as `results.material.elements*`.
        """
        if name in self.plain:
            return True
        section, _, _ = name.rpartition(".")
        known = name if not section or _is_section(value) else f"{section}."
        return any(pattern.fullmatch(known) for pattern in self.patterns)

    def reach(self, name: str) -> bool:
        """True if something below a name may be selected."""
        return name in self.above or bool(self.patterns)


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(x, dict) for x in value))


def _included(node: Any, names: _Names, above: str) -> Any:
    if isinstance(node, list):
        return [part for part in (_included(x, names, above) for x in node) if part not in _EMPTY]
    if not isinstance(node, dict):
        return {}
    result = {}
    for key, child in node.items():
        name = above + key
        part: Any = {}
        if names.hold(name, child):
            part = child
        elif names.reach(name) and _is_section(child):
            part = _included(child, names, f"{name}.")
        if part not in _EMPTY:
            result[key] = part
    return result


def _excluded(node: Any, names: _Names, above: str) -> Any:
    if isinstance(node, list):
        return [_excluded(x, names, above) for x in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, child in node.items():
        name = above + key
        if not names.hold(name, child):
            part = _excluded(child, names, f"{name}.") if names.reach(name) else child
            if part not in _EMPTY:
                result[key] = part
    return result
