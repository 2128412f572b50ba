"""What the embedded archive serves: entries in id order, their documents and archives, and the users."""

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
    """One row of the entry list, and who may see it."""

    entry_id: str
    """28 characters of `-0-9A-Z_a-z`."""
    upload_id: str
    """22 characters of the same alphabet."""
    parser_name: str
    state: State = "public"
    """`public` is for everyone. `embargo` is published, but only `main_author` and `coauthors` may see it;
    `staging` and `shared` are not published, the latter has coauthors."""
    main_author: str = "cy"
    coauthors: tuple[str, ...] = ()
    has_archive: bool = True
    """False: listed and counted, but never in an archive answer."""
    has_files: bool = True
    """False: its upload's files are gone, and an answer that would hold its archive is a 500."""

    def concerns(self, user: str | None) -> bool:
        """Whether the user is its author or one of its coauthors."""
        return user is not None and (user == self.main_author or user in self.coauthors)


class Corpus(ABC):
    """The entries that a server serves. Subclasses give entries, documents, archives; the rest has defaults.

    Everything is asked for by the position of the entry in id order, so a corpus may be computed and never be
    in memory as a whole. What is returned belongs to the corpus: the server does not change it.

    Archives that differ in a few strings and numbers only can be served much faster as a *shape*: the server
    renders `template(shape)` once per `required`, and `fill` puts the entry's own values into the bytes.
    """

    generation: int = 0
    """A corpus that changes counts it up with each change: what the server has kept of it is forgotten then."""

    @property
    @abstractmethod
    def entries(self) -> Sequence[Entry]:
        """All entries, sorted by `entry_id` (as bytes, which for this alphabet is also how `str` sorts)."""

    @abstractmethod
    def document(self, i: int) -> Json:
        """The search document of entry i: what `entries/query` returns whole and what queries search."""

    @abstractmethod
    def archive(self, i: int) -> Json:
        """The whole archive of entry i as a JSON tree, without `m_ref_archives`."""

    def shape(self, i: int) -> Hashable | None:
        """The shape of entry i; None where its archive must be rendered for itself. Must be cheap."""
        return None

    def template(self, shape: Hashable) -> Json:
        """The archive that all entries of a shape share, with placeholders where they differ.

        Where `required` resolves a reference of it that leads to another entry, the server does not use the
        template but `archive(i)`, so such references may hold placeholders too.
        """
        raise NotImplementedError(f"{type(self).__name__} names shapes and has no templates")

    def document_template(self, shape: Hashable) -> Json | None:
        """The same for search documents; None: they are served from `document(i)`."""
        return None

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The rendered JSON with the placeholders replaced by the values of entry i."""
        return rendered

    def values(self, i: int, name: str) -> list[Any]:
        """What entry i has under a dotted name of its document, lists on the way flattened.

        Queries compare these, for every entry in question: override it where a document is costly to make.
        A name of a section gives its dicts.
        """
        return values_at(self.document(i), name)

    @property
    @abstractmethod
    def quantities(self) -> frozenset[str]:
        """Dotted names of the leaves and sections that a query or an `include` may name."""

    @property
    def users(self) -> Mapping[str, str]:
        """The password of each user."""
        return DEFAULT_USERS

    @property
    def schema_json(self) -> bytes | None:
        """The body of `GET schemas/nomad.datamodel.datamodel.EntryArchive`; None: the server answers 404."""
        return None

    @property
    def info(self) -> Json:
        """The body of `GET info`."""
        return {"version": "2.0.0", "deployment": "embedded", "oasis": False}

    @cached_property
    def ids(self) -> "Ids":
        """The entry ids in order, as a sequence that can be bisected."""
        return Ids(self.entries)

    def find(self, entry_id: str) -> int | None:
        """The position of an entry, or None. Costs one bisection."""
        i = bisect_left(self.ids, entry_id)
        return i if i < len(self.ids) and self.ids[i] == entry_id else None

    def visible(self, owner: str, user: str | None) -> Sequence[int]:
        """Positions, in order, of what a request with this `owner` by this user searches.

        The default scans the entries, once per owner and user (the server keeps the answer). A corpus whose
        entries are computed should override it, with any sequence that is quickly indexed and sliced and that
        agrees with `belongs`.
        """
        return [i for i, entry in enumerate(self.entries) if belongs(entry, owner, user)]


def belongs(entry: Entry, owner: str, user: str | None) -> bool:
    """Whether an entry is among those that `owner` means for this user (nomad_api: Login)."""
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
    """The values under a dotted name, lists on the way and at the end flattened; nulls are no values."""
    found = [tree]
    for key in name.split("."):
        found = [node[key] for node in _flat(found) if isinstance(node, dict) and key in node]
    return [value for value in _flat(found) if value is not None]


def _flat(values: list[Any]) -> list[Any]:
    while any(isinstance(value, list) for value in values):
        values = [x for value in values for x in (value if isinstance(value, list) else (value,))]
    return values


class Ids(Sequence[str]):
    """The ids of a sequence of entries, without a copy of them."""

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
