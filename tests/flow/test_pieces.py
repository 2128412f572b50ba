"""SPEC, "Segments that kill workers": a segment read in pieces equals one read whole."""

import itertools
import random
import uuid
from collections import Counter
from dataclasses import replace

import pytest
from distributed import KilledWorker
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Server
from nomad_dask.client.transport import Client
from nomad_dask.dataset.history import Run
from nomad_dask.dataset.pieces import Pieces, new_name
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.segment import Task
from nomad_dask.dataset.store import Store
from nomad_dask.errors import ServerError, StorageError, UnfinishedError
from nomad_dask.harvest import divide
from nomad_dask.harvest.divide import MOST, Deaths, SegmentPiece, names_of, read_piece
from nomad_dask.harvest.run import make_manifest
from nomad_dask.harvest.update import Update
from nomad_dask.layouts import layouts
from nomad_dask.limits import Limits
from nomad_dask.plan.planner import TableOptions
from nomad_dask.request import Failure, Ref
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": {"material": "*"}, "run": {"calculation": {"energy": "*"}}}


def stored(url, place, layout="wide", source="archives"):
    """A dataset that was begun, and a task for each of its three segments."""
    required = ["results.material.elements"] if source == "documents" else REQUIRED
    query = ArchiveQuery(
        url=str(url), required=required, source=source, results_max=None, max_requests_per_second=None
    )
    chosen, cut = layouts.layout(layout), replace(query._cut, npartitions=3)
    manifest = run(make_manifest(Client(query._server), query._question(), cut, TableOptions(chosen)))
    store = Store.at(place)
    store.create(manifest)
    return [Task(store, manifest.id, Server(str(url), Limits(None)), number) for number in range(3)]


def in_pieces(task, lost=()):
    """The task's receipt, its entries read in pieces of 7, but for those that are lost."""
    refs = [ref for ref in names_of(task) if ref.entry_id not in lost]
    name = uuid.uuid4().hex
    kept = [(f"{name}-{at}", tuple(refs[at : at + 7])) for at in range(0, len(refs), 7)]
    for name, some in kept:
        assert read_piece(SegmentPiece(task, name, some)).segment == task.number
    failures = tuple(Failure(*ref, None, "too large", 3) for ref in names_of(task) if ref.entry_id in lost)
    return replace(task, pieces=Pieces(tuple(kept), failures)).write()


def parts(task):
    """All parts of the dataset, by their names."""
    manifest = task.store.manifest()
    return {
        (number, folder): task.store.read_part(number, folder)
        for number in range(3)
        for folder in manifest.layout.folders(manifest.schema).values()
    }


def facts(receipt):
    """What a receipt says of the entries."""
    return receipt.rows, receipt.first, receipt.last, receipt.missing, receipt.failures, receipt.bare


@pytest.mark.parametrize(
    ("layout", "source"),
    [("wide", "archives"), ("nested", "archives"), ("tables", "archives"), ("wide", "documents")],
)
def test_read_in_pieces_is_the_same_as_read_whole(layout, source, tmp_path):
    with serve(n_entries=60, seed=3) as url:
        url.faults = Faults.parse("missing=0.1; seed=2")
        whole, apart = (stored(url, tmp_path / name, layout, source) for name in ("whole", "apart"))
        for one, other in zip(whole, apart, strict=True):
            assert facts(one.write()) == facts(in_pieces(other))
        assert parts(whole[0]) == parts(apart[0])


@pytest.mark.parametrize("layout", ["wide", "tables"])
def test_what_is_lost_fails_and_can_be_retried_in_pieces(layout, tmp_path):
    with serve(n_entries=60, seed=3) as url:
        whole, apart = (stored(url, tmp_path / name, layout) for name in ("whole", "apart"))
        for one, other in zip(whole, apart, strict=True):
            one.write()
            lost = {ref.entry_id for ref in names_of(other)[3:12]}
            receipt = in_pieces(other, lost)
            assert {failure.entry_id for failure in receipt.failures} == lost
            again = replace(other, retry_failures=True)
            assert {ref.entry_id for ref in names_of(again)} == lost
            receipt = in_pieces(again)
            assert not receipt.failures and receipt.rows == len(names_of(other))
        assert parts(whole[0]) == parts(apart[0])


