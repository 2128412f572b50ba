"""Generated archives: a corpus whose entries are computed from a seed, and of which almost nothing is stored.

    generate(2000, seed=1)                   2,000 entries that everybody sees, and 100 private ones
    generate(200_000, kind="small")          archives of about 5 kB; "large": about 100 kB
    generate(500, features={**PLAIN, "no workflow2": 0.1})      one in ten lacks it, nothing else is special

How position i becomes an entry: its id is drawn in one of many equal parts of the id space (`IdSpace`); its
rank among the public or the private ones is scattered over uploads of very different sizes (`Uploads`); a
sequence of low discrepancy over ranks says what is special about it, so that small corpora too keep the
shares; and its archive is one of some hundred templates (`shapes`), filled with values of its own.
"""

from array import array
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache, cached_property, lru_cache
from itertools import islice
from math import gcd
from random import Random
from typing import Any, NamedTuple, overload

import orjson

from nomad_dask.pure.segments import ALPHABET
from nomad_dask.testing import shapes
from nomad_dask.testing.corpus import Corpus, Entry, Ids, Json, State, belongs, values_at
from nomad_dask.testing.shapes import Access, Kind

FEATURES: Mapping[str, float] = {
    shapes.WITHIN: 0.02,
    shapes.OUTSIDE: 0.015,
    shapes.PRIVATE: 0.005,
    shapes.ABSENT: 0.005,
    shapes.UNRESOLVABLE: 0.005,
    shapes.REMOTE: 0.002,
    shapes.NO_WORKFLOW: 0.05,
    shapes.UNUSUAL: 0.025,
    shapes.NOT_FINITE: 0.005,
    shapes.EMPTY: 0.0025,
    shapes.FAILED: 0.005,
    shapes.NO_ARCHIVE: 0.0025,
}
"""What may be special about a public entry, and the share of entries that it is by default."""
PLAIN: Mapping[str, float] = dict.fromkeys(FEATURES, 0.0)
"""The `features` of a corpus in which nothing is special."""

_PEOPLE = {
    "ada": ("Ada Łukasiewicz-öz", "928535fc-aa8f-5a38-a457-73b1b2b2100c"),
    "bo": ("Bo Nakamura", "4775b63e-5bf6-5592-957f-aef8e90729b3"),
    "cy": ("Cy Public", "31e2734c-8178-5296-92d3-0753640093df"),
}
_PRIVATE: tuple[tuple[State, str, tuple[str, ...]], ...] = (
    ("staging", "ada", ()),
    ("embargo", "bo", ()),
    ("shared", "bo", ("ada",)),
    ("embargo", "ada", ()),
    ("staging", "bo", ()),
)
_LEADING = (shapes.WITHIN, shapes.OUTSIDE, shapes.PRIVATE)
N_PROFILES, N_SPECIAL = 240, 16
"""Templates of plain entries, and how many of their profiles the special ones share, to keep shapes few."""
_FULL, _STEP = (1 << 64) - 1, 0x9E3779B97F4A7C15
_ID_BITS = 6 * 28
_IDS, _SPREAD = (1 << _ID_BITS) - 1, int.from_bytes(b"generated id spread..") | 1
_TO_IDS = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", ALPHABET.encode()
)


def generate(
    n_entries: int = 2000,
    *,
    seed: int = 0,
    kind: Kind = "mixed",
    private_share: float = 0.05,
    features: Mapping[str, float] | None = None,
) -> "Generated":
    """A corpus with `n_entries` entries that everybody sees, and as many private ones more as `private_share`
    of them. Equal arguments give equal corpora in any process; to make one of 200,000 costs milliseconds.

    `kind` says how large archives are: `mixed` is skewed like the real ones, 3 to 800 kB with a median of 30;
    `small` is near 5 kB, `large` near 100 kB. `features` changes the shares of `FEATURES` that it names (see
    `PLAIN`). Raises ValueError for a share, a name or a kind that cannot be.
    """
    return Generated(n_entries, seed=seed, kind=kind, private_share=private_share, features=features)


