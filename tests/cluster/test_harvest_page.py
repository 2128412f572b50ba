"""SPEC, "Harvest page": `nomad-dask report`, and the page that each harvest leaves, however it ends."""

import os
from contextlib import contextmanager

import pytest

from nomad_dask.dataset.store import Store
from nomad_dask.report_page import write
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

REQUIRED = '{"results": {"material": "*"}, "run": {"calculation": {"energy": {"total": "*"}}}}'
HASTY = ("--max-requests-per-second", 0, "--sleep-time", 0.01, "--retry", 2, "--npartitions", 6)


@pytest.fixture(scope="module")
def url():
    with serve(n_entries=120, seed=6) as url:
        gone = next(e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive)
        url.faults = Faults(missing=[gone])
        yield url


@pytest.fixture
def harvested(url, on_cluster, tmp_path):
    def run(*given, url=url, check=0, required=REQUIRED):
        line = ("harvest", "--url", url, "--required", required, "--out", tmp_path / "h", *HASTY)
        return on_cluster(*line, *given, check=check), tmp_path / "h"

    return run


def test_a_harvest_leaves_its_page_beside_the_manifest(harvested):
    done, out = harvested()
    assert f"report: {out}/report.html" in done.stdout
    page = (out / "report.html").read_text()
    assert "Complete." in page and "6 of 6 segments done" in page
    assert 'href="failures.parquet"' in page
    assert "results.material.chemical_formula_reduced" in page
    assert sorted(path.name for path in out.iterdir()) == [
        *(".aside", "data", "failures.parquet", "manifest.json", "report.html", "segments"),
    ]
    assert all(path.suffix == ".parquet" for path in (out / "data").iterdir())
    assert not list((out / ".aside").iterdir())


def test_a_page_elsewhere_links_to_the_failures(harvested, call, tmp_path, monkeypatch):
    _, out = harvested()
    (tmp_path / "pages").mkdir()
    monkeypatch.chdir(tmp_path / "pages")
    told = call("report", "../h", "-o", "mine.html", check=0).stdout
    assert told == "the harvest page is mine.html\n"
    assert 'href="../h/failures.parquet"' in (tmp_path / "pages" / "mine.html").read_text()
    assert os.listdir(tmp_path / "pages") == ["mine.html"]
    assert "cannot write" in call("report", out, "-o", "nowhere/mine.html", check=2).stderr


def test_an_unfinished_harvest_has_a_page_that_says_how_to_go_on(harvested, call):
    _, out = harvested()
    for number in (1, 4):
        (out / "segments" / f"{number:05d}.json").unlink()
    assert call("report", out, check=0).stdout == f"the harvest page is {out}/report.html\n"
    page = (out / "report.html").read_text()
    assert "Not finished" in page and "4 of 6 segments done" in page
    assert "nomad-dask resume h</code>" in page
    assert page.count('class="left"><title>') == 2


def test_a_harvest_that_gives_up_leaves_a_page(harvested):
    with serve(n_entries=120, seed=6) as url:
        _, out = harvested(url=url)
        for receipt in (out / "segments").iterdir():
            receipt.unlink()
        (out / "report.html").unlink()
        url.faults = Faults([Rule(Status(503))])
        assert "segments are left to do" in harvested(url=url, check=1)[0].stderr
    assert "0 of 6 segments done" in (out / "report.html").read_text()


def test_failed_entries_are_grouped_by_reason(harvested):
    with serve(n_entries=120, seed=6) as url:
        bad = [e.entry_id for e in url.corpus.entries if e.state == "public" and e.has_archive][:3]
        url.faults = Faults(poison=bad)
        _, out = harvested(url=url, check=3)
    page = (out / "report.html").read_text()
    assert "3 entries failed: not in the data, listed with reasons in failures.parquet" in page
    assert "nomad-dask resume h --retry-failures" in page
    assert all(entry_id in page for entry_id in bad)
    assert page.count("<summary>entry ids</summary>") == 1, "they failed for one reason"


