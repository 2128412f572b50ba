"""SPEC, "Datasets": fsspec urls: an S3 server over HTTP with workers as other processes, memory, file://.

The endpoint and the credentials reach every process through its environment, as they do for a user.
"""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask.dataframe as dd
import pandas as pd
import pytest
from processes import scheduler, worker

from nomad_dask import ArchiveQuery, open_dataset, units, update_dataset
from nomad_dask.dataset.files import files_at
from nomad_dask.dataset.store import Store
from nomad_dask.errors import DatasetError, StorageError, UserError
from nomad_dask.report_page.write import write_page
from nomad_dask.testing import Changing, serve
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import generate

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

REQUIRED = {
    "results": {"properties": {"n_calculations": "*"}},
    "run[-1]": {"calculation": {"energy": {"total": "*"}}},
}
FAST = {"results_max": None, "max_requests_per_second": None, "sleep_time": 0.01, "progress": False}
SECRET = "a-secret-key-of-the-store"
BUCKET = "archive"


@pytest.fixture(scope="module")
def s3():
    """An S3 server over HTTP, its endpoint and credentials in the environment; one bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Buckets outlive the server in this process, where the fixture was made and left before.
    urllib.request.urlopen(
        urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    ).close()
    patched = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        patched.setenv(name, value)
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    type(fs).clear_instance_cache()  # those that are kept know the server before
    fs.mkdir(BUCKET)
    try:
        yield fs
    finally:
        patched.undo()
        server.stop()


@pytest.fixture(scope="module")
def workers(s3):
    """Two worker processes, made with the S3 server's environment."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="localhost:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def served():
    with serve(n_entries=200, seed=5) as url:
        yield url


@pytest.fixture(autouse=True)
def no_faults(served):
    yield
    served.faults = None


@pytest.fixture
def place(s3, request):
    return f"s3://{BUCKET}/{request.node.name.replace('[', '-').rstrip(']')}/h"


def query_of(url, **options):
    return ArchiveQuery(url=str(url), **(FAST | {"required": REQUIRED} | options))


def ids_at(url):
    return sorted(e.entry_id for e in url.corpus.entries if e.state == "public")


def frame_of(place):
    return open_dataset(place).compute(scheduler="sync")


def keys(s3, place):
    s3.invalidate_cache()
    root = place.removeprefix("s3://")
    return sorted(path[len(root) + 1 :] for path in s3.find(root))


def no_secret(text):
    assert SECRET not in text, text
    return text


def test_a_harvest_into_a_bucket_is_the_same_dataset(s3, served, workers, place, tmp_path):
    gone = ids_at(served)[:2]
    served.faults = Faults(missing=gone)
    report = query_of(served).to_parquet(place, client=workers, npartitions=3)
    local = query_of(served).to_parquet(tmp_path / "h", client=workers, npartitions=3)
    assert report.complete and report.rows == local.rows == 200
    parts, receipts = [[f"{stem}-{k:05d}" for k in range(3)] for stem in ("part", "")]
    assert keys(s3, place) == sorted(
        [f"data/{p}.parquet" for p in parts]
        + [f"segments/{r[1:]}.json" for r in receipts]
        + ["failures.parquet", "manifest.json"]
    ), "and nothing else: no probe, no temporary file"
    pd.testing.assert_frame_equal(frame_of(place), frame_of(tmp_path / "h"))
    assert units(place) == units(tmp_path / "h") and any("joule" in unit for unit in units(place).values())
    assert set(gone) <= set(pd.read_parquet(f"{place}/failures.parquet").entry_id)
    lazy = open_dataset(place)
    assert lazy.npartitions == 3 and lazy.known_divisions
    entry = ids_at(served)[100]
    assert list(lazy.loc[entry].compute(scheduler="sync").index) == [entry]
    column = "results.properties.n_calculations"
    assert lazy[[column]].compute(scheduler="sync").columns.tolist() == [column]


def test_other_readers_take_the_data_by_its_url(served, workers, place):
    query_of(served).to_parquet(place, client=workers, npartitions=3)
    whole = frame_of(place)
    pd.testing.assert_frame_equal(pd.read_parquet(f"{place}/data", dtype_backend="pyarrow"), whole)
    assert len(dd.read_parquet(f"{place}/data").compute(scheduler="sync")) == len(whole)