class Generated(Corpus):
    """See `generate`. Beside the corpus: `feature(i)` and `target(i)`, for tests to compare with."""

    def __init__(
        self,
        n_entries: int = 2000,
        *,
        seed: int = 0,
        kind: Kind = "mixed",
        private_share: float = 0.05,
        features: Mapping[str, float] | None = None,
    ) -> None:
        if n_entries < 0:
            raise ValueError(f"n_entries is not negative: {n_entries}")
        if not 0 <= private_share <= 1:
            raise ValueError(f"private_share is between 0 and 1, not {private_share:g}")
        if kind not in ("mixed", "small", "large"):
            raise ValueError(f"kind is mixed, small or large, not {kind!r}")
        self.n_entries, self.seed, self.kind = n_entries, seed, kind
        self._options = {"seed": seed, "kind": kind, "private_share": private_share, "features": features}
        self._names, self._ends = _shares(features)
        n_private = round(n_entries * private_share)
        rng = Random(f"{seed}/corpus")
        self._salts = {
            name: rng.getrandbits(64) for name in ("values", "elements", "features", "targets", "profile")
        }
        n = n_entries + n_private
        self._ids = IdSpace(n, Random(f"{seed}/ids"))
        self._hidden = array("q", _strata(n, n_private, rng))
        self._public = Uploads(n_entries, Random(f"{seed}/public"), _public_upload)
        self._private = Uploads(n_private, Random(f"{seed}/private"), _private_upload)
        self._entries = _Entries(self)
        self._shown = _AllBut(n, self._hidden)
        self.facts = lru_cache(maxsize=1 << 16)(self._make_facts)
        self.profiles = [shapes.profile(seed, kind, j, N_PROFILES) for j in range(N_PROFILES)]
        self._archives: dict[Hashable, bytes] = {}
        self._documents: dict[Hashable, bytes] = {}

    def __reduce__(self) -> Any:
        return _again, (self.n_entries, self._options)

    @property
    def ids(self) -> Ids:
        """The ids in order, without making entries."""
        return self._ids

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries in order; each is made when asked for, those asked for last are kept."""
        return self._entries

    def find(self, entry_id: str) -> int | None:
        """The position of an entry, or None."""
        return self._ids.find(entry_id)

    def visible(self, owner: str, user: str | None) -> Sequence[int]:
        """Positions, computed where most are visible."""
        if owner not in ("public", "visible", "all"):
            return super().visible(owner, user)
        if owner == "public" or (owner == "visible" and user is None):
            return self._shown
        private = (i for i in self._hidden if not belongs(self._entries[i], owner, user))
        return _AllBut(len(self._ids), array("q", private))

    def _make_facts(self, i: int) -> "Facts":
        before = bisect_left(self._hidden, i)
        private = before < len(self._hidden) and self._hidden[before] == i
        uploads, rank = (self._private, before) if private else (self._public, i - before)
        place = uploads.place(rank)
        upload = uploads.at(place)
        feature = None if private else self._feature(i, self._drawn(rank), upload, place)
        access: Access = "coauthored" if upload.state == "public" and upload.coauthors else upload.state
        j = self.hash(i, "profile") % (N_PROFILES if access == "public" and feature is None else N_SPECIAL)
        return Facts((j, access, feature), upload, place)

    def feature(self, i: int) -> str | None:
        """What is special about entry i, in the words of `FEATURES`; None: nothing."""
        return self.facts(i).shape[2]

    def target(self, i: int) -> int | None:
        """The position of the other entry that entry i refers to, if there is one."""
        (_, _, feature), upload, place = self.facts(i)
        return self._target(i, feature, upload, place) if feature in _LEADING else None

    def _drawn(self, rank: int) -> str | None:
        """What is meant to be special about the public entry of this rank."""
        point = (rank * 0x6A09E667F3BCC909 + self._salts["features"] & _FULL) / (1 << 64)
        return self._names[bisect_right(self._ends, point)]

    def _feature(self, i: int, drawn: str | None, upload: "Upload", place: int) -> str | None:
        """What can be special about it: in an upload of one there is no other to refer to."""
        if drawn == shapes.WITHIN and upload.size == 1:
            drawn = shapes.OUTSIDE
        return None if drawn in _LEADING and self._target(i, drawn, upload, place) is None else drawn

    def _target(self, i: int, feature: str | None, upload: "Upload", place: int) -> int | None:
        """An entry with an archive to refer to."""
        draw = self.hash(i, "targets")
        if feature == shapes.PRIVATE:
            return self._hidden[draw % len(self._hidden)] if self._hidden else None
        within, outside = upload.size, self.n_entries - upload.size
        if not (within - 1 if feature == shapes.WITHIN else outside):
            return None
        for k in range(64):
            if feature == shapes.WITHIN:
                at = upload.start + (place - upload.start + 1 + (draw + k) % (within - 1)) % within
            else:
                at = (upload.start + within + (draw + k) % outside) % self.n_entries
            rank = self._public.rank(at)
            has_archive = self._drawn(rank) not in (shapes.EMPTY, shapes.NO_ARCHIVE)
            if at != place and has_archive:
                return self._shown[rank]
        return None

    def hash(self, i: int, salt: str) -> int:
        """64 bits that depend on seed and position only."""
        return _mixed(i * _STEP + self._salts[salt])

    def shape(self, i: int) -> tuple[int, Access, str | None] | None:
        """Profile, access and feature; None where an error of the server would show the template."""
        shape = self.facts(i).shape
        return None if shape[2] == shapes.REMOTE else shape

    def template(self, shape: Hashable) -> Json:
        """The template of a shape, built when first asked for."""
        template: Json = orjson.loads(self._archive_bytes(shape))
        return template

    def _archive_bytes(self, shape: Any) -> bytes:
        if shape not in self._archives:
            j, access, feature = shape
            self._archives[shape] = orjson.dumps(shapes.archive_template(self.profiles[j], access, feature))
        return self._archives[shape]

    def _document_bytes(self, shape: Any) -> bytes:
        if shape not in self._documents:
            j, access, feature = shape
            self._documents[shape] = orjson.dumps(shapes.document_template(self.profiles[j], access, feature))
        return self._documents[shape]

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The rendered JSON with the values of entry i. Bytes that come again are cut apart once."""
        cut = _cut(rendered)
        if not cut.places:
            return rendered
        filled = cut.pieces.copy()
        filled[1::2] = _Values(self, i).listed(cut)
        return b"".join(filled)

    def archive(self, i: int) -> Json:
        """The whole archive of entry i."""
        archive: Json = orjson.loads(self.fill(i, self._archive_bytes(self.facts(i).shape)))
        return archive

    def document(self, i: int) -> Json:
        """The search document of entry i."""
        document: Json = orjson.loads(self.fill(i, self._document_bytes(self.facts(i).shape)))
        return document

    def values(self, i: int, name: str) -> list[Any]:
        """Only what stands under the name is filled in."""
        if name == "entry_id":
            return [self._ids[i]]
        rendered = _found(self._document_bytes(self.facts(i).shape), name)
        values: list[Any] = orjson.loads(self.fill(i, rendered))
        return values

    @cached_property
    def quantities(self) -> frozenset[str]:
        """Names of all that the documents of any corpus hold."""
        names: set[str] = set()
        for kind in ("mixed", "small"):
            for j in range(N_PROFILES):
                profile = shapes.profile(self.seed, kind, j, N_PROFILES)
                names.update(shapes.paths(shapes.document_template(profile, "shared", shapes.UNUSUAL)))
        return frozenset(names | {"publish_time"})


