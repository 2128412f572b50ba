"""`update_dataset` brings a dataset to what the server has now, and asks for nothing that did not move."""

import json
import pickle
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dask
import pandas as pd
import pytest

from nomad_dask import ArchiveQuery, open_dataset, update_dataset
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError, UnfinishedError, UserError
from nomad_dask.harvest import update as updates
from nomad_dask.testing import Changing, Faults, Recorded, Rule, serve
from nomad_dask.testing.faults import Status
from nomad_dask.testing.generate import PLAIN, generate

REQUIRED = {
    "results": {"material": {"elements": "*"}, "properties": {"n_calculations": "*"}},
    "run[-1]": {"calculation": {"energy": {"total": "*"}}},
    "metadata": {"last_processing_time": "*"},
}
NAMES = ["results.properties.n_calculations", "results.material.elements", "last_processing_time"]
FAST = {"max_requests_per_second": None, "sleep_time": 0.01}
KINDS = pytest.mark.parametrize(
    ("layout", "source"),
    [("wide", "archives"), ("nested", "archives"), ("tables", "archives"), ("wide", "documents")],
)
ARCHIVES = "entries/archive/query"


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture
def archive():
    """Entries of which the last 20 public ones are not there yet; some private, some without archive."""
    corpus = generate(300, seed=4, kind="small", private_share=0.1)
    return Changing(corpus, absent=public(corpus)[280:])


@pytest.fixture
def served(archive):
    with serve(archive) as url:
        yield url


def public(corpus):
    """Ids in an order that spreads any run of them over the id space."""
    return sorted((e.entry_id for e in corpus.entries if e.state == "public"), key=lambda i: i[::-1])


def private(corpus, state):
    return [e.entry_id for e in corpus.entries if e.state == state]


def halved(tree):
    """Another archive: without `run`, and of seven calculations."""
    tree = {name: part for name, part in tree.items() if name != "run"}
    tree["results"]["properties"]["n_calculations"] = 7
    return tree


def query_of(url, source="archives", **options):
    required = NAMES if source == "documents" else REQUIRED
    how = {"required": required, "source": source, "results_max": None, "progress": False}
    return ArchiveQuery(url=str(url), **FAST, **(how | options))


def harvest(url, path, cluster, layout="wide", source="archives", **options):
    return query_of(url, source, **options).to_parquet(path, client=cluster, layout=layout, npartitions=6)


def frames_of(path):
    """What a dataset holds, by table; columns that a schema of its own would lack or have are put in their
    order.
    """
    opened = open_dataset(path)
    opened = opened if isinstance(opened, dict) else {"": opened}
    return {key: frame.compute() for key, frame in opened.items()}


def cells(frame):
    """A row's values by name, whatever column they stand in: what the schema did not know is in `_more`."""
    rows = []
    for entry_id, row in zip(frame.index, frame.to_dict("records"), strict=True):
        more = row.pop("_more")
        found = {k: v for k, v in row.items() if not (isinstance(v, type(pd.NA)) or v is None or v is pd.NA)}
        found = {k: v for k, v in found.items() if not (isinstance(v, float) and pd.isna(v))}
        found |= {} if more is None or more is pd.NA else json.loads(more)
        rows.append((entry_id, {k: str(v) for k, v in sorted(found.items())}))
    return rows


def assert_same(mine, fresh):
    ours, theirs = frames_of(mine), frames_of(fresh)
    assert ours.keys() == theirs.keys()
    for key, frame in ours.items():
        assert frame.index.is_monotonic_increasing
        assert cells(frame) == cells(theirs[key])


def archives_asked(log):
    """Ids that archives or documents were asked of, by name."""
    asked = [request.body["query"] for request in log if request.body and "query" in request.body]
    return sorted(entry_id for query in asked for entry_id in _named(query))


def _listed_from(body):
    """The lower bound of a listing of one segment; empty for another question."""
    parts = body.get("query", {}).get("and", ())
    return next((part["entry_id"].get("gt", "") for part in parts if "entry_id" in part), "")


