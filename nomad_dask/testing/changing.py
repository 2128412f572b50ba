"""A corpus that changes while it is served: entries appear, are published or processed again, and are withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nomad_dask.testing.corpus import Corpus, Entry, Ids, Json, values_at

Edit = Callable[[Json], Json]
"""What becomes of an archive when it is processed again; also of its search document. May change what it is given."""
_NOW = "now"


class Changing(Corpus):
    """Another corpus, changed step by step. Each change is whole at once for the server that serves it:

        archive = Changing(generate(500), absent=ids[:20])
        with serve(archive) as url:
            archive.appear(ids[:20])
            archive.reprocess(ids[30:35], lambda tree: {**tree, "results": {}})
            archive.withdraw(ids[40:])

    Times move as the server moves them (`entry_create_time`, `last_processing_time`, `publish_time`), to `at` (ISO 8601)
    or to now. Ids that the corpus does not have are a KeyError.
    """

    def __init__(self, corpus: Corpus, absent: Iterable[str] = ()) -> None:
        self._corpus = corpus
        self._absent = {entry_id: self._position(entry_id) for entry_id in absent}
        self._edits: dict[str, tuple[Edit, ...]] = {}
        self._told: dict[str, Json] = {}
        """What documents and the `metadata` of archives say otherwise than the corpus."""
        self._states: dict[str, Entry] = {}
        self._shown: tuple[list[int], list[Entry]] = ([], [])
        self._changed()

    def appear(self, ids: Iterable[str], *, at: str = _NOW, stamped: bool = True) -> None:
        """Entries that were absent are there; `stamped` False: with the times that they have (as if index were late)."""
        for entry_id in ids:
            del self._absent[entry_id]
            if stamped:
                self._tell(entry_id, at, "entry_create_time", "last_processing_time", "publish_time")
        self._changed()

    def withdraw(self, ids: Iterable[str]) -> None:
        """Entries are there no more."""
        self._absent |= {entry_id: self._position(entry_id) for entry_id in ids}
        self._changed()

    def reprocess(self, ids: Iterable[str], edit: Edit = lambda tree: tree, *, at: str = _NOW) -> None:
        """Entries are processed again, and their archives become what `edit` makes of them."""
        for entry_id in ids:
            self._edits[entry_id] = (*self._edits.get(entry_id, ()), edit)
            self._tell(entry_id, at, "last_processing_time")
        self._changed()

    def publish(self, ids: Iterable[str], *, at: str = _NOW) -> None:
        """Private entries are public."""
        for entry_id in ids:
            self._states[entry_id] = replace(self._entry(entry_id), state="public")
            self._tell(entry_id, at, "publish_time")
            self._told[entry_id] |= {"published": True, "with_embargo": False}
        self._changed()

    def lift_embargo(self, ids: Iterable[str]) -> None:
        """Entries under embargo are public; none of their times moves."""
        for entry_id in ids:
            self._states[entry_id] = replace(self._entry(entry_id), state="public")
            self._told.setdefault(entry_id, {})["with_embargo"] = False
        self._changed()

    @property
    def entries(self) -> Sequence[Entry]:
        """Those that are there now."""
        return self._shown[1]

    @property
    def ids(self) -> Ids:
        """Of those that are there now."""
        return Ids(self._shown[1])

    def document(self, i: int) -> Json:
        """As the corpus has it, with the changes."""
        entry_id = self.entries[i].entry_id
        tree = self._edited(entry_id, self._corpus.document(self._shown[0][i]))
        return {**tree, **self._told.get(entry_id, {})}

    def archive(self, i: int) -> Json:
        """As the corpus has it, with the changes."""
        entry_id = self.entries[i].entry_id
        tree = self._edited(entry_id, self._corpus.archive(self._shown[0][i]))
        told = self._told.get(entry_id)
        return {**tree, "metadata": {**tree["metadata"], **told}} if told and "metadata" in tree else tree

    def shape(self, i: int) -> Hashable | None:
        """None for what was changed."""
        if self.entries[i].entry_id in self._told:
            return None
        return self._corpus.shape(self._shown[0][i])

    def template(self, shape: Hashable) -> Json:
        """The corpus's."""
        return self._corpus.template(shape)

    def document_template(self, shape: Hashable) -> Json | None:
        """The corpus's."""
        return self._corpus.document_template(shape)

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The corpus's."""
        return self._corpus.fill(self._shown[0][i], rendered)

    def values(self, i: int, name: str) -> list[Any]:
        """What queries compare, with the changes."""
        if self.entries[i].entry_id in self._told:
            return values_at(self.document(i), name)
        return self._corpus.values(self._shown[0][i], name)

    @property
    def quantities(self) -> frozenset[str]:
        """The corpus's."""
        return self._corpus.quantities

    @property
    def users(self) -> Mapping[str, str]:
        """The corpus's."""
        return self._corpus.users

    @property
    def schema_json(self) -> bytes | None:
        """The corpus's."""
        return self._corpus.schema_json

    @property
    def info(self) -> Json:
        """The corpus's."""
        return self._corpus.info

    def _position(self, entry_id: str) -> int:
        i = self._corpus.find(entry_id)
        if i is None:
            raise KeyError(entry_id)
        return i

    def _entry(self, entry_id: str) -> Entry:
        return self._states.get(entry_id) or self._corpus.entries[self._position(entry_id)]

    def _edited(self, entry_id: str, tree: Json) -> Json:
        for edit in self._edits.get(entry_id, ()):
            tree = edit(tree)
        return tree

    def _tell(self, entry_id: str, at: str, *names: str) -> None:
        time = datetime.now(UTC).isoformat() if at == _NOW else at
        state = self._entry(entry_id).state
        told = {name: time for name in names if name != "publish_time" or state in ("public", "embargo")}
        self._told[entry_id] = {**self._told.get(entry_id, {}), **told}

    def _changed(self) -> None:
        gone = set(self._absent.values())
        places = [i for i in range(len(self._corpus.entries)) if i not in gone]
        rows = (self._corpus.entries[i] for i in places)
        self._shown = places, [self._states.get(entry.entry_id, entry) for entry in rows]
        self.generation += 1
