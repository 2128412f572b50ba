"""A server's schema as a tree to browse and search: `ArchiveQuery.schema`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import shorten, wrap
from typing import Any

from nomad_dask.common import paths
from nomad_dask.errors import UserError
from nomad_dask.metainfo import browse
from nomad_dask.metainfo.browse import About
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.text import hint, one_line
from nomad_dask.text.html import Html, rows_card, tag

_WIDE = 110
"""Maximum line length of the repr."""
_MAX_LINES = 60
"""Maximum number of paths shown."""


class SchemaTree:
    """A section or quantity of a server's schema, and everything below it.

    ``schema.results.material`` and ``schema["results.material"]`` go down the tree; an error for an unknown
    name suggests similar ones. Repeating sections accept an index or a slice, as in `required`:
    ``schema.run[-1].calculation[-1].energy``. References are followed like sections.

    - ``list(schema.results)``, ``"material" in schema.results`` and Tab use the names of the children.
    - ``schema.find("band gap")`` searches names and descriptions below this path.
    - ``schema.results.material.about`` is its type, unit, description and more (`About`); ``inside()``
      returns the same for each child.
    - ``schema.results.material.required`` is the tree that requests it, for ``ArchiveQuery(required=...)``.

    Use ``schema["find"]`` for a child whose name is one of these attributes. Browsing sends no requests.
    """

    __slots__ = ("_definitions", "_keys")

    def __init__(self, definitions: Definitions, keys: tuple[str, ...] = ()) -> None:
        self._definitions, self._keys = definitions, keys

    @property
    def about(self) -> About:
        """Type, unit, description and more of this path."""
        found = browse.about(self._definitions, self._keys)
        assert found is not None
        return found

    def inside(self) -> tuple[About, ...]:
        """Describe each child; references are followed."""
        return browse.inside(self._definitions, self._keys)

    @property
    def required(self) -> Any:
        """The `required` tree that requests this path and everything below it; `'*'` at the top."""
        return self.about.required

    def find(self, words: str) -> SearchResults:
        """Find paths below with all words in their names or descriptions, best matches first.

        Takes about 0.1 s for the whole of NOMAD's schema and sends no request. References are not followed.
        """
        return SearchResults(
            browse.search(self._definitions, words, self._keys), f"with {words!r} below {self._path}"
        )

    def __getattr__(self, name: str) -> SchemaTree:
        # Python and notebooks look up many names that start with an underscore; no schema has one.
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
            raise UserError(f"{self._path} is not a repeating section, so [{key!r}] cannot be used")
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
        head = [one_line(about.title), *wrap(one_line(about.description or ""), _WIDE)]
        required = [one_line(self._required_text)] if about.path else []
        return "\n".join([*head, *required, *_lines(self.inside(), lambda one: one.name)])

    def _repr_html_(self) -> str:
        about = self.about
        facts = (about.description, self._required_text if about.path else "")
        lines = [tag("div", fact) for fact in facts if fact]
        return tag("div", tag("b", about.title), lines, _table(self.inside(), lambda one: one.name))

    @property
    def _required_text(self) -> str:
        return f"required={self.required}"

    @property
    def _path(self) -> str:
        return self.about.path or "the archive"

    def _below(self, keys: tuple[str, ...]) -> SchemaTree:
        path = (*self._keys, *keys)
        if browse.about(self._definitions, path) is None:
            near = browse.suggest(self._definitions, path)
            suggestion = hint(paths.join(path), near, browse.describe_parent(self._definitions, path))
            raise UserError(f"the server's schema has no {paths.join(path)!r}{suggestion}")
        return SchemaTree(self._definitions, path)


class SearchResults(Sequence[About]):
    """Results of `SchemaTree.find`: a sequence of `About`, shown as a table."""

    def __init__(self, found: Sequence[About], description: str) -> None:
        self._found, self._description = tuple(found), description

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        found = self._found[index]
        return SearchResults(found, self._description) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return "\n".join([one_line(self.title), *_lines(self._found, lambda one: one.path)])

    def _repr_html_(self) -> str:
        return tag("div", tag("b", self.title), _table(self._found, lambda one: one.path))

    @property
    def title(self) -> str:
        """The number of results and the search."""
        return f"{len(self)} {'path' if len(self) == 1 else 'paths'} {self._description}"


def _slice(key: Any) -> str:
    if isinstance(key, slice) and key.step is None:
        begin, end = ("" if bound is None else str(int(bound)) for bound in (key.start, key.stop))
        return f"{begin}:{end}"
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise UserError(f"a schema key must be a name, an integer or a slice without step (got {key!r})")


def _lines(found: Sequence[About], name: Any) -> list[str]:
    """One line per item: name, type, unit and the first sentence of the description."""
    shown = found[:_MAX_LINES]
    widths = [
        max((len(text) for text in column), default=0)
        for column in zip(*map(_cells(name), shown), strict=True)
    ]
    lines = []
    for cells in map(_cells(name), shown):
        row = "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=False))
        left = max(20, _WIDE - len(row))
        lines.append(f"{row}  {shorten(cells[3], left, placeholder=' ...')}".rstrip())
    return lines + ([f"  ... and {len(found) - _MAX_LINES} more"] if len(found) > _MAX_LINES else [])


def _cells(name: Any) -> Any:
    return lambda one: tuple(map(one_line, (name(one), one.kind, one.unit or "", one.summary)))


def _table(found: Sequence[About], name: Any) -> Html | None:
    if not found:
        return None
    heads = ("name", "type", "unit", "description")
    return rows_card("", heads, [*map(_cells(name), found)], max_rows=_MAX_LINES, last=0, of="path")