def _shares(features: Mapping[str, float] | None) -> tuple[list[str | None], list[float]]:
    """Names and the ends of their parts of [0, 1)."""
    shares = dict(FEATURES)
    for name, share in (features or {}).items():
        if name not in FEATURES:
            near = get_close_matches(name, FEATURES, 1) or FEATURES
            raise ValueError(f"unknown feature {name!r}; known: {', '.join(near)}")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of {name!r} is between 0 and 1, not {share:g}")
        shares[name] = share
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError("the shares of all features are together above 1")
    ends, end = [], 0.0
    for share in shares.values():
        end += share
        ends.append(end)
    return [*shares, None], ends


def _strata(n: int, k: int, rng: Random) -> Iterator[int]:
    """k of n positions, one from each of k equal parts."""
    for j in range(k):
        low, high = j * n // k, (j + 1) * n // k
        yield low + rng.randrange(high - low)


def _mixed(x: int) -> int:
    """Scatters 64 bits (the finisher of splitmix64)."""
    x = ((x ^ (x & _FULL) >> 30) * 0xBF58476D1CE4E5B9) & _FULL
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _FULL
    return x ^ x >> 31


def _id_of(bits: int, n_bytes: int = 21) -> str:
    """The id that stands at a place of the id space: four letters for three bytes, in byte order."""
    return b64encode(bits.to_bytes(n_bytes)).translate(_TO_IDS).decode()