def test_parts_come_before_their_receipts_and_the_manifest_before_all(s3, served, workers, place):
    query_of(served).to_parquet(place, client=workers, npartitions=4)
    root = place.removeprefix("s3://")
    written = {key: s3.info(f"{root}/{key}")["LastModified"] for key in keys(s3, place)}
    assert all(written["manifest.json"] <= at for at in written.values())
    for k in range(4):
        assert written[f"data/part-{k:05d}.parquet"] <= written[f"segments/{k:05d}.json"]


def test_what_was_lost_is_fetched_again_and_nothing_else(s3, served, workers, place):
    query = query_of(served)
    query.to_parquet(place, client=workers, npartitions=5)
    whole, root = frame_of(place), place.removeprefix("s3://")
    s3.rm_file(f"{root}/segments/00001.json")
    s3.rm_file(f"{root}/data/part-00003.parquet")
    s3.pipe_file(f"{root}/data/part-00004.parquet", b"overwritten by another")
    assert open_dataset(place).npartitions == 2
    served.log.clear()
    assert query.to_parquet(place, client=workers).complete
    pd.testing.assert_frame_equal(frame_of(place), whole)
    first = [r.body["query"]["entry_id"].get("gt", "") for r in served.log if "entry_id" in r.body["query"]]
    plan = Store.at(place).manifest().plan
    assert set(first) == {plan.segments[k].after for k in (1, 3, 4)}


def test_failed_entries_are_retried_into_their_part(served, workers, place):
    poison = ids_at(served)[7:9]
    served.faults = Faults(poison=poison)
    query = query_of(served)
    assert query.to_parquet(place, client=workers, npartitions=3).failed == 2
    assert set(pd.read_parquet(f"{place}/failures.parquet").query("kind == 'failed'").entry_id) == set(poison)
    assert not set(poison) & set(frame_of(place).index)
    served.faults = None
    assert query.to_parquet(place, client=workers, retry_failures=True).complete
    assert list(frame_of(place).index) == ids_at(served), (
        "this process looks at the store again, not at its memory"
    )


def test_names_are_names_in_a_bucket_too(s3, served, workers, place):
    """Brackets, stars, `::`, percent signs: fsspec would take some for patterns, or for a chain of file
    systems.
    """
    beside = f"{place}/run1"
    query_of(served, results_max=3).to_parquet(beside, client=workers)
    for name in ("run[1]", "a*b?c#d", "x::y % 41 +ä", "~"):
        odd = f"{place}/{name}"
        query = query_of(served, results_max=20)
        assert query.to_parquet(odd, client=workers, npartitions=2).complete
        s3.rm_file(f"{odd.removeprefix('s3://')}/segments/00001.json")
        assert query.to_parquet(odd, client=workers).complete and len(frame_of(odd)) == 20
        assert units(odd) == units(beside)
        assert write_page(odd) == f"{odd}/report.html"
    assert len(frame_of(beside)) == 3
    with pytest.raises(UserError, match="names one version of an object"):
        open_dataset(f"{beside}?versionId=3")


def test_another_query_is_refused(served, workers, place):
    query_of(served).to_parquet(place, client=workers)
    served.log.clear()
    with pytest.raises(DatasetError, match="another query"):
        query_of(served, owner="public").to_parquet(place, client=workers)
    assert served.log.count() == 0


def test_a_place_with_other_things_is_refused_until_they_are_gone(s3, served, workers, place):
    root = place.removeprefix("s3://")
    s3.pipe_file(f"{root}/thesis.tex", b"")
    served.log.clear()
    with pytest.raises(DatasetError, match=r"thesis\.tex"):
        query_of(served).to_parquet(place, client=workers)
    assert served.log.count() == 0
    s3.rm_file(f"{root}/thesis.tex")
    assert query_of(served).to_parquet(place, client=workers).complete


def test_empty_objects_that_stand_for_folders_are_no_obstacle(s3, served, workers, place):
    """What the consoles of stores make when somebody makes a folder there."""
    for name in ("", "data/", "segments/"):
        s3.pipe_file(f"{place.removeprefix('s3://')}/{name}", b"")
    assert query_of(served).to_parquet(place, client=workers, npartitions=2).complete
    assert list(frame_of(place).index) == ids_at(served)


