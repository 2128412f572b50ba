"""Generated archives: a corpus whose entries are computed from a seed and not stored.

    generate(2000, seed=1)                   2,000 public entries, and 100 private ones
    generate(200_000, kind="small")          archives of about 5 kB; "large": about 100 kB
    generate(500, features={**PLAIN, "no workflow2": 0.1})      one entry in ten lacks `workflow2`

Entry i is computed as follows. Its id is drawn in one of many equal parts of the id space (`IdSpace`). Its
rank among the public or the private entries is scattered over uploads of very different sizes (`Uploads`). A
low-discrepancy sequence over ranks selects its feature, so that small corpora also have the right fractions
(`Population`). Its archive is one of about a hundred templates, filled with its own values (`Values`).
"""

from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any

import orjson

from nomad_dask.testing.corpus import Corpus, Entry, Ids, Json, belongs, values_at
from nomad_dask.testing.generated.archives import archive_template, quantities
from nomad_dask.testing.generated.documents import document_template, searched_template
from nomad_dask.testing.generated.entries import Entries
from nomad_dask.testing.generated.features import FEATURES, PLAIN, REMOTE
from nomad_dask.testing.generated.ids import IdSpace
from nomad_dask.testing.generated.population import Population, Shape
from nomad_dask.testing.generated.positions import AllBut
from nomad_dask.testing.generated.profiles import N_PROFILES, Kind, profile
from nomad_dask.testing.generated.schema import schema_json
from nomad_dask.testing.generated.values import Values

__all__ = ["FEATURES", "PLAIN", "Generated", "Kind", "generate"]


def generate(
    n_entries: int = 2000,
    *,
    seed: int = 0,
    kind: Kind = "mixed",
    private_share: float = 0.05,
    features: Mapping[str, float] | None = None,
) -> "Generated":
    """Return a corpus of generated entries. Equal arguments give equal corpora in any process.

    The entries are computed when needed; a corpus of 200,000 takes milliseconds.

    Parameters
    ----------
    n_entries : int, default 2000
        Number of public entries.
    seed : int, default 0
        Seed of all random choices.
    kind : {"mixed", "small", "large", "results"}, default "mixed"
        Size of the archives: "mixed" is skewed like real ones, 3 to 800 kB with a median of 30 kB; "small" is
        about 5 kB, "large" about 100 kB, "results" about 25 kB with 5 kB of `results`.
    private_share : float, default 0.05
        Number of private entries, as a fraction of `n_entries`.
    features : mapping of str to float, optional
        Fractions of entries with special features, which replace those of `FEATURES`. `PLAIN` sets all of
        them to 0.

    Returns
    -------
    Generated
        The corpus.

    Raises
    ------
    ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from nomad_dask.testing.generate import generate
    >>> len(generate(2000).entries)
    2100
    """
    return Generated(n_entries, seed=seed, kind=kind, private_share=private_share, features=features)


class Generated(Corpus):
    """The corpus that `generate` returns. `feature(i)` and `target(i)` are for tests."""

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
            raise ValueError(f"n_entries must not be negative (got {n_entries})")
        if not 0 <= private_share <= 1:
            raise ValueError(f"private_share must be between 0 and 1, not {private_share:g}")
        if kind not in ("mixed", "small", "large", "results"):
            raise ValueError(f"kind must be mixed, small, large or results, not {kind!r}")
        self.n_entries, self.seed, self.kind = n_entries, seed, kind
        self._options = {"seed": seed, "kind": kind, "private_share": private_share, "features": features}
        n_private = round(n_entries * private_share)
        self._population = Population(n_entries, n_private, seed=seed, features=features)
        self._ids = IdSpace(n_entries + n_private, Random(f"{seed}/ids"))
        self._profiles = [profile(seed, kind, j) for j in range(N_PROFILES)]
        self._entries = Entries(self._population, self._ids, self._profiles)
        self._values = Values(self._population, self._ids, self._profiles)
        self._archives = _Templates(self._profiles, archive_template)
        self._documents = _Templates(self._profiles, document_template)
        self._searched = _Templates(self._profiles, searched_template)

    def __reduce__(self) -> Any:
        return _unpickled, (self.n_entries, self._options)

    @property
    def ids(self) -> Ids:
        """The ids in order. Does not compute entries."""
        return self._ids

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries in order. Computed on access; the last ones are cached."""
        return self._entries

    def find(self, entry_id: str) -> int | None:
        """See `Corpus`."""
        return self._ids.find(entry_id)

    def visible(self, owner: str, user: str | None) -> Sequence[int]:
        """See `Corpus`. The positions are computed if most entries are visible."""
        if owner not in ("public", "visible", "all"):
            return super().visible(owner, user)
        people = self._population
        if owner == "public" or (owner == "visible" and user is None):
            return people.shown
        private = (i for i in people.hidden if not belongs(self._entries[i], owner, user))
        return AllBut(people.n, array("q", private))

    def feature(self, i: int) -> str | None:
        """Return the name in `FEATURES` of the feature of entry i, or None."""
        return self._population.facts(i).shape[2]

    def target(self, i: int) -> int | None:
        """Return the position of the entry that entry i refers to, or None."""
        return self._population.target(i)

    def shape(self, i: int) -> Shape | None:
        """Return profile, access and feature; None if an error message of the server would show the
        template."""
        shape = self._shape(i)
        return None if shape[2] == REMOTE else shape

    def _shape(self, i: int) -> Shape:
        return self._population.facts(i).shape

    def template(self, shape: Hashable) -> Json:
        """See `Corpus`."""
        template: Json = orjson.loads(self._archives[shape])
        return template

    def document_template(self, shape: Hashable) -> Json:
        """See `Corpus`."""
        template: Json = orjson.loads(self._documents[shape])
        return template

    def fill(self, i: int, rendered: bytes) -> bytes:
        """See `Corpus`. Takes some microseconds."""
        return self._values.fill(i, rendered)

    def archive(self, i: int) -> Json:
        """See `Corpus`."""
        archive: Json = orjson.loads(self.fill(i, self._archives[self._shape(i)]))
        return archive

    def document(self, i: int) -> Json:
        """See `Corpus`."""
        document: Json = orjson.loads(self.fill(i, self._documents[self._shape(i)]))
        return document

    def values(self, i: int, name: str) -> list[Any]:
        """See `Corpus`. Fills only the part of the template under the name."""
        if name == "entry_id":
            return [self._ids[i]]
        j, _, feature = shape = self._shape(i)
        if name in ("quantities", "n_quantities"):
            names = quantities(self._profiles[j], feature)
            return list(names) if name == "quantities" else [len(names)]
        rendered = _found(self._searched[shape], name)
        values: list[Any] = orjson.loads(self.fill(i, rendered))
        return values

    @property
    def schema_json(self) -> bytes:
        """The schema of all generated archives."""
        return schema_json()


class _Templates(dict[Any, bytes]):
    """Rendered templates by shape, built on first access."""

    def __init__(self, profiles: Sequence[Any], build: Callable[..., Json]) -> None:
        self._profiles, self._build = profiles, build

    def __missing__(self, shape: Shape) -> bytes:
        j, access, feature = shape
        self[shape] = orjson.dumps(self._build(self._profiles[j], access, feature))
        return self[shape]


@lru_cache(maxsize=4096)
def _found(document: bytes, name: str) -> bytes:
    """Return the values under a name of a document's template, as JSON."""
    return orjson.dumps(values_at(orjson.loads(document), name))


def _unpickled(n_entries: int, options: Json) -> Generated:
    """Return the corpus of a pickle, which holds only the arguments."""
    return Generated(n_entries, **options)
