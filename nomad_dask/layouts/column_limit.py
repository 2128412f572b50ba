"""The limit on the number of columns, and the choice of the columns to keep.

Names known to `required` or to the server's schema come first, then the names with values in the most
archives. Ties are broken by name, with numbers compared by value. A map with a million keys thus neither
fails nor gives a million columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from nomad_dask.common import paths
from nomad_dask.limits import MOST_COLUMNS
from nomad_dask.metainfo.definitions import Definitions, plain_keys
from nomad_dask.request.required import Required

__all__ = ["MOST_COLUMNS", "ColumnLimit", "left_out_message"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ColumnLimit:
    """Maximum number of columns in a table, and which columns to keep."""

    required: Required
    definitions: Definitions | None = None
    max_columns: int | None = MOST_COLUMNS
    """None: no limit."""

    def allows(self, n: int) -> bool:
        """True if a table may have n columns."""
        return self.max_columns is None or n <= self.max_columns

    def choose(self, filled: Mapping[_T, int], name: Callable[[_T], str]) -> set[_T]:
        """The columns to keep. `filled` counts the values of each column; `name` returns its full name."""
        is_known = self.known_name_test()

        def order(column: _T) -> tuple[bool, int, str]:
            full_name = name(column)
            return not is_known(full_name), -filled[column], _natural_key(full_name)

        return set(sorted(filled, key=order)[: self.max_columns])

    def known_name_test(self) -> Callable[[str], bool]:
        """A function that is true for names in `required` or in the server's schema.

        The names of a section are looked up once: each further name in it costs one dict access.
        """
        required_keys = {plain_keys(path) for path in self.required.paths}
        sections: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}

        def is_known(name: str) -> bool:
            section, _, last = name.rpartition(".")
            if "\\" in name:
                *keys, last = paths.split(name)
                section = paths.join(keys) if keys else ""
            found = sections.get(section)
            if found is None:
                section_keys = plain_keys(section) if section else ()
                found = sections[section] = self._known(section_keys), section_keys
            names, section_keys = found
            return (
                last in names
                or (section_keys if last.isdecimal() else (*section_keys, last)) in required_keys
            )

        return is_known

    def _known(self, keys: tuple[str, ...]) -> frozenset[str]:
        """The names that the server's schema has below keys."""
        if self.definitions is None:
            return frozenset()
        known = self.definitions.known(keys)
        return known | self.definitions.known(("metadata", *keys)) if self.required.documents else known


def _natural_key(name: str) -> str:
    """Sort key of a name that compares its numbers by value."""
    return _NUMBER.sub(lambda match: match[0].zfill(12), name)


_NUMBER = re.compile(r"\d+")


def left_out_message(table: str, kept: int, left_out: int) -> str:
    """The warning about columns that are left out. `table` is a required path, or empty for the only
    table."""
    prefix = f"{table}: " if table else ""
    return (
        f"{prefix}{kept + left_out:,} columns; the {kept:,} filled most often are kept, "
        "the values of the others are in _more; "
        "give columns their types with schema=, or raise max_columns= (--max-columns), to keep more"
    )
