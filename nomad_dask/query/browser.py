"""Owns `query.schema`: a server's schema as a tree that one walks, completes with Tab, searches, and looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten, wrap
from typing import Any

from ..pure import browse, paths
from ..pure.browse import About
from ..pure.cards import rows_card
from ..pure.errors import UserError
from ..pure.near import hint
from ..pure.page.markup import Html, tag
from ..pure.sections import Definitions

_WIDE = 110
"""Characters of a line of `repr`."""
_MOST = 60
"""Places that are shown of many."""


class SchemaTree:
    """A place in a server's schema, and all that is below it.

    ``schema.results.material`` and ``schema["results.material"]`` are places below; a name that is there no more than
    misspelt is an error that names the near ones. Sections that repeat may be taken by number or slice, as `required`
    has it: ``schema.run[-1].calculation[-1].energy``. References are walked through like sections.

    - ``list(schema.results)``, ``"material" in schema.results``, Tab: the names of what may be inside.
    - ``schema.find("band gap")``: the places below that have these words in their names or descriptions.
    - ``schema.results.material.about``: type, unit, description and more, as a plain value (`About`); ``inside()``: the
      same of each place right below.
    - ``schema.results.material.required``: the tree that asks for it, for ``ArchiveQuery(required=...)``.

    A name that is also one of these is had by item: ``schema["find"]``. Walking reads only what is walked over;
    nothing is asked of the server any more.
    """

    __slots__ = ("_definitions", "_keys")

    def __init__(self, definitions: Definitions, keys: tuple[str, ...] = ()) -> None:
        self._definitions, self._keys = definitions, keys

    @property
    def about(self) -> About:
        """What the schema says of this place."""
        found = browse.about(self._definitions, self._keys)
        assert found is not None
        return found

    def inside(self) -> tuple[About, ...]:
        """What the schema says of each place right below, references followed: as plain values."""
        return browse.inside(self._definitions, self._keys)

    @property
    def required(self) -> Any:
        """The tree that asks for this place and all below it; `'*'` at the top."""
        return self.about.required

    def find(self, words: str) -> Found:
        """The places below that have all the words in their names or descriptions, the likeliest first.

        Costs a tenth of a second for the whole of NOMAD's schema, and no request. References are not walked through.
        """
        return Found(
            browse.search(self._definitions, words, self._keys), f"with {words!r} below {self._place}"
        )

    def __getattr__(self, name: str) -> SchemaTree:
        # Python's and the notebooks' protocols ask for many names with underscores; no schema has one.
        if name.startswith("_"):
            raise AttributeError(f"'SchemaTree' object has no attribute {name!r}")
        try:
            return self._below((name,))
        except UserError as error:
            raise AttributeError(str(error)) from None

    def __getitem__(self, key: str | int | slice) -> SchemaTree:
        if isinstance(key, str):
            return self._below(tuple(k for k in paths.split(key) if not k.isdecimal()))
        if not self._keys or not self.about.repeats or self._keys[-1].endswith("]"):
            raise UserError(f"{self._place} is no list of sections, so it has no {key!r}")
        return SchemaTree(self._definitions, (*self._keys[:-1], f"{self._keys[-1]}[{_slice(key)}]"))

    def __iter__(self) -> Iterator[str]:
        return iter([found.name for found in self.inside()])

    def __len__(self) -> int:
        return len(self.inside())

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __dir__(self) -> list[str]:
        return sorted({"about", "find", "inside", "required", *filter(str.isidentifier, self)})

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        about = self.about
        lines = [about.title, *wrap(about.description or "", _WIDE), *([self._asked] if about.path else [])]
        return "\n".join([*lines, *_lines(self.inside(), lambda one: one.name)])

    def _repr_html_(self) -> str:
        about = self.about
        told = [tag("div", fact) for fact in (about.description, self._asked if about.path else "") if fact]
        return tag("div", tag("b", about.title), told, _table(self.inside(), lambda one: one.name))

    @property
    def _asked(self) -> str:
        return f"required={self.required}"

    @property
    def _place(self) -> str:
        return self.about.path or "the archive"

    def _below(self, keys: tuple[str, ...]) -> SchemaTree:
        whole = (*self._keys, *keys)
        if browse.about(self._definitions, whole) is None:
            said = hint(browse.meant(self._definitions, whole), browse.there(self._definitions, whole))
            raise UserError(f"the server's schema knows no {paths.join(whole)!r}{said}")
        return SchemaTree(self._definitions, whole)


class Found(Sequence[About]):
    """What a search found: a sequence of `About`, shown as a table."""

    def __init__(self, found: Sequence[About], what: str) -> None:
        self._found, self._what = tuple(found), what

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        found = self._found[index]
        return Found(found, self._what) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return "\n".join([self.title, *_lines(self._found, lambda one: one.path)])

    def _repr_html_(self) -> str:
        return tag("div", tag("b", self.title), _table(self._found, lambda one: one.path))

    @property
    def title(self) -> str:
        """How many there are, and of what."""
        return f"{len(self)} {'place' if len(self) == 1 else 'places'} {self._what}"


def _slice(key: Any) -> str:
    if isinstance(key, slice) and key.step is None:
        begin, end = ("" if bound is None else str(int(bound)) for bound in (key.start, key.stop))
        return f"{begin}:{end}"
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise UserError(f"a place in the schema is had by name, number or slice without step, not by {key!r}")


def _lines(found: Sequence[About], name: Any) -> list[str]:
    """A line for each place: its name, what it is, unit, the first sentence of the description."""
    shown = found[:_MOST]
    widths = [
        max((len(text) for text in column), default=0)
        for column in zip(*map(_cells(name), shown), strict=True)
    ]
    lines = []
    for cells in map(_cells(name), shown):
        row = "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=False))
        left = max(20, _WIDE - len(row))
        lines.append(f"{row}  {shorten(cells[3], left, placeholder=' ...')}".rstrip())
    return lines + ([f"  ... and {len(found) - _MOST} more"] if len(found) > _MOST else [])


def _cells(name: Any) -> Any:
    return lambda one: (name(one), one.kind, one.unit or "", one.summary)


def _table(found: Sequence[About], name: Any) -> Html | None:
    if not found:
        return None
    heads = ("name", "type", "unit", "description")
    return rows_card("", heads, [*map(_cells(name), found)], most=_MOST, last=0, of="place")