def _named(query):
    if "entry_id:any" in query:
        return query["entry_id:any"]
    return [i for part in query.get("and", ()) for i in _named(part)]


def receipts_of(path):
    store = Store.at(path)
    return store.receipts(store.manifest().id)


def test_nothing_moved_asks_for_a_list_and_no_archive(served, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    before = frames_of(tmp_path / "h")[""]
    served.log.clear()
    report = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert report.complete and report.update.finished
    assert (report.update.added, report.update.changed, report.update.pruned) == (0, 0, 0)
    assert served.log.count() == 2 and served.log.count(ARCHIVES) == 0
    pd.testing.assert_frame_equal(frames_of(tmp_path / "h")[""], before)


@KINDS
def test_new_and_reprocessed_entries_come_and_nothing_else_is_asked(
    served, archive, cluster, tmp_path, layout, source
):
    how = {"layout": layout, "source": source}
    harvest(served, tmp_path / "h", cluster, **how)
    ids = public(archive)
    fresh, again = public(archive._corpus)[280:], ids[30:45]
    embargoed = private(archive, "embargo")[:3]
    archive.appear(fresh)
    archive.reprocess(again, halved)
    archive.publish(embargoed)
    served.log.clear()
    report = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert report.complete and report.rows == 300 + len(embargoed)
    done = report.update
    assert (done.added, done.changed, done.pruned) == (len(fresh) + len(embargoed), len(again), 0)
    expected = sorted([*fresh, *again, *embargoed])
    assert sorted(set(archives_asked(served.log))) == expected
    harvest(served, tmp_path / "fresh", cluster, **how)
    assert_same(tmp_path / "h", tmp_path / "fresh")
    assert sum(r.rows for r in receipts_of(tmp_path / "h").values()) == 300 + len(embargoed)
    served.log.clear()
    second = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert second.complete and second.update.number == 2 and second.update.changed == 0
    assert served.log.count(ARCHIVES) == 0 and not archives_asked(served.log) and served.log.count() == 2


@KINDS
def test_what_was_withdrawn_stays_until_it_is_asked_to_go(served, archive, cluster, tmp_path, layout, source):
    how = {"layout": layout, "source": source}
    harvest(served, tmp_path / "h", cluster, **how)
    before = frames_of(tmp_path / "h")
    ids = public(archive)
    archive.withdraw(ids[50:60])
    kept = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert kept.complete and kept.rows == 280 and kept.update.pruned == 0
    for key, frame in frames_of(tmp_path / "h").items():
        pd.testing.assert_frame_equal(frame, before[key])
    served.log.clear()
    report = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
    assert report.complete and report.rows == report.total == 270 and report.update.pruned == 10
    assert served.log.count(ARCHIVES) == 0 and not archives_asked(served.log)
    harvest(served, tmp_path / "fresh", cluster, **how)
    assert_same(tmp_path / "h", tmp_path / "fresh")
    again = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
    assert again.complete and again.update.pruned == 0


def test_prune_lists_each_segment_once(served, archive, cluster, tmp_path):
    """What is new, what moved and what is gone are read off one list: two might tell of two states of the
    server.
    """
    harvest(served, tmp_path / "h", cluster)
    ids = public(archive)
    archive.reprocess(ids[:30], halved)
    archive.withdraw(ids[30:40])
    archive.appear(public(archive._corpus)[280:])
    served.log.clear()
    done = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST).update
    assert (done.added, done.changed, done.pruned) == (20, 30, 10)
    assert [request.path for request in served.log if "entry_id:any" not in str(request.body)] == (
        ["entries/query"] * (2 + 6)
    ), "the server's time, a count, and a list of each segment"
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).update.changed == 0, "the times are known"


