"""Generated archives: a corpus whose entries are computed from a seed, and of which almost nothing is stored.

    generate(2000, seed=1)                   2,000 entries that everybody sees, and 100 private ones
    generate(200_000, kind="small")          archives of about 5 kB; "large": about 100 kB
    generate(500, features={**PLAIN, "no workflow2": 0.1})      one in ten lacks it, nothing else is special

How position i becomes an entry: its id is drawn in one of many equal parts of the id space (`IdSpace`); its
rank among the public or the private ones is scattered over uploads of very different sizes (`Uploads`); a
sequence of low discrepancy over ranks says what is special about it, so that small corpora too keep the
shares (`Population`); and its archive is one of some hundred templates, filled with values of its own
(`Values`).
"""

from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property, lru_cache
from random import Random
from typing import Any

import orjson

from nomad_dask.testing.corpus import Corpus, Entry, Ids, Json, belongs, values_at
from nomad_dask.testing.generated.archives import archive_template, paths, quantities
from nomad_dask.testing.generated.documents import document_template, searched_template
from nomad_dask.testing.generated.entries import Entries
from nomad_dask.testing.generated.features import FEATURES, PLAIN, REMOTE, UNUSUAL
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
    """A corpus with `n_entries` entries that everybody sees, and as many private ones more as `private_share`
    of them. Equal arguments give equal corpora in any process; to make one of 200,000 costs milliseconds.

    `kind` says how large archives are: `mixed` is skewed like the real ones, 3 to 800 kB with a median of 30;
    `small` is near 5 kB, `large` near 100 kB, `results` near 25 kB with `results` alone near 5 kB. `features` changes the shares of `FEATURES` that it names (see
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
        if kind not in ("mixed", "small", "large", "results"):
            raise ValueError(f"kind is mixed, small, large or results, not {kind!r}")
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
        people = self._population
        if owner == "public" or (owner == "visible" and user is None):
            return people.shown
        private = (i for i in people.hidden if not belongs(self._entries[i], owner, user))
        return AllBut(people.n, array("q", private))

    def feature(self, i: int) -> str | None:
        """What is special about entry i, in the words of `FEATURES`; None: nothing."""
        return self._population.facts(i).shape[2]

    def target(self, i: int) -> int | None:
        """The position of the other entry that entry i refers to, if there is one."""
        return self._population.target(i)

    def shape(self, i: int) -> Shape | None:
        """Profile, access and feature; None where an error of the server would show the template."""
        shape = self._shape(i)
        return None if shape[2] == REMOTE else shape

    def _shape(self, i: int) -> Shape:
        return self._population.facts(i).shape

    def template(self, shape: Hashable) -> Json:
        """The template of a shape, built when first asked for."""
        template: Json = orjson.loads(self._archives[shape])
        return template

    def document_template(self, shape: Hashable) -> Json:
        """The same for search documents."""
        template: Json = orjson.loads(self._documents[shape])
        return template

    def fill(self, i: int, rendered: bytes) -> bytes:
        """The rendered JSON with the values of entry i; some microseconds (see `Values`)."""
        return self._values.fill(i, rendered)

    def archive(self, i: int) -> Json:
        """The whole archive of entry i."""
        archive: Json = orjson.loads(self.fill(i, self._archives[self._shape(i)]))
        return archive

    def document(self, i: int) -> Json:
        """The search document of entry i."""
        document: Json = orjson.loads(self.fill(i, self._documents[self._shape(i)]))
        return document

    def values(self, i: int, name: str) -> list[Any]:
        """Only what stands under the name is filled in."""
        if name == "entry_id":
            return [self._ids[i]]
        j, _, feature = shape = self._shape(i)
        if name == "quantities":
            return list(quantities(self._profiles[j], feature))
        rendered = _found(self._searched[shape], name)
        values: list[Any] = orjson.loads(self.fill(i, rendered))
        return values

    @cached_property
    def quantities(self) -> frozenset[str]:
        """Names of all that the documents of any corpus hold."""
        kinds: tuple[Kind, ...] = ("mixed", "small", "results")
        profiles = [profile(self.seed, kind, j) for kind in kinds for j in range(N_PROFILES)]
        names = {name for p in profiles for name in paths(searched_template(p, "shared", UNUSUAL))}
        return frozenset(names | {"publish_time", "quantities"})

    @property
    def schema_json(self) -> bytes:
        """The schema of all generated archives; it is made when it is first asked for."""
        return schema_json()


class _Templates(dict[Any, bytes]):
    """Rendered templates by shape, each built when it is first asked for."""

    def __init__(self, profiles: Sequence[Any], build: Callable[..., Json]) -> None:
        self._profiles, self._build = profiles, build

    def __missing__(self, shape: Shape) -> bytes:
        j, access, feature = shape
        self[shape] = orjson.dumps(self._build(self._profiles[j], access, feature))
        return self[shape]


@lru_cache(maxsize=4096)
def _found(document: bytes, name: str) -> bytes:
    """What a document's template holds under a name."""
    return orjson.dumps(values_at(orjson.loads(document), name))


def _again(n_entries: int, options: Json) -> Generated:
    """A pickled corpus is its arguments."""
    return Generated(n_entries, **options)