@pytest.mark.parametrize(
    ("given", "required", "row"),
    [
        (["--layout", "wide"], REQUIRED, "run.0.calculation.0.energy.total.value"),
        (["--layout", "nested"], REQUIRED, "run.calculation.energy.total.value"),
        (["--layout", "tables"], REQUIRED, "value"),
        (["--source", "documents"], '["results.material", "entry_name"]', "entry_name"),
    ],
)
def test_columns_of_each_layout(harvested, given, required, row):
    """Each column of the schema has its row, with a share of nulls, and an example where there is a value."""
    _, out = harvested(*given, required=required)
    page = (out / "report.html").read_text()
    found = [one for one in page.split("<tr") if 'scope="row"' in one and f"<code>{row}</code>" in one]
    assert found, page[-3000:]
    assert "%</td>" in found[0] and "<td><code>" in found[0]


def test_shares_and_examples_are_those_of_the_data(harvested):
    """Against the dataframe that pandas reads."""
    import pandas as pd

    _, out = harvested()
    frame = pd.read_parquet(out / "data", dtype_backend="pyarrow").reset_index()
    store = Store.at(out)
    manifest = store.manifest()
    found = write.sample_columns(store, manifest, store.receipts(manifest.id))
    seen = found.samples[""]
    assert seen.parts == 6 and seen.rows == len(frame)
    for place, leaf in enumerate(found.leaves[""]):
        if not leaf.listed:
            assert seen.nulls[place] == frame[leaf.path].isna().sum(), leaf.path
        if leaf.type == "string" and place in seen.examples:
            assert seen.examples[place][:79] in {str(value)[:79] for value in frame[leaf.path]}


@contextmanager
def nothing_to_write(folder):
    """No file can be written in a folder, not even by root: a file is where its temporary ones go."""
    (folder / ".aside").rmdir()
    (folder / ".aside").write_text("")
    try:
        yield
    finally:
        (folder / ".aside").unlink()


def test_a_page_that_cannot_be_written_is_a_note_and_no_failure(harvested, call):
    _, out = harvested()
    (out / "report.html").unlink()
    with nothing_to_write(out):
        assert write.leave_page(str(out)) is None
        assert "is a file where a folder should be" in call("report", out, check=2).stderr


def test_a_page_that_cannot_be_made_is_no_failure(harvested, monkeypatch):
    monkeypatch.setattr(write, "sample_columns", lambda *_: 1 / 0)
    done, out = harvested()
    assert "note: no harvest page was written" in done.stderr and "report: " not in done.stdout
    assert not (out / "report.html").exists()


def test_a_page_alone_does_not_keep_a_harvest_off(harvested):
    """A folder whose manifest was taken away may be begun anew."""
    _, out = harvested()
    (out / "manifest.json").unlink()
    harvested()


def test_no_dataset_has_no_page(call, tmp_path):
    assert "is not a dataset" in call("report", tmp_path, check=2).stderr
    assert not list(tmp_path.iterdir())


def test_the_page_of_a_store_without_folders(harvested, call):
    import fsspec

    _, out = harvested()
    (out / "report.html").unlink()
    fsspec.filesystem("memory").put(str(out), "/page/h", recursive=True)
    assert call("report", "memory://page/h", check=0).stdout.endswith(" memory://page/h/report.html\n")
    page = fsspec.filesystem("memory").cat("/page/h/report.html").decode()
    assert "Complete." in page and "resume" not in page
    call("report", "memory://page/h", "-o", "memory://elsewhere/mine.html", check=0)
    assert "<code>failures.parquet</code>" in fsspec.filesystem("memory").cat("/elsewhere/mine.html").decode()


def test_a_part_that_is_gone_is_passed_over(harvested, call):
    _, out = harvested()
    store = Store.at(out)
    manifest = store.manifest()
    receipts = store.receipts(manifest.id)
    (out / "data" / "part-00002.parquet").write_bytes(b"PAR1")
    assert write.sample_columns(store, manifest, receipts).samples[""].parts == 5
    call("report", out, check=0)
    assert "5 of 6 segments done" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("manifest.json", "must be a .html file"),
        ("data/part-00000.parquet", "must be a .html file"),
        ("data/mine.html", "in a folder of the dataset"),
        ("segments/../data/mine.html", "in a folder of the dataset"),
    ],
)
def test_a_page_never_takes_the_place_of_the_datasets_own_files(harvested, call, place, words):
    _, out = harvested()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert words in call("report", out, "-o", f"{out}/{place}", check=2).stderr
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    call("report", out, "-o", f"{out}/mine.html", check=0)