def test_tables_have_a_place_each(s3, served, workers, place):
    report = query_of(served).to_parquet(place, client=workers, npartitions=2, layout="tables")
    assert report.complete
    for path, folder in {
        "results.properties.n_calculations": "results.properties.n_calculations",
        "run[-1].calculation.energy.total": "run%5B-1%5D.calculation.energy.total",
    }.items():
        assert s3.exists(f"{place.removeprefix('s3://')}/data/{folder}/part-00001.parquet")
        mine = open_dataset(place)[path].compute(scheduler="sync")
        assert len(mine) and len(dd.read_parquet(f"{place}/data/{folder}")) == len(mine)


def arguments(url, place, *more):
    line = [sys.executable, "-m", "nomad_dask", "harvest", "--url", str(url), "--out", place]
    line += ["--required", json.dumps(REQUIRED), "--workers", "1", "--max-requests-per-second", "0"]
    return [*line, "--batch-size", "5", *map(str, more)]


def test_killed_and_resumed_by_the_command(s3, served, place, command, call):
    served.faults = Faults(latency=0.05)
    client = subprocess.Popen(
        arguments(served, place, "--npartitions", 20),
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
    )
    for line in client.stderr:
        if " of 200 entries" in line and not line.startswith("0 of"):
            break
    client.send_signal(signal.SIGKILL)
    assert client.wait(60) == -signal.SIGKILL
    store = Store.at(place)
    before = set(store.receipts(store.manifest().id))
    assert 0 < len(before) < 20
    assert "still to do" in call("status", place, check=1).stdout
    served.faults = None
    done = command("resume", place, "--workers", 1, check=0)
    assert done.stdout.startswith("200 entries in s3://")
    no_secret(done.stdout + done.stderr)
    assert call("status", place, check=0).stdout.startswith("200 entries in s3://")
    assert list(frame_of(place).index) == ids_at(served)


