"""SPEC, "Plan": an archive of 20 million computed entries is planned over a real socket.

Sizes are the true ones: the corpus is asked where each bound lies in its order, not the plan for its
estimate.
"""

import itertools
import random
import time
from bisect import bisect_right

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.request.segments import ALPHABET
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus
from nomad_dask.testing.generate import generate

N = 20_000_000
REQUESTS, SECONDS = 200, 10


class Skewed(Corpus):
    """As many entries, half of which share 1/4096 of the id space or stand on a slope; nobody asks for more
    than ids.
    """

    quantities = frozenset({"entry_id", "upload_id"})
    entries = ()
    ids = property(lambda self: self)

    def __len__(self):
        return N

    def __getitem__(self, i):
        place = int(self.quantile((i + 0.5) / N) * 64**16)
        return "".join(ALPHABET[place >> 6 * k & 63] for k in reversed(range(16))) + f"{i:012d}"

    @staticmethod
    def quantile(share):
        if share < 0.5:
            return 0.3 * (2 * share) ** 0.5
        if share < 0.8:
            return 0.3 + (share - 0.5) / 0.3 / 4096
        return 0.3 + 1 / 4096 + (share - 0.8) / 0.2 * (0.7 - 1 / 4096)

    def visible(self, owner, user):
        return range(N)

    def document(self, i):
        return {"entry_id": self[i], "upload_id": "u" * 22}

    def archive(self, i):
        return {}


@pytest.fixture(scope="module")
def millions():
    with serve(generate(N)) as url:
        yield url


@pytest.fixture(scope="module")
def skewed():
    with serve(Skewed()) as url:
        yield url


def planned(url, *, partition_size, **options):
    """The plan, the requests that the server saw for it, and seconds."""
    before, began = len(url.log), time.monotonic()
    plan = ArchiveQuery(url=url, progress=False, **options).plan(partition_size=partition_size)
    return plan, len(url.log) - before, time.monotonic() - began


def true_sizes(corpus, plan, size):
    """Entries in each segment. A segment over a fifth from `size` is counted as a fifth off: quicker, and as
    wrong.
    """
    found, ids = corpus.visible("visible", None), corpus.ids
    ends = [bisect_right(found, plan.segments[0].after, key=ids.__getitem__)]
    for segment in plan.segments[:-1]:
        low, high = (min(len(found), ends[-1] + int(share * size)) for share in (0.8, 1.2))
        ends.append(bisect_right(found, segment.upto, low, high, key=ids.__getitem__))
    last = plan.segments[-1].upto
    ends.append(bisect_right(found, last, key=ids.__getitem__) if last else len(found))
    return [b - a for a, b in itertools.pairwise(ends)]


def hold_the_promise(plan, sizes, asked, requests, seconds):
    assert requests < REQUESTS and seconds < SECONDS
    assert 0.9 * asked <= min(sizes) and max(sizes) <= 1.1 * asked
    assert sum(sizes) == plan.total
    assert all(a.upto == b.after and a.upto for a, b in itertools.pairwise(plan))


@pytest.mark.parametrize("size", [10_000, 50_000])
def test_20_million_ids(millions, size):
    """Segments within 10% of the asked size, hashes being random; every id is in exactly one of them."""
    plan, *cost = planned(millions, partition_size=size, results_max=None)
    hold_the_promise(plan, true_sizes(millions.corpus, plan, size), size, *cost)
    assert plan.total == N and len(plan) == N // size
    assert (plan.segments[0].after, plan.segments[-1].upto) == ("", "")
    dice = random.Random(1)
    for i in (0, len(millions.corpus.ids) - 1, *dice.sample(range(N), 50)):
        entry_id = millions.corpus.ids[i]
        assert sum(entry_id in segment for segment in plan) == 1


@pytest.mark.parametrize("options", [{"results_max": 10_000_000}, {"results_max": 5_000_000, "after": "Q"}])
def test_a_part_of_20_million_ids(millions, options):
    """A cap is found by counts, not by walking: the plan ends at that very entry."""
    plan, *cost = planned(millions, partition_size=50_000, **options)
    hold_the_promise(plan, true_sizes(millions.corpus, plan, 50_000), 50_000, *cost)
    assert plan.total == options["results_max"] and plan.segments[-1].upto


def test_20_million_ids_that_are_no_hashes(skewed):
    """A skewed archive is cut again where it is dense."""
    plan, *cost = planned(skewed, partition_size=50_000, results_max=None)
    hold_the_promise(plan, true_sizes(skewed.corpus, plan, 50_000), 50_000, *cost)
    assert plan.total == N