@pytest.fixture
def carried_out(monkeypatch):
    """The tasks and the receipts of updates, as they were when they were done."""
    seen, original = SimpleNamespace(tasks=[], receipts={}), updates.run_tasks

    def noted(store, manifest, tasks, receipts, **how):
        original(store, manifest, tasks, receipts, **how)
        seen.tasks, seen.receipts = tasks, receipts

    monkeypatch.setattr(updates, "run_tasks", noted)
    return seen


def test_the_client_keeps_of_receipts_and_tasks_what_does_not_grow_with_the_entries(
    served, archive, cluster, tmp_path, carried_out
):
    """What a segment's receipt says of each entry is read by its task, and neither kept nor sent."""
    harvest(served, tmp_path / "h", cluster)
    archive.reprocess(public(archive)[:270])
    update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert sum(len(receipt.seen) for receipt in receipts_of(tmp_path / "h").values()) == 270
    update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
    assert len(carried_out.tasks) == 6 and all(len(pickle.dumps(task)) < 1500 for task in carried_out.tasks)
    assert not any(receipt.seen for receipt in carried_out.receipts.values())


@pytest.mark.parametrize("prune", [False, True])
def test_a_task_that_is_done_twice_counts_and_asks_once(
    served, archive, cluster, tmp_path, carried_out, prune
):
    """As where a worker is lost after its receipt, with times that only the first of two updates looks back
    to.
    """
    harvest(served, tmp_path / "h", cluster)
    archive.reprocess(public(archive)[:30], halved, at=long_ago(hours=36))
    archive.appear(public(archive._corpus)[280:])
    as_of(tmp_path / "h", long_ago(hours=24))
    assert update_dataset(tmp_path / "h", prune=prune, client=cluster, **FAST).update.changed == 30
    before = receipts_of(tmp_path / "h")
    served.log.clear()
    assert [task.write() for task in carried_out.tasks] == [before[task.number] for task in carried_out.tasks]
    assert not archives_asked(served.log) and receipts_of(tmp_path / "h") == before


def long_ago(**past):
    return (datetime.now(UTC) - timedelta(**past)).isoformat()


def as_of(path, created):
    """The dataset as if it had been planned at another time."""
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest | {"created": created}))


def test_what_becomes_visible_without_a_time_that_moves_is_found_by_prune(served, archive, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    embargoed = private(archive, "embargo")[:3]
    archive.lift_embargo(embargoed)
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).update.added == 0
    served.log.clear()
    report = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
    assert report.complete and report.update.added == 3 and archives_asked(served.log) == sorted(embargoed)
    harvest(served, tmp_path / "fresh", cluster)
    assert_same(tmp_path / "h", tmp_path / "fresh")


def test_an_entry_that_is_indexed_late_is_found_by_the_overlap(served, archive, cluster, tmp_path):
    """Its times lie before the last run; the server showed it only after."""
    harvest(served, tmp_path / "h", cluster)
    late = public(archive._corpus)[280:283]
    for entry_id in late:
        archive._set_times(entry_id, long_ago(hours=5), "last_processing_time")
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).update.added == 0
    archive.appear(late, stamped=False)
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).update.added == 3


def test_entries_that_get_or_lose_their_archive(cluster, tmp_path):
    archive = Changing(generate(100, seed=4, kind="small", features=PLAIN))
    ids = public(archive)
    for layout in ("wide", "tables"):
        with serve(archive, faults=Faults(missing=ids[:4])) as url:
            path = tmp_path / layout
            assert harvest(url, path, cluster, layout).missing == 4
            archive.reprocess(ids[:8])
            url.faults = Faults(missing=ids[6:8])
            report = update_dataset(path, client=cluster, **FAST)
            assert (
                report.complete and report.rows == 100 and report.missing == 2 and report.update.changed == 8
            )
            kinds = pd.read_parquet(path / "failures.parquet")
            assert sorted(kinds.entry_id) == sorted(ids[6:8]) and set(kinds.kind) == {"no archive"}
            harvest(url, tmp_path / f"{layout}-fresh", cluster, layout)
            assert_same(path, tmp_path / f"{layout}-fresh")