def test_two_runs_at_once_do_no_harm(served, workers, place, tmp_path):
    """Both begin, with other plans; one manifest stands, both follow it, and the dataset is whole and
    single.
    """
    query_of(served).to_parquet(tmp_path / "h", npartitions=2, client=workers)
    runs = [
        subprocess.Popen(
            arguments(served, place, "--npartitions", n),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in (6, 7)
    ]
    told = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert len(Store.at(place).manifest().plan) in (6, 7)
    pd.testing.assert_frame_equal(frame_of(place), frame_of(tmp_path / "h"))


@pytest.mark.parametrize("base", ["s3", "memory", "file"])
def test_of_many_that_begin_at_once_one_wins(s3, base, tmp_path):
    """A conditional put, or a link, where the store has one; in memory the first under the interpreter's
    lock.
    """
    url = {"s3": f"s3://{BUCKET}/race", "memory": "memory://race", "file": f"file://{tmp_path}"}[base]
    files = files_at(url if base != "file" else str(tmp_path))
    files.make([])
    with ThreadPoolExecutor(8 if base != "memory" else 1) as pool:
        list(pool.map(lambda k: files.create("manifest.json", b"%d" % k), range(8)))
    first = files.read("manifest.json")
    files.create("manifest.json", b"late")
    assert first in {b"%d" % k for k in range(8)} and files.read("manifest.json") == first


def test_a_put_on_condition_is_what_decides(s3, monkeypatch):
    """Even where a look at the store said that there is nothing yet."""
    files = files_at(f"s3://{BUCKET}/condition")
    files.create("manifest.json", b"first")
    fs = fsspec.filesystem("s3")
    monkeypatch.setattr(type(fs), "exists", lambda self, path, **kwargs: False)
    files.create("manifest.json", b"second")
    monkeypatch.undo()
    assert files.read("manifest.json") == b"first"


@pytest.mark.parametrize("base", ["s3", "file"])
def test_a_manifest_that_another_run_writes_between_two_looks_is_followed(
    served, s3, workers, base, tmp_path, monkeypatch
):
    """The first look finds nothing, the second one the files of the other run."""
    place = f"s3://{BUCKET}/meanwhile" if base == "s3" else str(tmp_path / "h")
    query_of(served).to_parquet(place, client=workers, npartitions=2)
    store, looks = Store.at(place), []
    read = type(store.files).read

    def late(files, name):
        looks.append(name)
        return None if looks == ["manifest.json"] else read(files, name)

    monkeypatch.setattr(type(store.files), "read", late)
    assert store.manifest() is not None and looks == ["manifest.json"] * 2


def test_a_bucket_that_is_not_there(served, command, s3):
    served.log.clear()
    done = command("harvest", "--url", served, "--out", "s3://no-such-bucket/h", "--workers", 1, check=2)
    assert "cannot write to s3://no-such-bucket/h: The specified bucket does not exist" in done.stderr
    assert done.stderr.count("\n") == 1 and served.log.count() == 0, done.stderr
    no_secret(done.stderr)


def test_no_credentials(served, command, s3, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    served.log.clear()
    done = command("harvest", "--url", served, "--out", f"s3://{BUCKET}/none/h", "--workers", 1, check=2)
    assert f"cannot read s3://{BUCKET}/none/h: Unable to locate credentials; check that" in done.stderr
    assert done.stderr.count("\n") == 1 and served.log.count() == 0, done.stderr


def test_a_login_that_may_not_write(s3, served, workers, command, call, monkeypatch):
    """The server asks for real logins now: one is unknown, one may read and not write."""
    boto3 = pytest.importorskip("boto3")
    iam = boto3.client("iam")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    line = ("harvest", "--url", served, "--out", f"s3://{BUCKET}/guarded/h", "--workers", 1)
    begun = ("harvest", "--url", served, "--out", f"s3://{BUCKET}/begun/h", "--results-max", 5)
    call(*begun, "--scheduler", workers.scheduler.address, check=0)
    s3.rm_file(f"{BUCKET}/begun/h/segments/00000.json")
    served.log.clear()
    ask_for_logins(b"0")
    try:
        unknown = no_secret(command(*line, check=2).stderr)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        reader = command(*line, check=2).stderr
        goes_on = command(*begun, "--workers", 1, check=2).stderr
    finally:
        ask_for_logins(b"inf")
    assert f"cannot read s3://{BUCKET}/guarded/h: Forbidden; " in unknown
    assert f"cannot write to s3://{BUCKET}/guarded/h: Access Denied; " in reader
    assert f"cannot write to s3://{BUCKET}/begun/h: Access Denied; " in goes_on
    assert reader.count("\n") == 1 and key["SecretAccessKey"] not in reader
    assert served.log.count() == 0


def ask_for_logins(after):
    """Tell the S3 server after how many requests it asks for logins."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(url, after, {"Content-Type": "text/plain"})).close()


def test_a_missing_package_is_named(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for protocol in ("s3", "s3a"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    served.log.clear()
    with pytest.raises(UserError, match=r"one more package: pip install 'nomad-dask\[s3\]'"):
        query_of(served).to_parquet("s3://bucket/h", workers=1)
    assert served.log.count() == 0


@pytest.mark.parametrize("out", ["sftp://ada:ada-pw@host/h", "s3://key:ada-pw@bucket/h"])
def test_a_password_in_a_url_is_refused(out, call):
    done = call("harvest", "--out", out, check=2)
    assert "password" in done.stderr and "ada-pw" not in done.stderr


def test_the_stores_secret_occurs_nowhere(s3, served, workers, place, caplog, capfd):
    caplog.set_level(logging.INFO)
    query_of(served).to_parquet(place, client=workers, npartitions=2)
    write_page(place)
    assert "report.html" in keys(s3, place)
    root = place.removeprefix("s3://")
    contents = b"".join(s3.cat([f"{root}/{key}" for key in keys(s3, place)]).values())
    logs = repr(workers.get_worker_logs()) + repr(workers.get_scheduler_logs()) + caplog.text
    assert SECRET.encode() not in contents
    no_secret(logs + "".join(capfd.readouterr()))


def test_the_endpoint_may_be_in_fsspecs_configuration(s3, served, place, command, monkeypatch):
    """As `FSSPEC_S3_ENDPOINT_URL`, or in a file of ~/.config/fsspec: of any option of the store."""
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    line = ("--url", served, "--required", json.dumps(REQUIRED), "--workers", 1)
    assert command("harvest", *line, "--out", place, check=0).stdout.startswith("200 entries in s3://")
    assert "manifest.json" in keys(s3, place)


def test_a_file_url_is_the_folder(served, workers, tmp_path):
    report = query_of(served).to_parquet(f"file://{tmp_path}/h", client=workers, npartitions=2)
    assert report.complete and len(pd.read_parquet(tmp_path / "h" / "data")) == 200
    assert Store.at(f"file://{tmp_path}/h") == Store.at(tmp_path / "h"), "written aside and renamed there too"
    assert len(frame_of(f"file://{tmp_path}/h")) == 200


def test_memory_is_this_process(served):
    """With workers in this process it does, with others it is refused."""
    from distributed import Client

    with pytest.raises(UserError, match="memory"):
        query_of(served).to_parquet("memory://here/h", workers=1)
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        assert query_of(served).to_parquet("memory://here/h", client=client, npartitions=3).complete
    assert list(frame_of("memory://here/h").index) == ids_at(served)


def test_a_folder_that_may_not_be_written_is_told_before_anything_is_asked(served, tmp_path, monkeypatch):
    """As root, who may write anywhere, the tests cannot take the right away: the system's answer is put in
    its place.
    """

    def refused(*, prefix, dir):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), dir)

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    query = query_of(served)
    served.log.clear()
    with pytest.raises(UserError, match="Permission denied at .*; choose a folder with write permission"):
        query.to_parquet(tmp_path / "h", workers=1)
    assert served.log.count() == 0 and not (tmp_path / "h").exists()


def test_a_dataset_taken_away_is_not_begun_again(s3, served, workers, place):
    query = query_of(served)
    query.to_parquet(place, client=workers, npartitions=2)
    store = Store.at(place)
    receipt = store.receipts(store.manifest().id)[0]
    s3.rm(place.removeprefix("s3://"), recursive=True)
    with pytest.raises(StorageError, match="was removed while"):
        store.write_part({}, replace(receipt))
    assert keys(s3, place) == []


def test_a_store_that_goes_down_meanwhile(s3, served, command, monkeypatch):
    """What was written is kept; exit code 1, for the same command may do it when the store is there again."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    place = f"s3://{BUCKET}/down/h"
    served.faults = Faults(latency=0.05)
    harvest = subprocess.Popen(
        arguments(served, place, "--npartitions", 20),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    for line in harvest.stderr:
        said.append(line)
        if " of 200 entries" in line and not line.startswith("0 of"):
            break
    server.stop()
    out, err = harvest.communicate(timeout=120)
    assert harvest.returncode == 1, (out, said, err)
    assert f"error: cannot write {place}/" in err and "finished segments are kept" in err
    no_secret(out + err)
    again = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    again.start()
    try:
        served.faults = None
        assert "still to do" in command("status", place, check=1).stdout
        assert command("resume", place, "--workers", 1, check=0).stdout.startswith("200 entries in s3://")
    finally:
        again.stop()


def test_workers_that_lack_the_stores_environment_say_so(s3, served, place, command, monkeypatch):
    """A running cluster has an environment of its own."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    bare |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nowhere"}
    with scheduler() as running, worker(running.said[1], "--no-nanny", env=bare):
        line = ("harvest", "--url", served, "--required", json.dumps(REQUIRED), "--out", place)
        done = command(*line, "--scheduler", running.said[1], check=2)
    assert f"cannot read {place}: Unable to locate credentials" in done.stderr
    assert "in the environment of each process" in done.stderr


def test_an_update_in_a_bucket_is_the_same_dataset(s3, workers, place, tmp_path):
    """New entries come, reprocessed ones are read again, withdrawn ones go with `prune`; twice the same is no
    work.
    """
    corpus = generate(200, seed=6, kind="small", private_share=0.0)
    ids = sorted((entry.entry_id for entry in corpus.entries), key=lambda i: i[::-1])
    changing = Changing(corpus, absent=ids[180:])
    with serve(changing) as url:
        for where in (place, tmp_path / "h"):
            query_of(url).to_parquet(where, client=workers, npartitions=4)
        changing.appear(ids[180:])
        changing.reprocess(ids[:10], lambda tree: {**tree, "results": {"properties": {"n_calculations": 7}}})
        changing.withdraw(ids[20:25])
        for where in (place, tmp_path / "h"):
            report = update_dataset(where, client=workers, prune=True, max_requests_per_second=None)
            assert report.complete and report.rows == 195
        frame = frame_of(place)
        pd.testing.assert_frame_equal(frame, frame_of(tmp_path / "h"))
        assert sorted(frame.index) == sorted({*ids} - {*ids[20:25]})
        before = {
            key: s3.info(f"{place}/{key}")["ETag"] for key in keys(s3, place) if key.startswith("data/")
        }
        update_dataset(place, client=workers, prune=True, max_requests_per_second=None)
        after = {key: s3.info(f"{place}/{key}")["ETag"] for key in keys(s3, place) if key.startswith("data/")}
        assert before == after