def test_an_update_in_pieces_takes_what_was_read_and_no_more(tmp_path):
    with serve(n_entries=60, seed=3) as url:
        tasks = stored(url, tmp_path / "h")
        for task in tasks:
            task.write()
        before = parts(tasks[0])
        news = Run(number=1, since="2000-01-01T00:00:00", begun="2000-01-01T00:00:00")
        for task in tasks:
            update = Update(task.store, task.manifest, task.server, task.number, run=news, since=news.since)
            names = names_of(update)
            assert names == names_of(task)
            some = f"some-{task.number}"
            read_piece(SegmentPiece(update, some, names[2:9]))
            receipt = replace(update, pieces=Pieces(((some, names[2:9]),), ())).write()
            assert receipt.changed == 7 and receipt.rows == len(names)
        assert parts(tasks[0]) == before


def test_a_piece_that_was_begun_before_is_not_read_again(tmp_path):
    with serve(n_entries=60, seed=3) as url:
        task = stored(url, tmp_path / "h")[0]
        refs = names_of(task)[:5]
        first = read_piece(SegmentPiece(task, "p", refs))
        asked = url.log.count()
        assert read_piece(SegmentPiece(task, "p", refs)) == first and url.log.count() == asked, (
            "its receipt was lost"
        )
        task.store.files.write(".aside/q.json", b"begun")
        assert read_piece(SegmentPiece(task, "q", refs)) is None and url.log.count() == asked, (
            "its worker died"
        )
        with pytest.raises(StorageError, match="run the same command again"):
            replace(task, pieces=Pieces((("q", refs),), ())).write()


REFS = [Ref(f"{n:028d}", "u" * 22) for n in range(200)]


class Cluster:
    """Runs what `divide` asks for: a piece with a bad entry kills its worker, and so does chance."""

    memory = 350_000_000

    def __init__(self, refs, bad=(), by_chance=lambda call: False, broken=None):
        self.refs, self.bad, self.by_chance, self.broken = tuple(refs), {*bad}, by_chance, broken
        self.deaths, self.chance, self.alone = 0, 0, Counter()

    def run(self, client, workers, function, call):
        refs = {*call.refs} if isinstance(call, SegmentPiece) else set()
        if self.broken in refs:
            return ServerError("status 500", "http://h")
        by_chance = self.by_chance(call)
        self.chance += by_chance
        if refs & self.bad or by_chance:
            self.deaths += 1
            self.alone.update(refs if len(refs) == 1 else ())
            return None if refs and self.deaths % 2 else KilledWorker("piece", None, 3)
        if function is names_of:
            return self.refs
        return Receipt(0, "", "", len(refs)) if refs else call.pieces


def divided(monkeypatch, place, cluster):
    monkeypatch.setattr(divide, "_alone", cluster.run)
    (place / ".aside").mkdir(exist_ok=True)
    return divide.divide(None, Task(Store.at(place), "m", Server("http://h"), 7), cluster, Deaths())


def kept_and_lost(pieces):
    """The entries that were read, in the order of the pieces, and those that failed."""
    return [ref for _, some in pieces.kept for ref in some], {Ref(*failure[:2]) for failure in pieces.lost}