def _again(n_entries: int, options: Json) -> "Generated":
    """A pickled corpus is its arguments."""
    return Generated(n_entries, **options)


class IdSpace(Ids):
    """Uniformly random ids in order, of which any one costs a part of the space: some 256 ids."""

    def __init__(self, n: int, rng: Random) -> None:
        self._n, self._seed = n, rng.getrandbits(64)
        self._parts = max(1, n // 256)
        self._starts = array("q", self._counted(rng))
        self._part = lru_cache(maxsize=2048)(self._draw)

    def _counted(self, rng: Random) -> Iterator[int]:
        """How many ids lie before each part, as many as random ids would."""
        before, left = 0, self._n
        for parts in range(self._parts, 0, -1):
            yield before
            share = 1 / parts
            drawn = round(rng.gauss(left * share, (left * share * (1 - share)) ** 0.5))
            count = left if parts == 1 else min(max(drawn, 0), left)
            before, left = before + count, left - count
        yield before

    def _draw(self, part: int) -> list[str]:
        low, high = (part << _ID_BITS) // self._parts, ((part + 1) << _ID_BITS) // self._parts
        rng = Random(self._seed + part)
        count = self._starts[part + 1] - self._starts[part]
        return [_id_of(bits) for bits in sorted(rng.randrange(low, high) for _ in range(count))]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(self._n))]
        if not -self._n <= i < self._n:
            raise IndexError(i)
        i %= self._n
        part = bisect_right(self._starts, i) - 1
        return self._part(part)[i - self._starts[part]]

    def __iter__(self) -> Iterator[str]:
        return (entry_id for part in range(self._parts) for entry_id in self._part(part))

    def find(self, entry_id: str) -> int | None:
        """The position of an id, or None. Costs one part."""
        if len(entry_id) != 28 or not all(letter in ALPHABET for letter in entry_id):
            return None
        place = 0
        for letter in entry_id:
            place = place << 6 | ALPHABET.index(letter)
        part = place * self._parts >> _ID_BITS
        for near in (part, part - 1, part + 1):
            if 0 <= near < self._parts:
                ids = self._part(near)
                at = bisect_left(ids, entry_id)
                if at < len(ids) and ids[at] == entry_id:
                    return self._starts[near] + at
        return None


About = tuple[State, str, tuple[str, ...]]


