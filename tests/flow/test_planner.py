"""SPEC, "Plan": exact for few entries, by arithmetic and counts for many, in a bounded number of requests."""

import random

import pytest

from nomad_dask.client.event_loop import run
from nomad_dask.client.retry import Policy
from nomad_dask.client.search import iter_pages
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.errors import UserError
from nomad_dask.plan import planner
from nomad_dask.plan.planner import PartitionSpec, make_plan, take_sample
from nomad_dask.request.segments import ALPHABET, Segment
from nomad_dask.testing import Faults, Rule, serve
from nomad_dask.testing.corpus import Corpus, Entry
from nomad_dask.testing.faults import Say


class Listed(Corpus):
    """Entries of given ids, which are listed and counted; nobody asks for more."""

    quantities = frozenset({"entry_id", "upload_id"})
    entries = ()

    def __init__(self, ids):
        self.entries = [Entry(entry_id, "u" * 22, "parsers/vasp") for entry_id in sorted(ids)]

    def document(self, i):
        entry = self.entries[i]
        return {"entry_id": entry.entry_id, "upload_id": entry.upload_id}

    def archive(self, i):
        return {"metadata": {"entry_id": self.entries[i].entry_id}}


def ids_of(n, seed, prefix=""):
    dice = random.Random(seed)
    return {prefix + "".join(dice.choices(ALPHABET, k=28 - len(prefix))) for _ in range(n)}


@pytest.fixture(scope="module")
def uniform():
    with serve(Listed(ids_of(60_000, 1))) as url:
        yield url


@pytest.fixture(scope="module")
def skewed():
    """Two thirds of all entries share their first two letters."""
    with serve(Listed(ids_of(20_000, 2) | ids_of(40_000, 3, "kQ"))) as url:
        yield url


def listed(client, question, collect, segment=Segment()):
    return [ref.entry_id for page in collect(iter_pages(client, question, segment)) for ref in page.refs]


def test_few_entries_are_cut_exactly(archive, client_of, question, collect):
    client = client_of(archive)
    plan = run(make_plan(client, question, PartitionSpec(npartitions=7)))
    assert plan.exact and plan.total == 300 and len(plan) == 7
    sizes = [len(listed(client, question, collect, s)) for s in plan]
    assert sizes == [s.size for s in plan] and set(sizes) == {42, 43}


@pytest.mark.parametrize("size", [1, 17, 100, 299, 300, 5000])
def test_partition_size_is_in_entries(archive, client_of, question, size):
    plan = run(make_plan(client_of(archive), question, PartitionSpec(partition_size=size)))
    assert max(s.size for s in plan) <= size and min(s.size for s in plan) >= 1
    assert sum(s.size for s in plan) == 300


@pytest.mark.parametrize("server", ["uniform", "skewed"])
def test_many_entries_are_cut_by_counts(server, client_of, question, collect, request):
    client = client_of(request.getfixturevalue(server))
    plan = run(make_plan(client, question, PartitionSpec(partition_size=2_000)))
    assert client.stats.requests <= 1 + planner.MOST_PROBES
    assert not plan.exact and len(plan) == 30
    everything = sorted(listed(client, question, collect))
    real = [sum(1 for e in everything if e in s) for s in plan]
    assert sum(real) == len(everything) == plan.total
    assert max(abs(n - 2_000) for n in real) < 400


@pytest.mark.parametrize("after", ["", "M", "kQ"])
@pytest.mark.parametrize("results_max", [0, 1, 99, 25_000, 59_000])
def test_a_capped_plan_is_the_first_entries_after_the_cursor(skewed, client_of, question, after, results_max):
    client = client_of(skewed)
    plan = run(
        make_plan(client, question, PartitionSpec(results_max=results_max, after=after, npartitions=5))
    )
    ids = [entry.entry_id for entry in skewed.corpus.entries]
    everything = [e for e in ids if e > after][:results_max]
    assert [e for e in ids if any(e in s for s in plan)] == everything
    assert plan.total == len(everything)
    assert client.stats.requests <= 3 * planner.MOST_PROBES


