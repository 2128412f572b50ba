"""The entries of a generated corpus, as a sequence computed on access."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, overload

from nomad_dask.testing.corpus import Entry
from nomad_dask.testing.generated.features import NO_ARCHIVE, NO_FILES
from nomad_dask.testing.generated.ids import IdSpace
from nomad_dask.testing.generated.population import Population
from nomad_dask.testing.generated.profiles import Profile


class Entries(Sequence[Entry]):
    """The entries in id order. The last ones are cached."""

    def __init__(self, population: Population, ids: IdSpace, profiles: Sequence[Profile]) -> None:
        self._population, self._ids, self._profiles = population, ids, profiles
        self._made = lru_cache(maxsize=1 << 16)(self._make)

    def __len__(self) -> int:
        return self._population.n

    @overload
    def __getitem__(self, i: int) -> Entry: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Entry]: ...
    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self._made(k) for k in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        return self._made(i % len(self))

    def _make(self, i: int) -> Entry:
        (j, _, feature), upload, _ = self._population.facts(i)
        return Entry(
            entry_id=self._ids[i],
            upload_id=upload.id.decode(),
            parser_name=self._profiles[j].parser_name,
            state=upload.state,
            main_author=upload.main_author,
            coauthors=upload.coauthors,
            has_archive=feature != NO_ARCHIVE,
            has_files=feature != NO_FILES,
        )
