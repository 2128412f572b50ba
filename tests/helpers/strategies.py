"""Archives and required trees as hypothesis draws them, and how often a property is tried.

Each is read off a few drawn bytes: a draw for every key and value would cost more than all that a property
checks.
A byte of nought is the simplest choice, so hypothesis still finds a small archive that fails.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from nomad_dask.request.required import IN_PLACE, Required, parse

Row = dict[str, Any]
Test = TypeVar("Test", bound=Callable[..., Any])


def fuzzed(n_in_gate: int) -> Callable[[Test], Test]:
    """Marks a property for `make fuzz`, which tries it 20,000 times; the gate tries it `n_in_gate` times."""
    is_gate = settings().max_examples <= 100
    n = n_in_gate if is_gate else 20_000
    return lambda test: pytest.mark.fuzz(settings(max_examples=n)(test))


USUAL = ("a", "a", "a", "b", "b", "c.d", "0", "é")
"""Keys that archives and required trees share: one to escape, one that may be taken for a section's
number.
"""
OWN = ("entry_id", "upload_id", "_more", "m_def", "m_ref_archives", "resolve-inplace", "a_2", "entry_id_2")
"""Names that tables, servers or required trees have themselves."""
ODD = ("", "1", "a[0]", "b[0:2]", "*", "\\", "\\.", ".", "a b", "e\u0301", "中文", "🙂", "\n", "\0", '"')

PLAIN = (None, 1, "a", 0.5, True, False, 0, -0.0, "", "1", "é")
LARGE = (2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, -(10**400), 1e300, 5e-324)
ALIKE = ((0.5, -0.0, 1e300), (0, 1, 2**53 + 1), ("a", "é", ""), (True, False), (0.5, 1, None), (1, "a"))
"""What the cells of one list hold."""


class Choices:
    """Choices read off bytes, the first of each when no bytes are left."""

    def __init__(self, drawn: bytes) -> None:
        self._left = iter(drawn)

    def number(self, below: int) -> int:
        """One of up to 256 numbers."""
        return next(self._left, 0) % below

    def of(self, options: Sequence[Any]) -> Any:
        """One of up to 256 things."""
        return options[self.number(len(options))]

    def bytes(self, n: int) -> bytes:
        """Some bytes as they are."""
        return bytes(self.number(256) for _ in range(n))


def any_text(choose: Choices) -> str:
    """Up to three characters of all that UTF-8 knows, mostly of the first 256."""
    codes = (int.from_bytes(choose.bytes(choose.of((1, 1, 3)))) % 0x110000 for _ in range(choose.number(4)))
    return "".join(map(chr, codes)).encode(errors="replace").decode()


def _is_free(choose: Choices) -> bool:
    """Once in sixteen times."""
    return choose.number(16) == 15


def any_number(choose: Choices) -> int | float:
    """An integer of up to 16 bytes, or a float of any bits."""
    if choose.number(2):
        return int.from_bytes(choose.bytes(choose.number(17)), signed=True)
    (value,) = struct.unpack("<d", choose.bytes(8))
    return value if math.isfinite(value) else 0.0


@dataclass(frozen=True)
class Archives:
    """How archives are read off bytes: sections, lists of sections, of anything, of one kind of cell, empty
    ones too.

    One key and one scalar in sixteen are any text or number at all.
    """

    names: Sequence[str] = USUAL * 6 + OWN + ODD
    scalars: Sequence[Any] = PLAIN * 4 + LARGE + ODD
    depth: int = 4

    def rows(self, drawn: Sequence[bytes]) -> list[Row]:
        """Archives, of which half are as the one before, but for a few things in them."""
        rows: list[Row] = []
        for choose in map(Choices, drawn):
            is_new = not rows or not choose.number(2)
            rows.append(self.archive(choose) if is_new else self._changed(choose, rows[-1]))
        return rows

    def archive(self, choose: Choices) -> Row:
        """One archive."""
        return {self._name(choose): self._value(choose, self.depth) for _ in range(choose.number(6))}

    def _changed(self, choose: Choices, archive: Row) -> Row:
        for _ in range(choose.number(4)):
            if archive:
                key = choose.of([*archive])
                archive = archive | {key: self._other(choose, archive[key], self.depth)}
        return archive

    def _other(self, choose: Choices, value: Any, depth: int) -> Any:
        """The same value but for one thing in it, or another one."""
        if not depth or not value or type(value) not in (dict, list) or not choose.number(3):
            return self._value(choose, depth)
        if type(value) is dict:
            key = choose.of([*value])
            return value | {key: self._other(choose, value[key], depth - 1)}
        number = choose.number(len(value))
        return [*value[:number], self._other(choose, value[number], depth - 1), *value[number + 1 :]]

    def _name(self, choose: Choices) -> str:
        return any_text(choose) if _is_free(choose) else choose.of(self.names)

    def _scalar(self, choose: Choices) -> Any:
        if _is_free(choose):
            return choose.of((any_number, any_text))(choose)
        return choose.of(self.scalars)

    def _value(self, choose: Choices, depth: int) -> Any:
        kind = choose.number(24) if depth else 0
        if kind < 8:
            return self._scalar(choose)
        if kind < 12:
            return self._section(choose, depth - 1)
        if kind < 18:
            return [self._section(choose, depth - 1) for _ in range(choose.number(4))]
        if kind < 20:
            return [self._value(choose, depth - 1) for _ in range(choose.number(4))]
        if kind < 23:
            return self._cells(choose, choose.of(ALIKE), choose.number(3))
        return self._deep(choose)

    def _section(self, choose: Choices, depth: int) -> Row:
        return {self._name(choose): self._value(choose, depth) for _ in range(choose.number(4))}

    def _cells(self, choose: Choices, alike: Sequence[Any], depth: int) -> list[Any]:
        below = range(choose.number(4))
        return [self._cells(choose, alike, depth - 1) if depth else choose.of(alike) for _ in below]

    def _deep(self, choose: Choices) -> Any:
        """A value below up to 40 sections and lists."""
        value = self._scalar(choose)
        for _ in range(choose.number(41)):
            value = {self._name(choose): value} if choose.number(2) else [value]
        return value


_some_bytes = st.binary(min_size=64, max_size=256)


def rows_of(grammar: Archives) -> st.SearchStrategy[list[Row]]:
    """Up to five archives that are read off bytes in this way."""
    return st.lists(_some_bytes, max_size=5).map(grammar.rows)


many = rows_of(Archives())

KEYS = USUAL * 2 + ("*", "*", "*", "a[-1]", "b[0:2]", "entry_id", "_more", "m_ref_archives", "🙂", "\\")
LEAVES = ("*", "*", "*", "*", "include", "include-resolved", "exclude")


def tree_of(choose: Choices, archives: Sequence[Row] = ()) -> Any:
    """A required tree up to four keys deep; three in four of its keys are the archives' own."""
    if not choose.number(8):
        return choose.of(("*", "include", "include-resolved", {}))
    return _tree(choose, 1 + choose.number(4), archives, depth=3)