def test_what_fails_is_told_and_retried(served, archive, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    ids = public(archive)
    archive.reprocess(ids[:6], halved)
    served.faults = Faults(poison=ids[:2])
    report = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert report.failed == 2 and not report.complete and report.update.finished and report.rows == 278
    assert set(
        pd.read_parquet(tmp_path / "h" / "failures.parquet").query("kind == 'failed'").entry_id
    ) == set(ids[:2])
    served.faults = None
    served.log.clear()
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).failed == 2, "left to retry_failures"
    assert not archives_asked(served.log)
    report = query_of(served).to_parquet(tmp_path / "h", client=cluster, retry_failures=True)
    assert report.complete and report.rows == 280
    harvest(served, tmp_path / "fresh", cluster)
    assert_same(tmp_path / "h", tmp_path / "fresh")


def test_values_that_the_stored_schema_does_not_know_go_to_more(served, archive, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    schema = Store.at(tmp_path / "h").manifest().schema
    one = public(archive)[3]

    def odd(tree):
        tree["results"]["properties"]["n_calculations"] = {"never": "seen"}
        return tree

    archive.reprocess([one], odd)
    report = update_dataset(tmp_path / "h", client=cluster, **FAST)
    row = frames_of(tmp_path / "h")[""].loc[one]
    assert report.n_more == 1 and "never" in row["_more"]
    assert Store.at(tmp_path / "h").manifest().schema == schema


def test_a_stopped_update_says_so_and_the_next_one_does_the_rest(served, archive, cluster, tmp_path, call):
    harvest(served, tmp_path / "h", cluster)
    ids = public(archive)
    fresh = public(archive._corpus)[280:]
    archive.appear(fresh)
    archive.reprocess(ids[:30], halved)
    middle = sorted(ids)[140]
    served.faults = Faults(
        [Rule(Status(502), path="entries/query", match=lambda body: _listed_from(body) > middle)]
    )
    with pytest.raises(UnfinishedError, match="left to do.*run the same command again"):
        update_dataset(tmp_path / "h", client=cluster, retry=0, **FAST)
    told = call("status", tmp_path / "h", check=1).stdout
    assert "was not finished. Continue with `nomad-dask update" in told
    assert not query_of(served).to_parquet(tmp_path / "h", client=cluster).complete
    done = {n for n, r in receipts_of(tmp_path / "h").items() if r.run == 1}
    plan = Store.at(tmp_path / "h").manifest().plan
    assert 0 < len(done) < len(plan)
    served.faults = None
    served.log.clear()
    report = update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert report.complete and report.update.number == 2
    assert (report.update.added, report.update.changed) == (20, 30)
    assert not {plan.holding(i) for i in archives_asked(served.log)} & done
    harvest(served, tmp_path / "fresh", cluster)
    assert_same(tmp_path / "h", tmp_path / "fresh")
    assert [bool(run.finished) for run in Store.at(tmp_path / "h").manifest().history] == [False, True]
    assert "20 new, 30 reprocessed" in call("status", tmp_path / "h", check=0).stdout


@pytest.mark.parametrize(("layout", "kills"), [("wide", (1, 14)), ("tables", (9, 11))])
def test_killed_at_any_request_and_run_again(
    archive, served, cluster, tmp_path, layout, kills, kill_after, on_cluster
):
    harvest(served, tmp_path / "h", cluster, layout)
    archive.appear(public(archive._corpus)[280:])
    archive.reprocess(public(archive)[:60], halved)
    archive.withdraw(public(archive)[60:70])
    served.faults = Faults(latency=0.05)
    line = ["update", str(tmp_path / "h"), "--prune", "--max-requests-per-second", "0"]
    for n in kills:
        assert kill_after(served, n, [sys.executable, "-m", "nomad_dask", *line, "--workers", "1"])
    served.faults = None
    done = on_cluster(*line, check=0)
    assert "withdrawn and dropped" in done.stdout
    harvest(served, tmp_path / "fresh", cluster, layout)
    assert_same(tmp_path / "h", tmp_path / "fresh")


@pytest.mark.parametrize("layout", ["wide", "nested", "tables"])
@pytest.mark.parametrize("sizes", ["other", "same"])
def test_a_part_without_its_new_receipt_is_done_again_and_nothing_is_doubled(
    served, archive, cluster, tmp_path, layout, sizes
):
    """As after a kill between the two. The old receipt counts where the new part happens to be of the old
    size.
    """
    harvest(served, tmp_path / "h", cluster, layout)
    archive.appear(public(archive._corpus)[280:])
    archive.reprocess(public(archive)[:20], halved)
    archive.withdraw(public(archive)[40:50])
    receipts = {path: json.loads(path.read_bytes()) for path in (tmp_path / "h" / "segments").iterdir()}
    manifest = (tmp_path / "h" / "manifest.json").read_bytes()
    assert update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST).complete
    for path, receipt in receipts.items():
        if sizes == "same":
            receipt["parts"] = json.loads(path.read_bytes())["parts"]
        path.write_text(json.dumps(receipt))
    (tmp_path / "h" / "manifest.json").write_bytes(manifest)
    report = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
    assert report.complete and report.rows == 290
    harvest(served, tmp_path / "fresh", cluster, layout)
    assert_same(tmp_path / "h", tmp_path / "fresh")