class Upload(NamedTuple):
    """What the entries of an upload share."""

    id: bytes
    state: State
    main_author: str
    coauthors: tuple[str, ...]
    start: int
    """The place of its first entry in the row of all uploads."""
    size: int
    created: int
    """Milliseconds since the first of all uploads could be."""
    texts: dict[str, bytes]


class Facts(NamedTuple):
    """What is computed of an entry first."""

    shape: tuple[int, Access, str | None]
    """Profile, access, feature."""
    upload: Upload
    place: int
    """Its place in the row of all uploads."""


def _public_upload(number: int, draw: int) -> About:
    author = ("cy", "cy", "bo", "ada")[draw & 3]
    return "public", author, ("bo",) if author == "cy" and draw >> 2 & 7 == 0 else ()


def _private_upload(number: int, draw: int) -> About:
    return _PRIVATE[number % len(_PRIVATE)]


class Uploads:
    """Uploads of very different sizes for n entries, over which their ranks are scattered."""

    def __init__(self, n: int, rng: Random, about: Callable[[int, int], About]) -> None:
        self._n, self._salt, self._about = n, rng.getrandbits(64), about
        self.starts = array("q", self._cut(rng))
        self.upload = lru_cache(maxsize=1 << 14)(self._make)
        self._factor = max(1, int(n * 0.6180339887498949))
        while gcd(self._factor, n) > 1:
            self._factor += 1
        self._back = pow(self._factor, -1, n) if n > 1 else 1
        self._shift = rng.randrange(n) if n else 0

    def _cut(self, rng: Random) -> Iterator[int]:
        """A few uploads hold a good part of all entries, most of them a handful."""
        at, most = 0, max(2, self._n // 6)
        while at < self._n:
            yield at
            at += min(most, int((1 - rng.random()) ** -1.25))
        yield self._n

    def place(self, rank: int) -> int:
        """The place of the entry of this rank in the row of all uploads."""
        return (rank * self._factor + self._shift) % self._n

    def rank(self, place: int) -> int:
        """The inverse of `place`."""
        return (place - self._shift) * self._back % self._n

    def at(self, place: int) -> "Upload":
        """The upload at a place."""
        return self.upload(bisect_right(self.starts, place) - 1)

    def _make(self, number: int) -> "Upload":
        draw = _mixed(number * _STEP + self._salt)
        state, author, coauthors = self._about(number, draw >> 3)
        created = (draw >> 8) % (11 * _YEAR)
        upload_id = _id_of(draw << 80 | _mixed(draw + 1) << 16, 18)[:22].encode()
        texts = {
            "upload_id": upload_id,
            "upload_name": f"{('Upload', 'Датасет', '结构 – α/β')[draw % 3]} {number}".encode(),
            "upload_time": _time(created),
            "publish_time": _time(created + 3 * 86_400_000),
        }
        for name, people in (("author", (author,)), ("coauthor", coauthors)):
            for person in people:
                texts[f"{name}_name"], texts[f"{name}_id"] = (text.encode() for text in _PEOPLE[person])
        start = self.starts[number]
        return Upload(
            upload_id, state, author, coauthors, start, self.starts[number + 1] - start, created, texts
        )


class _AllBut(Sequence[int]):
    """The numbers below n without some, in order. Any one costs a bisection."""

    def __init__(self, n: int, without: Sequence[int]) -> None:
        self._n, self._without = n, without

    def __len__(self) -> int:
        return self._n - len(self._without)

    @overload
    def __getitem__(self, k: int) -> int: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[int]: ...
    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            start, stop, step = k.indices(len(self))
            if step != 1:
                return [self[j] for j in range(start, stop, step)]
            return list(islice(self._from(start), max(0, stop - start)))
        if not -len(self) <= k < len(self):
            raise IndexError(k)
        k %= len(self)
        # The numbers left out before the k-th that stays are those with at most k others before them.
        low, high = 0, len(self._without)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._without[middle] - middle <= k else (low, middle)
        return k + low

    def __iter__(self) -> Iterator[int]:
        return self._from(0)

    def _from(self, k: int) -> Iterator[int]:
        at = self[k] if k < len(self) else self._n
        for hidden in islice(self._without, at - k, None):
            yield from range(at, hidden)
            at = hidden + 1
        yield from range(at, self._n)


class _Entries(Sequence[Entry]):
    """The entries of a generated corpus."""

    def __init__(self, corpus: Generated) -> None:
        self._corpus, self._n = corpus, len(corpus.ids)
        self._made = lru_cache(maxsize=1 << 16)(self._make)

    def __len__(self) -> int:
        return self._n

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
        corpus = self._corpus
        (j, _, feature), upload, _ = corpus.facts(i)
        return Entry(
            entry_id=corpus.ids[i],
            upload_id=upload.id.decode(),
            parser_name=corpus.profiles[j].parser_name,
            state=upload.state,
            main_author=upload.main_author,
            coauthors=upload.coauthors,
            has_archive=feature != shapes.NO_ARCHIVE,
        )


Element = tuple[str, int, float, int]
_ELEMENTS: tuple[Element, ...] = tuple(
    (symbol, int(number), float(mass) * 1.66053906660e-27, int(weight))
    for symbol, number, mass, weight in (
        entry.split()
        for entry in [
            "Cs 55 132.905 2",
            "K 19 39.098 2",
            "Na 11 22.990 4",
            "Li 3 6.941 4",
            "Ba 56 137.327 3",
            "Sr 38 87.62 3",
            "Ca 20 40.078 3",
            "La 57 138.905 2",
            "Y 39 88.906 1",
            "Mg 12 24.305 4",
            "Zr 40 91.224 2",
            "Ti 22 47.867 8",
            "V 23 50.942 2",
            "W 74 183.84 2",
            "Mo 42 95.96 3",
            "Cr 24 51.996 2",
            "Mn 25 54.938 3",
            "Fe 26 55.845 5",
            "Co 27 58.933 3",
            "Ni 28 58.693 4",
            "Rh 45 102.906 2",
            "Pd 46 106.42 2",
            "Pt 78 195.084 2",
            "Cu 29 63.546 5",
            "Ag 47 107.868 3",
            "Au 79 196.967 3",
            "Zn 30 65.38 4",
            "Cd 48 112.411 1",
            "Al 13 26.982 5",
            "Ga 31 69.723 4",
            "In 49 114.818 2",
            "Si 14 28.086 7",
            "Ge 32 72.64 3",
            "Sn 50 118.71 2",
            "Pb 82 207.2 1",
            "B 5 10.811 3",
            "P 15 30.974 2",
            "As 33 74.922 3",
            "Sb 51 121.76 1",
            "Te 52 127.6 1",
            "Se 34 78.96 2",
            "C 6 12.011 8",
            "S 16 32.065 4",
            "N 7 14.007 6",
            "H 1 1.008 8",
            "I 53 126.904 1",
            "Br 35 79.904 1",
            "Cl 17 35.453 3",
            "F 9 18.998 3",
            "O 8 15.999 18",
        ]
    )
)
"""Symbol, number, mass in kg, and how often it is drawn; in the order of the elements of a IUPAC formula."""
_IUPAC = {element[0]: k for k, element in enumerate(_ELEMENTS)}
_DRAWN = tuple(element for element in _ELEMENTS for _ in range(element[3]))
_BEGIN = date(2014, 1, 1)
_YEAR = 365 * 86_400_000
_OF_METADATA = frozenset(
    [
        "upload_id",
        "upload_name",
        "upload_time",
        "publish_time",
        "entry_id",
        "entry_time",
        "processing_time",
        "serial",
        "entry_hash",
        "author_name",
        "author_id",
        "coauthor_name",
        "coauthor_id",
    ]
)


class Cut(NamedTuple):
    """A rendered template taken apart: what each placeholder asks for, sorted by how it is made."""

    pieces: list[bytes]
    """What stands between placeholders, each followed by room for a value."""
    energies: list[float]
    """Factors of the entry's energy."""
    per_atom: list[float]
    """The same, of its energy per atom."""
    slots: list[int]
    """Other numbers."""
    names: list[str]
    places: list[int]
    """For each placeholder, which one of these in a row."""


@lru_cache(maxsize=4096)
def _cut(rendered: bytes) -> Cut:
    parts = shapes.TOKEN.split(rendered)
    keys: list[Any] = [name.decode() or int(number) for name, number in _placeholders(parts)]
    pieces = [b""] * (2 * len(keys) + 1)
    pieces[::2] = parts[::3]
    names = sorted({key for key in keys if isinstance(key, str)})
    slots = sorted({key for key in keys if isinstance(key, int)})
    total = [key for key in slots if key < shapes.PER_ATOM]
    per_atom = [key for key in slots if shapes.PER_ATOM <= key < shapes.FREE]
    free = [key for key in slots if shapes.FREE <= key < shapes.ATOMIC_NUMBER]
    others = [key for key in slots if key >= shapes.ATOMIC_NUMBER]
    place = {key: k for k, key in enumerate([*total, *free, *per_atom, *others, *names])}
    return Cut(
        pieces,
        [_fall(key) for key in total] + [1.0001 * _fall(key - shapes.FREE) for key in free],
        [_fall(key - shapes.PER_ATOM) for key in per_atom],
        others,
        names,
        [place[key] for key in keys],
    )


def _placeholders(parts: list[Any]) -> Iterator[tuple[bytes, bytes]]:
    return ((name or b"", number or b"") for name, number in zip(parts[1::3], parts[2::3], strict=True))


def _fall(k: int) -> float:
    """The energy falls from one calculation to the next."""
    return float(1 + 1e-3 * (1 - 0.8**k))


@lru_cache(maxsize=4096)
def _found(document: bytes, name: str) -> bytes:
    """What a document's template holds under a name."""
    return orjson.dumps(values_at(orjson.loads(document), name))


class _Values:
    """The values of one entry as JSON, texts without their quotes."""

    def __init__(self, corpus: Generated, i: int) -> None:
        self._corpus, self._i = corpus, i
        self._facts = corpus.facts(i)
        self._profile = corpus.profiles[self._facts.shape[0]]
        self._draw = corpus.hash(i, "values")
        self._elements: list[Element] = []

    def listed(self, cut: Cut) -> list[bytes]:
        """What goes into the room of each placeholder."""
        energy = -1e-18 * 10 ** (4 * (self._draw & 0xFFFFFFFF) / (1 << 32))
        numbers: list[float] = [energy * factor for factor in cut.energies]
        if cut.per_atom:
            each = energy / self._profile.n_atoms
            numbers += [each * factor for factor in cut.per_atom]
        if cut.slots:
            others = self._others(energy)
            numbers += [others[slot] for slot in cut.slots]
        # All numbers at once: one by one they would cost more than the rest together.
        row = orjson.dumps(numbers)[1:-1].split(b",") if numbers else []
        if cut.names:
            texts: dict[str, bytes] = {}
            for name in cut.names:
                if name not in texts:
                    texts |= self._texts(name)
                row.append(texts[name])
        return [row[place] for place in cut.places]

    def _texts(self, name: str) -> dict[str, bytes]:
        """The text of this name and those that come with it."""
        if name in _OF_METADATA:
            return self._metadata()
        return self._target() if name.startswith("target") else self._formulas()

    def _drawn(self) -> list[Element]:
        """As many different elements as the profile has, by symbol."""
        if not self._elements:
            drawn: dict[str, Element] = {}
            draw = self._corpus.hash(self._i, "elements")
            while len(drawn) < len(self._profile.counts):
                element = _DRAWN[draw % len(_DRAWN)]
                drawn[element[0]] = element
                draw = _mixed(draw + _STEP)
            self._elements = [drawn[symbol] for symbol in sorted(drawn)]
        return self._elements

    def _part(self, shift: int) -> float:
        """A number of [0, 1) that belongs to the entry."""
        return (self._draw >> shift & 0xFFFF) / 65536

    def _others(self, energy: float) -> dict[int, float]:
        p, elements = self._profile, self._drawn()
        masses = [n * element[2] for n, element in zip(p.counts, elements, strict=True)]
        mass = sum(masses)
        edge = (3.0 + 3.0 * self._part(32)) * 1e-10
        last = p.n_calculations - 1
        others = {
            shapes.FERMI: (self._part(40) - 0.2) * 2e-18,
            shapes.EDGE: edge,
            shapes.VOLUME: edge**3,
            shapes.ATOMIC_DENSITY: p.n_atoms / edge**3,
            shapes.MASS_DENSITY: mass * p.units / edge**3,
            shapes.GAP: self._part(44) * 1.2e-18,
            shapes.DIFFERENCE: abs(energy * _fall(last) - energy * _fall(last - 1)) if last else 0.0,
        }
        for k, element in enumerate(elements):
            others[shapes.ATOMIC_NUMBER + k] = element[1]
            others[shapes.MASS + k] = element[2]
            others[shapes.MASS_FRACTION + k] = masses[k] / mass
        return others

    def _formulas(self) -> dict[str, bytes]:
        p, elements = self._profile, self._drawn()
        texts = {f"s{k}": element[0].encode() for k, element in enumerate(elements)}
        draw = self._facts.shape[0]
        for element in elements:
            draw = _mixed(draw * 128 + element[1])
        counts = {element[0]: n for element, n in zip(elements, p.counts, strict=True)}
        first = [symbol for symbol in ("C", "H") if symbol in counts] if "C" in counts else []
        return texts | {
            "material_id": _hashed_id(draw),
            "iupac": _formula(sorted(counts, key=_IUPAC.__getitem__), counts, 1),
            "hill": _formula(first + [symbol for symbol in counts if symbol not in first], counts, p.units),
        }

    def _target(self) -> dict[str, bytes]:
        j = self._corpus.target(self._i)
        if j is None:
            absent = _hashed_id(self._corpus.hash(self._i, "targets"))
            return {"target_entry": absent, "target_upload": self._facts.upload.id}
        upload_id = self._corpus.facts(j).upload.id
        return {"target_entry": self._corpus.ids[j].encode(), "target_upload": upload_id}

    def _metadata(self) -> dict[str, bytes]:
        upload, place = self._facts.upload, self._facts.place
        created = upload.created + 156 + 1072 * (place - upload.start)
        return upload.texts | {
            "entry_id": self._corpus.ids[self._i].encode(),
            "serial": b"%05d" % (place - upload.start),
            "entry_hash": _hashed_id(self._draw),
            "entry_time": _time(created),
            "processing_time": _time(created + 120_000 + int(self._part(48) * 3 * _YEAR)),
        }


def _formula(symbols: list[str], counts: dict[str, int], units: int) -> bytes:
    numbers = (counts[symbol] * units for symbol in symbols)
    return "".join(f"{s}{n}" if n > 1 else s for s, n in zip(symbols, numbers, strict=True)).encode()


def _hashed_id(draw: int) -> bytes:
    """An id that a hash gives, of nothing that is there."""
    return _id_of(draw * _SPREAD & _IDS).encode()


def _time(milliseconds: int) -> bytes:
    """A time as the server writes it."""
    days, rest = divmod(milliseconds, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return b"%bT%02d:%02d:%02d.%03d000+00:00" % (_day(days), hours, minutes, rest // 1000, rest % 1000)


@cache
def _day(days: int) -> bytes:
    return (_BEGIN + timedelta(days=days)).isoformat().encode()