def _tree(choose: Choices, most: int, sections: Sequence[Row], *, depth: int) -> Row:
    tree: Row = {}
    own = [key for section in sections for key in section if _may_be_required(key)][:256]
    for _ in range(most):
        key = choose.of(own) if own and choose.number(4) else choose.of(KEYS)
        plain = key.partition("[")[0]
        # No two keys may name the same list.
        if plain in (other.partition("[")[0] for other in tree):
            continue
        below = [inner for section in sections for inner in _sections_in(section.get(plain))]
        if depth and choose.number(5 if below else 3) >= 2:
            tree[key] = _tree(choose, choose.number(4), below, depth=depth - 1)
        else:
            tree[key] = choose.of(LEAVES)
    return tree


def _may_be_required(key: str) -> bool:
    return key not in ("", IN_PLACE) and not {"[", "]"} & set(key)


def _sections_in(value: Any) -> list[Row]:
    items = value if type(value) is list else [value]
    return [item for item in items if type(item) is dict]


requireds = _some_bytes.map(Choices).map(tree_of).map(parse)
some = st.integers(0, 2**5 - 1)


def with_gaps(rows: list[Row], gaps: int) -> list[Row | None]:
    """The rows, but for some that have no archive: those of the bits of a number."""
    return [None if gaps >> number & 1 else row for number, row in enumerate(rows)]


many_with_gaps = st.builds(with_gaps, many, some)


class Case(NamedTuple):
    """What a property of the layouts is tried on."""

    rows: list[Row]
    """Up to five archives."""
    sample: list[Row]
    """Those of them that the schema is inferred from: none, some, all."""
    required: Required
    gaps: int
    """In its bits, which rows are to be entries without archive."""
    cuts: tuple[int, ...]
    """Where to cut the rows into parts, from 0 to their number, sorted; some are twice there."""


def _case(drawn: list[bytes]) -> Case:
    rows = Archives().rows(drawn[1:])
    choose = Choices(drawn[0])
    sample = choose.number(32)
    gaps = choose.number(32) & choose.number(32)
    cuts = sorted(choose.number(len(rows) + 1) for _ in range(choose.number(4)))
    chosen = [row for number, row in enumerate(rows) if sample >> number & 1]
    return Case(rows, chosen, parse(tree_of(choose, rows)), gaps, tuple(cuts))


# One list of draws, all of one kind: where hypothesis shuffles unlike draws, those that do not fit become the
# simplest.
cases = st.lists(_some_bytes, min_size=1, max_size=6).map(_case)