@given(data=st.data())
@pytest.mark.filterwarnings("ignore:segment 7 killed its workers")
def test_entries_that_kill_their_worker_alone_are_failed_and_all_others_kept(data, tmp_path_factory):
    refs = REFS[: data.draw(st.integers(0, 200))]
    bad = data.draw(st.sets(st.sampled_from(refs), max_size=min(5, len(refs) // 2))) if refs else set()
    numbers, call = data.draw(st.sets(st.integers(0, 40), max_size=2)), itertools.count()
    cluster = Cluster(refs, bad, lambda _: next(call) in numbers)
    with pytest.MonkeyPatch.context() as monkeypatch:
        pieces = divided(monkeypatch, tmp_path_factory.mktemp("h"), cluster)
    kept, lost = kept_and_lost(pieces)
    assert lost == bad
    assert kept == sorted({*refs} - bad), "each entry is kept once, in order"
    for failure in pieces.lost:
        n = cluster.alone[Ref(*failure[:2])]
        assert failure.attempts == n <= 12
        assert failure.reason.startswith(
            f"{n} workers in a row died while they read only this entry, probably"
        )
        assert "a worker has 350 MB" in failure.reason and "then retry failures" in failure.reason
    divisions = sum(cluster.alone[ref] + 3 for ref in bad)
    assert cluster.deaths <= divisions + cluster.chance, "one for each division of 200, and those alone"


@pytest.mark.filterwarnings("ignore:segment 7 killed its workers")
def test_three_or_four_deaths_are_enough_where_nothing_else_dies(monkeypatch, tmp_path):
    for n in (20, 200):
        cluster = Cluster(REFS[:n], {REFS[11]})
        assert kept_and_lost(divided(monkeypatch, tmp_path, cluster))[1] == {REFS[11]}
        assert cluster.alone[REFS[11]] in (3, 4)


@pytest.mark.filterwarnings("ignore:segment 7 killed its workers")
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_no_entry_is_blamed_for_workers_that_die_by_chance(monkeypatch, tmp_path, rate):
    """Each read loses its worker at this rate, all the time: 1,000 entries in divisions of 20; one is bad in
    each tenth.
    """
    dice = random.Random(rate)
    for n in range(50):
        bad = {REFS[n % 20]} if n % 10 == 0 else set()
        cluster = Cluster(REFS[:20], bad, lambda _: dice.random() < rate)
        outcome = divided(monkeypatch, tmp_path, cluster)
        assert cluster.deaths < 200
        if isinstance(outcome, Exception):  # it cannot be told: nothing is lost, and the harvest can go on
            assert rate == 0.6 and isinstance(outcome, UnfinishedError)
        else:
            assert kept_and_lost(outcome) == (sorted({*REFS[:20]} - bad), bad)


@pytest.mark.filterwarnings("ignore:segment 7 killed its workers")
def test_many_bad_entries_are_all_failed(monkeypatch, tmp_path):
    """More deaths in a row than a cluster that kills whatever it reads would have: a good entry is read again
    between.
    """
    bad = {*REFS[:150:5]}
    assert kept_and_lost(divided(monkeypatch, tmp_path, Cluster(REFS, bad))) == (sorted({*REFS} - bad), bad)


@pytest.mark.filterwarnings("ignore:segment 7 killed its workers")
def test_division_ends_where_it_is_not_the_entries(monkeypatch, tmp_path):
    crash = divided(monkeypatch, tmp_path, Cluster(REFS, REFS))
    assert isinstance(crash, UnfinishedError) and "30 workers in a row died" in str(crash)
    down = divided(monkeypatch, tmp_path, Cluster(REFS, broken=REFS[50]))
    assert isinstance(down, ServerError)
    for function, words in ((names_of, "listed its entries"), (Task.write, "partition_size")):
        dead = Cluster(REFS, by_chance=lambda call, wanted=function: kind_of(call) is wanted)
        ended = divided(monkeypatch, tmp_path, dead)
        assert isinstance(ended, UnfinishedError) and words in str(ended) and dead.deaths == 5
        assert isinstance(ended.__cause__, KilledWorker)


def kind_of(call):
    """What a call of `divide` is for."""
    return read_piece if isinstance(call, SegmentPiece) else Task.write if call.pieces else names_of


def test_an_entry_is_blamed_when_chance_is_unlikely():
    deaths = Deaths()
    assert deaths.by_chance == 0.5
    for n in range(1, MOST):
        deaths.died(REFS[:1])
        assert deaths.alone(REFS[0]) == n and deaths.blames(REFS[0]) == (n >= 13)
    deaths.survived(REFS[:1])
    assert deaths.alone(REFS[0]) == 0 and not deaths.blames(REFS[0])
    assert deaths.by_chance == 20 / 22, "they were chance, as the entry was read"


@pytest.mark.parametrize("place", ["{}/h", "memory://left/{}"])
def test_pieces_of_a_killed_run_are_taken_away(place, tmp_path):
    with serve(n_entries=60, seed=3) as url:
        task = stored(url, place.format(tmp_path))[0]
        refs, names = names_of(task)[:5], [new_name(0), new_name(17)]
        read_piece(SegmentPiece(task, names[0], refs))
        task.store.files.write(f".aside/{names[1]}.json", b"begun")
        task.store.files.write(".aside/another", b"a file that is being written")
        task.store.drop_pieces()
        assert task.store.files.names(".aside") == {"another"}
