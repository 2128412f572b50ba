"""A corpus that can be changed while it is served."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nomad_dask.testing.corpus import Corpus, Entry, Ids, Json, values_at

Edit = Callable[[Json], Json]
"""A function that returns the reprocessed archive or search document. It may modify its argument."""
_NOW = "now"


class Changing(Corpus):
    """A wrapper of another corpus whose entries can appear, be published, be reprocessed, and be withdrawn:

        archive = Changing(generate(500), absent=ids[:20])
        with serve(archive) as url:
            archive.appear(ids[:20])
            archive.reprocess(ids[30:35], lambda tree: {**tree, "results": {}})
            archive.withdraw(ids[40:])

    Each call takes effect at once. Timestamps are updated as the server does (`entry_create_time`,
    `last_processing_time`, `publish_time`), to `at` (ISO 8601) or the current time. Unknown ids raise
    KeyError.
    """

    def __init__(self, corpus: Corpus, absent: Iterable[str] = ()) -> None:
        self._corpus = corpus
        self._absent = {entry_id: self._position(entry_id) for entry_id in absent}
        self._edits: dict[str, tuple[Edit, ...]] = {}
        self._metadata: dict[str, Json] = {}
        """Changed values of documents and of the `metadata` of archives, by id."""
        self._states: dict[str, Entry] = {}
        self._shown: tuple[list[int], list[Entry]] = ([], [])
        self._changed()

    def appear(self, ids: Iterable[str], *, at: str = _NOW, stamped: bool = True) -> None:
        """Add absent entries. With `stamped=False`, their timestamps stay, as if the index were late."""
        for entry_id in ids:
            del self._absent[entry_id]
            if stamped:
                self._set_times(entry_id, at, "entry_create_time", "last_processing_time", "publish_time")
        self._changed()

    def withdraw(self, ids: Iterable[str]) -> None:
        """Remove entries."""
        self._absent |= {entry_id: self._position(entry_id) for entry_id in ids}
        self._changed()

    def reprocess(self, ids: Iterable[str], edit: Edit = lambda tree: tree, *, at: str = _NOW) -> None:
        """Process entries again, with `edit` applied to their archives and documents."""
        for entry_id in ids:
            self._edits[entry_id] = (*self._edits.get(entry_id, ()), edit)
            self._set_times(entry_id, at, "last_processing_time")
        self._changed()

    def publish(self, ids: Iterable[str], *, at: str = _NOW) -> None:
        """Make private entries public."""
        for entry_id in ids:
            self._states[entry_id] = replace(self._entry(entry_id), state="public")
            self._set_times(entry_id, at, "publish_time")
            self._metadata[entry_id] |= {"published": True, "with_embargo": False}
        self._changed()

    def lift_embargo(self, ids: Iterable[str]) -> None:
        """Make entries under embargo public. Their timestamps stay."""
        for entry_id in ids:
            self._states[entry_id] = replace(self._entry(entry_id), state="public")
            self._metadata.setdefault(entry_id, {})["with_embargo"] = False
        self._changed()

    @property
    def entries(self) -> Sequence[Entry]:
        """See `Corpus`."""
        return self._shown[1]

    @property
    def ids(self) -> Ids:
        """See `Corpus`."""
        return Ids(self._shown[1])

    def document(self, i: int) -> Json:
        """See `Corpus`."""
        entry_id = self.entries[i].entry_id
        tree = self._edited(entry_id, self._corpus.document(self._shown[0][i]))
        return {**tree, **self._metadata.get(entry_id, {})}

    def archive(self, i: int) -> Json:
        """See `Corpus`."""
        entry_id = self.entries[i].entry_id
        tree = self._edited(entry_id, self._corpus.archive(self._shown[0][i]))
        changed = self._metadata.get(entry_id)
        if not changed or "metadata" not in tree:
            return tree
        return {**tree, "metadata": {**tree["metadata"], **changed}}

    def shape(self, i: int) -> Hashable | None:
        """Return None for changed entries."""
        if self.entries[i].entry_id in self._metadata:
            return None
        return self._corpus.shape(self._shown[0][i])

    def template(self, shape: Hashable) -> Json:
        """See `Corpus`."""
        return self._corpus.template(shape)

    def document_template(self, shape: Hashable) -> Json | None:
        """See `Corpus`."""
        return self._corpus.document_template(shape)

    def fill(self, i: int, rendered: bytes) -> bytes:
        """See `Corpus`."""
        return self._corpus.fill(self._shown[0][i], rendered)

    def values(self, i: int, name: str) -> list[Any]:
        """See `Corpus`."""
        if self.entries[i].entry_id in self._metadata:
            return values_at(self.document(i), name)
        return self._corpus.values(self._shown[0][i], name)

    @property
    def quantities(self) -> frozenset[str]:
        """See `Corpus`."""
        return self._corpus.quantities

    @property
    def users(self) -> Mapping[str, str]:
        """See `Corpus`."""
        return self._corpus.users

    @property
    def schema_json(self) -> bytes | None:
        """See `Corpus`."""
        return self._corpus.schema_json

    @property
    def info(self) -> Json:
        """See `Corpus`."""
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

    def _set_times(self, entry_id: str, at: str, *names: str) -> None:
        time = datetime.now(UTC).isoformat() if at == _NOW else at
        state = self._entry(entry_id).state
        times = {name: time for name in names if name != "publish_time" or state in ("public", "embargo")}
        self._metadata[entry_id] = {**self._metadata.get(entry_id, {}), **times}

    def _changed(self) -> None:
        absent = set(self._absent.values())
        positions = [i for i in range(len(self._corpus.entries)) if i not in absent]
        entries = (self._corpus.entries[i] for i in positions)
        self._shown = positions, [self._states.get(entry.entry_id, entry) for entry in entries]
        self.generation += 1
