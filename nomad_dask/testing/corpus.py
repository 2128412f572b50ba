"""Base class of the corpora that the embedded archive serves: entries, documents, archives and users."""

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Json = dict[str, Any]
State = Literal["public", "embargo", "staging", "shared"]

DEFAULT_USERS = {name: f"{name}-pw" for name in ("ada", "bo", "cy", "dee")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the list, with the users who may see it."""

    entry_id: str
    """28 characters of `-0-9A-Z_a-z`."""
    upload_id: str
    """22 characters of the same alphabet."""
    parser_name: str
    state: State = "public"
    """`public`: visible to everyone. `embargo`: published, but visible only to `main_author` and `coauthors`.
    `staging` and `shared`: not published; `shared` has coauthors."""
    main_author: str = "cy"
    coauthors: tuple[str, ...] = ()
    has_archive: bool = True
    """If False, the entry is listed and counted, but never in an archive answer."""
    has_files: bool = True
    """If False, the files of its upload are missing, and an answer with its archive is a 500."""

    def concerns(self, user: str | None) -> bool:
        """True if the user is the author or one of the coauthors."""
        return user is not None and (user == self.main_author or user in self.coauthors)


class Corpus(ABC):
    """The entries that a server serves. Subclasses must define `entries`, `document` and `archive`.

    Entries are addressed by their position in id order, so that a corpus can be computed and need not be in
    memory. The server does not modify returned values.

    Archives that differ only in a few strings and numbers can be served much faster as a *shape*: the server
    renders `template(shape)` once per `required`, and `fill` inserts the values of an entry into the bytes.
    """

    generation: int = 0
    """A corpus that changes increases this number with each change. The server then clears its caches."""

    @property
    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """All entries, sorted by `entry_id` as bytes (the order of `str` too, for this alphabet)."""

    @abstractmethod
    def document(self, i: int) -> Json:
        """Return the search document of entry i, which queries search and `entries/query` returns."""

    @abstractmethod
    def archive(self, i: int) -> Json:
        """Return the whole archive of entry i as JSON, without `m_ref_archives`."""

    def shape(self, i: int) -> Hashable | None:
        """Return the shape of entry i; None if its archive must be rendered individually. Must be fast."""
        return None

    def template(self, shape: Hashable) -> Json:
        """Return the archive that all entries of a shape share, with placeholders where they differ.

        If `required` resolves a reference to another entry, the server uses `archive(i)` instead, so such
        references may contain placeholders.
        """
        raise NotImplementedError(f"{type(self).__name__} has shapes, but no templates")

    def document_template(self, shape: Hashable) -> Json | None:
        """Like `template` for search documents; None to use `document(i)`."""
        return None

    def fill(self, i: int, rendered: bytes) -> bytes:
        """Return the rendered JSON with the placeholders replaced by the values of entry i."""
        return rendered

    def values(self, i: int, name: str) -> list[Any]:
        """Return the values under a dotted name of the document of entry i, with lists flattened.

        The name of a section returns its dicts. Queries call this for every candidate entry: override it if
        documents are slow to make.
        """
        return values_at(self.document(i), name)

    def plugin_values(self, i: int, path: str, schema: str) -> list[Any]:
        """Return the values at a path of the `data` of entry i, if `data` has this schema
        (`plugin.module.Section`)."""
        archive = self.archive(i) if self.entries[i].has_archive else {}
        data = archive.get("data")
        own = isinstance(data, dict) and data.get("m_def") == schema
        return values_at(archive, path) if own else []

    @property
    def quantities(self) -> frozenset[str]:
        """Names that queries and `include` may use besides those of NOMAD's index
        (`quantities.QUANTITIES`)."""
        return frozenset()

    @property
    def users(self) -> Mapping[str, str]:
        """Passwords by user name."""
        return DEFAULT_USERS

    @property
    def schema_json(self) -> bytes | None:
        """The body of `GET schemas/nomad.datamodel.datamodel.EntryArchive`; None for a 404."""
        return None

    @property
    def info(self) -> Json:
        """The body of `GET info`. Servers with different schemas have different commits."""
        commit = hashlib.sha1(self.schema_json or b"", usedforsecurity=False).hexdigest()
        return {"version": "2.0.0", "deployment": "embedded", "oasis": False, "git": {"commit": commit}}

    @cached_property
    def ids(self) -> "Ids":
        """The entry ids, in order."""
        return Ids(self.entries)

    def find(self, entry_id: str) -> int | None:
        """Return the position of an entry, or None. One bisection."""
        i = bisect_left(self.ids, entry_id)
        return i if i < len(self.ids) and self.ids[i] == entry_id else None

    def visible(self, owner: str, user: str | None) -> Sequence[int]:
        """Return the positions of the entries that a request with this `owner` and user searches, in order.

        The default scans all entries; the server caches the result for each owner and user. A corpus with
        computed entries should override it with a sequence that is fast to index and slice, and consistent
        with `belongs`.
        """
        return [i for i, entry in enumerate(self.entries) if belongs(entry, owner, user)]


def belongs(entry: Entry, owner: str, user: str | None) -> bool:
    """True if the entry is among those that `owner` selects for this user."""
    published = entry.state in ("public", "embargo")
    mine = entry.concerns(user)
    match owner:
        case "public":
            return entry.state == "public"
        case "visible":
            return entry.state == "public" or mine
        case "all":
            return published or mine
        case "user":
            return user is not None and entry.main_author == user
        case "shared":
            return mine
        case "staging":
            return not published and mine
        case _:
            return False


def values_at(tree: Any, name: str) -> list[Any]:
    """Return the values under a dotted name, with lists flattened and without nulls."""
    found = [tree]
    for key in name.split("."):
        found = [node[key] for node in _flat(found) if isinstance(node, dict) and key in node]
    return [value for value in _flat(found) if value is not None]


def _flat(values: list[Any]) -> list[Any]:
    while any(isinstance(value, list) for value in values):
        values = [x for value in values for x in (value if isinstance(value, list) else (value,))]
    return values


class Ids(Sequence[str]):
    """A view of the ids of a sequence of entries."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [entry.entry_id for entry in self._entries[i]]
        return self._entries[i].entry_id

    def __iter__(self) -> Iterator[str]:
        return (entry.entry_id for entry in self._entries)
