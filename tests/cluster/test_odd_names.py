"""Issue 13: a path is a name, never a pattern: with brackets, stars, spaces, `::`, or what else a file system
allows.

On a disk and in memory here; in a bucket in `test_object_store`.
"""

import contextlib
import os
import shlex
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery, open_dataset, units, update_dataset
from nomad_dask.dataset.files import absolute, is_url
from nomad_dask.dataset.report import Report, advice
from nomad_dask.dataset.store import Store
from nomad_dask.errors import UserError
from nomad_dask.report_page.write import write_page
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

FAST = {"max_requests_per_second": None, "sleep_time": 0.01}
REQUIRED = {"run": {"calculation": {"energy": {"total": "*"}}}}
LETTERS = "[]*?!#%~ \t\n'\"$&;|<>\\{}():,=+@^`-._aZ1äß中😀\u202e"
names = st.text(st.sampled_from(LETTERS) | st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)
EXAMPLES = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}
names = names.filter(lambda name: name not in (".", "..", "~") and len(name.encode()) < 200)


@pytest.fixture(scope="module")
def made():
    from distributed import Client

    with (
        serve(n_entries=6, seed=3, kind="small", private_share=0) as url,
        Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="localhost:0") as client,
    ):
        url.faults = Faults(poison=[url.corpus.entries[0].entry_id])
        yield url, client


def every_command(made, place, call):
    """Harvest, resume, update, and all readers, of a dataset at `place`; beside it lies what a pattern would
    find.
    """
    url, client = made
    query = ArchiveQuery(url=str(url), required=REQUIRED, results_max=None, progress=False, retry=0, **FAST)
    store = Store.at(place)
    assert query.to_parquet(place, client=client, npartitions=2).rows == 5
    assert store.finished(store.stored()).keys() == {0, 1}
    assert len(open_dataset(place).compute(scheduler="sync")) == 5
    assert query.to_parquet(place, client=client, retry_failures=True).failed == 1
    assert update_dataset(place, client=client, progress=False, **FAST).done == 2
    assert units(place) and set(units(place).values()) == {"joule"}
    assert write_page(place).endswith("/report.html")
    assert call("status", "--", place, check=3).stdout.startswith("5 entries in ")
    assert '"failed":1' in call("status", "--json", "--", place, check=3).stdout.replace(" ", "")
    call("report", "--", place, check=0)
    return store


@settings(max_examples=4, **EXAMPLES)
@given(names)
@example("run[1]")
@example("a*b?c")
@example("-x")
@example("~root::x")
@example("%41 #1.\n")
@example(os.fsdecode(b"no-text-\xff"))
def test_on_a_disk(made, call, name):
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for trap in ("run1", "axbyc", "A"):
            Path(trap).mkdir()
            Path(trap, "manifest.json").write_text("{}")
        store = every_command(made, name, call)
        assert store.url == f"{os.getcwd()}/{name}"
        assert Store.at(store.url) == Store.at(f"file://{store.url}") == store, "and so it stays"
        assert set(os.listdir()) - {name} <= {"run1", "axbyc", "A"}
        with open(f"{name}/failures.parquet".encode("utf-8", "surrogateescape"), "rb") as file:
            assert len(pq.read_table(file)) == 1
        for _, command in advice(Report(2, 6, failed=1), name):
            assert Store.at(shlex.split(command)[2]) == store and not shlex.split(command)[2].startswith("-")
        out = f"{name}.html"
        assert write_page(name, out) == out and Path(out).stat().st_size > 1000


@settings(max_examples=4, **EXAMPLES)
@given(names)
@example("run[1]")
@example("a*b?c#d")
@example("x::y")
def test_in_memory(made, call, name):
    import fsspec

    memory = fsspec.filesystem("memory")
    try:
        store = every_command(made, f"memory://odd/{name}", call)
        inside = f"odd/{name}/" if "::" in name else f"/odd/{name}/"
        assert all(path.startswith(inside) for path in memory.store), list(memory.store)
        assert is_url(store.url)
        assert write_page(store.url, f"{store.url}.html") == f"{store.url}.html"
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


def test_only_a_tilde_alone_or_before_a_slash_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    assert absolute("~") == str(tmp_path) and absolute("~/h") == absolute(Path("~/h")) == f"{tmp_path}/h"
    assert absolute("~root") == f"{tmp_path.parent}/~root" and absolute("./~") == f"{tmp_path.parent}/~"
    assert absolute("/tmp/a://b") == "/tmp/a:/b" and absolute("file:///tmp/s3:") == "/tmp/s3:"


@pytest.mark.parametrize("place", ["", "a\0b", b"h", 5, None])
def test_what_is_no_name_is_refused(place):
    with pytest.raises(UserError, match="the path of a dataset must be a path or a URL, not "):
        open_dataset(place)


@pytest.mark.parametrize("url", ["s3://ada:pw@host/h", "sftp://ada:p@w@host/h", "memory://u:[x]@h/h"])
def test_a_password_is_seen_whatever_stands_in_it(url):
    with pytest.raises(UserError, match="a password in a") as caught:
        absolute(url)
    assert "pw" not in str(caught.value) and "[x]" not in str(caught.value)