def test_any_fsspec_url_can_be_updated(served, archive):
    from distributed import Client

    with Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=False) as client:
        harvest(served, "memory://updated/h", client)
        archive.reprocess(public(archive)[:5], halved)
        assert update_dataset("memory://updated/h", client=client, **FAST).update.changed == 5
        harvest(served, "memory://updated/fresh", client)
    assert_same("memory://updated/h", "memory://updated/fresh")


def test_real_archives_are_updated(shared_data, cluster, tmp_path):
    """What NOMAD's own application answered, reprocessed and withdrawn."""
    archive = Changing(Recorded(shared_data))
    ids = public(archive)
    archive.withdraw(ids[:5])
    with serve(archive) as url:
        how = {"required": {"results": {"material": "*"}, "metadata": {"last_processing_time": "*"}}}
        harvest(url, tmp_path / "h", cluster, **how)
        archive.appear(ids[:5])
        archive.reprocess(ids[5:9])
        archive.withdraw(ids[9:12])
        url.log.clear()
        report = update_dataset(tmp_path / "h", prune=True, client=cluster, **FAST)
        assert (report.update.added, report.update.changed, report.update.pruned) == (5, 4, 3)
        assert sorted(set(archives_asked(url.log))) == sorted(ids[:9])
        harvest(url, tmp_path / "fresh", cluster, **how)
    assert_same(tmp_path / "h", tmp_path / "fresh")


def test_a_part_that_is_gone_is_read_whole(served, archive, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    archive.reprocess(public(archive)[:5], halved)
    (tmp_path / "h" / "segments" / "00002.json").unlink()
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).complete
    harvest(served, tmp_path / "fresh", cluster)
    assert_same(tmp_path / "h", tmp_path / "fresh")
    served.log.clear()
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).complete


def test_the_manifest_keeps_the_history(served, archive, cluster, tmp_path):
    harvest(served, tmp_path / "h", cluster)
    first = Store.at(tmp_path / "h").manifest()
    archive.reprocess(public(archive)[:2])
    update_dataset(tmp_path / "h", client=cluster, **FAST)
    archive.withdraw(public(archive)[:1])
    update_dataset(tmp_path / "h", client=cluster, prune=True, **FAST)
    manifest = json.loads((tmp_path / "h" / "manifest.json").read_text())
    assert manifest["id"] == first.id and manifest["plan"] == first.plan.to_json()
    one, two = manifest["history"]
    assert (one["changed"], one["prune"], one["pruned"]) == (2, False, 0)
    assert (two["changed"], two["prune"], two["pruned"]) == (0, True, 1)
    assert first.created <= one["begun"] <= two["begun"] and one["versions"].keys() >= {"nomad-dask"}
    assert one["since"] < first.created and one["begun"] > two["since"] >= one["since"]