def test_nothing_matches_is_one_empty_segment(archive, client_of, question):
    from dataclasses import replace

    nothing = replace(question, query={"entry_id": "-" * 28})
    plan = run(make_plan(client_of(archive), nothing, PartitionSpec(npartitions=4)))
    assert len(plan) == 1 and plan.total == 0


@pytest.mark.parametrize(
    "options",
    [
        {"partition_size": 5, "npartitions": 2},
        {"partition_size": 0},
        {"npartitions": -1},
        {"results_max": -1},
        {"results_max": 1.5},
        {"npartitions": True},
    ],
    ids=str,
)
def test_cuts_that_make_no_sense_are_refused(options):
    with pytest.raises(UserError, match="|".join(options)):
        PartitionSpec(**options)


def test_without_a_size_there_is_work_for_all_workers():
    assert PartitionSpec().segments(2_000, 5_000.0) == PartitionSpec().segments(2_000, 5_000.0, 10) == 16
    assert PartitionSpec().segments(2_000, 100_000.0, 3_000) == 4
    assert PartitionSpec().segments(50, 5_000.0) == 1
    assert PartitionSpec().segments(950_000, 5_000.0) == 100
    assert PartitionSpec().segments(1_000_000, 6.4e6) == 100_000


def asked_of(url):
    """The entries whose archives were asked for."""
    return {i for r in url.log if "archive" in r.path for i in r.body["query"]["entry_id:any"]}


@pytest.mark.parametrize(("poison_rate", "ends_early"), [(1.0, True), (0.2, False)])
def test_a_sample_ends_early_where_many_entries_fail(client_of, question, poison_rate, ends_early):
    """Each takes several tries and their waits: all 256 would take minutes before there is a plan."""
    with serve(n_entries=150, seed=2, kind="small", faults=Faults(poison_rate=poison_rate)) as url:
        sample = run(take_sample(client_of(url, retry=1), question, "", 150))
        assert (len(asked_of(url)) < 50) == ends_early
        assert (sample.cost.entries == 0) == ends_early


def test_a_sample_of_answers_past_their_bound_ends_after_a_few(question):
    """Each is read as far as its bound, which is a gigabyte where the user names none."""
    endless = Rule(Say(lambda: iter(lambda: b"1" * 2**16, b"")), path="entries/archive/query")
    with serve(n_entries=60, seed=2, kind="small", faults=Faults([endless])) as url:
        client = Client(Server(str(url), policy=Policy(1, 0.01), max_answer_bytes=3_000_000))
        sample = run(take_sample(client, question, "", 60))
        assert sample.cost.entries == 0 and len(asked_of(url)) < 16


def test_the_sample_is_spread_and_bounded(client_of, question):
    with serve(n_entries=3_000, seed=2) as url:
        client = client_of(url)
        sample = run(take_sample(client, question, "", 3_000))
        assert 200 < sample.cost.entries <= planner.SAMPLE
        assert client.stats.requests <= planner.SAMPLE_POINTS + 40
        asked = [i for r in url.log if "archive" in r.path for i in r.body["query"]["entry_id:any"]]
        assert len({i[0] for i in asked[: planner.SAMPLE_POINTS]}) == planner.SAMPLE_POINTS
    assert [c.name for c in sample.schema.columns] == [
        "results.material.elements",
        "results.properties.n_calculations",
    ]


def test_no_count_of_a_server_makes_a_plan_that_cannot_be_held():
    assert PartitionSpec().segments(10**12, None) == 100_000
    assert PartitionSpec(partition_size=10).segments(10_000_000, None) == 1_000_000
    with pytest.raises(
        UserError,
        match="partition_size=1 divides 1,000,000,000,000 entries into 1,000,000,000,000 partitions",
    ):
        PartitionSpec(partition_size=1).segments(10**12, None)