def test_what_cannot_be_updated_is_refused_with_what_to_do(served, cluster, tmp_path):
    with pytest.raises(DatasetError, match="is not a dataset"):
        update_dataset(tmp_path / "nothing", client=cluster)
    harvest(served, tmp_path / "capped", cluster, results_max=50)
    with pytest.raises(DatasetError, match=r"first 50 entries.*without results_max"):
        update_dataset(tmp_path / "capped", client=cluster, **FAST)
    harvest(served, tmp_path / "h", cluster, results_max=290)
    assert update_dataset(tmp_path / "h", client=cluster, **FAST).complete
    served.corpus.appear(public(served.corpus._corpus)[280:])
    with pytest.raises(DatasetError, match="first 290 entries"):
        update_dataset(tmp_path / "h", client=cluster, **FAST)
    with pytest.raises(DatasetError, match="logged_in"):
        update_dataset(tmp_path / "capped", client=cluster, username="cy", password="cy-pw", **FAST)
    with pytest.raises(UserError, match="'query'.*the query is in the dataset"):
        update_dataset(tmp_path / "capped", client=cluster, query={})


@pytest.mark.parametrize("prune", [False, True])
def test_a_server_that_knows_no_times_cannot_tell_what_moved(cluster, tmp_path, prune):
    with serve(n_entries=60, kind="small") as url:
        harvest(url, tmp_path / "h", cluster)
        url.faults = Faults([Rule(Status(422), match=lambda body: "publish_time" in str(body))])
        with pytest.raises(DatasetError, match=r"cannot list changed entries.*publish_time.*another folder"):
            update_dataset(tmp_path / "h", prune=prune, client=cluster, **FAST)
    assert not Store.at(tmp_path / "h").manifest().history


def test_what_only_a_login_sees_is_updated_with_a_login(served, archive, cluster, tmp_path):
    who = next(entry.main_author for entry in archive.entries if entry.state == "embargo")
    login = {"username": who, "password": f"{who}-pw"}
    assert harvest(served, tmp_path / "h", cluster, **login).rows > 280
    mine = [e.entry_id for e in archive.entries if e.state != "public" and e.concerns(who)]
    archive.reprocess(mine[:2], halved)
    with pytest.raises(DatasetError, match="logged_in"):
        update_dataset(tmp_path / "h", client=cluster, **FAST)
    assert update_dataset(tmp_path / "h", client=cluster, **login, **FAST).update.changed == 2
    harvest(served, tmp_path / "fresh", cluster, **login)
    assert_same(tmp_path / "h", tmp_path / "fresh")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "h").rglob("*.json"))
    assert f"{who}-pw".encode() not in kept


def test_the_command(served, archive, cluster, tmp_path, command, call, on_cluster):
    harvest(served, tmp_path / "h", cluster)
    archive.reprocess(public(archive)[:4], halved)
    archive.withdraw(public(archive)[10:12])
    line = ("update", tmp_path / "h", "--max-requests-per-second", 0)
    told = command(*line, "--workers", 1, check=0).stdout
    assert told.startswith("280 entries") and "0 new, 4 reprocessed, withdrawn entries not checked" in told
    assert "2 withdrawn and dropped" in on_cluster(*line, "--prune", check=0).stdout
    archive.reprocess(public(archive)[:1])
    served.faults = Faults(poison=public(archive)[:1])
    assert "1 failed" in on_cluster(*line, "--sleep-time", 0.01, check=3).stdout
    assert call("update", tmp_path / "nothing", check=2).stderr.startswith("error:")
