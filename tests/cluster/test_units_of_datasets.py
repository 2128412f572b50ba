"""SPEC, "Units": frames and datasets in the units that a user chose; a dataset keeps its choice."""

import dask
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nomad_dask import ArchiveQuery, convert_units, open_dataset, units, update_dataset
from nomad_dask.errors import DatasetError, UserError
from nomad_dask.layouts.to_pandas import units_of
from nomad_dask.testing import Changing, serve
from nomad_dask.testing.generate import PLAIN, generate

ENERGY, FORCES = "energy.total.value", "forces.total.value"
REQUIRED = {
    "run": {"calculation[-1]": {"energy": {"total": {"value": "*"}}, "forces": {"total": {"value": "*"}}}},
    "results": {"properties": {"n_calculations": "*"}},
}
JOULE = 1.602176634e-19
LAYOUTS = pytest.mark.parametrize("layout", ["wide", "nested", "tables"])


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture
def archive():
    return generate(120, seed=6, kind="mixed", private_share=0.0, features=PLAIN)


@pytest.fixture
def absent(archive):
    """The last 20 entries, which come later."""
    return [entry.entry_id for entry in archive.entries][100:]


@pytest.fixture
def changing(archive, absent):
    return Changing(archive, absent=absent)


@pytest.fixture
def served(changing):
    with serve(changing) as url:
        yield url


def query_of(url, **options):
    options = {"required": REQUIRED, "progress": False, "max_requests_per_second": None} | options
    return ArchiveQuery(url=str(url), **options)


def frames(data):
    return data if isinstance(data, dict) else {"": data}


def computed(data):
    return {key: frame.compute() for key, frame in frames(data).items()}


def same(one, other):
    """The dataframes are equal, with the same units."""
    assert one.keys() == other.keys()
    for key, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[key])
        assert (
            frame.attrs["units"] == other[key].attrs["units"] and "joule" not in frame.attrs["units"].values()
        )


@LAYOUTS
def test_all_ways_to_a_frame_give_the_same_numbers(served, cluster, layout, tmp_path):
    query = query_of(served)
    expected = {
        key: convert_units(frame, "atomistic")
        for key, frame in frames(query.to_pandas(layout=layout)).items()
    }
    found = {unit for frame in expected.values() for unit in frame.attrs["units"].values()}
    assert found == {"eV", "eV/angstrom"}
    lazy = query.to_dask_dataframe(layout=layout, units="atomistic", npartitions=3)
    assert frames(units(lazy)).keys() == frames(units(query.to_pandas(layout=layout))).keys()
    same(computed(lazy), expected)
    same(frames(query.to_pandas(layout=layout, units="atomistic")), expected)
    (first, *_) = query.to_delayed(layout=layout, units="atomistic", npartitions=3)
    key, part = next(iter(frames(first.compute()).items()))
    pd.testing.assert_frame_equal(part, expected[key].loc[part.index[0] : part.index[-1]])
    path = tmp_path / "stored"
    assert query.to_parquet(path, layout=layout, units="atomistic", client=cluster, npartitions=3).complete
    same(computed(open_dataset(path)), expected)
    same(computed(open_dataset(path, units="atomistic")), expected)
    query.to_parquet(plain := tmp_path / "si", layout=layout, client=cluster, npartitions=2)
    same(computed(open_dataset(plain, units="atomistic")), expected)
    again = computed(open_dataset(path, units="SI"))
    for key, frame in frames(query.to_pandas(layout=layout)).items():
        assert again[key].attrs["units"] == frame.attrs["units"]
        if layout == "tables":
            pd.testing.assert_frame_equal(again[key], frame, rtol=2**-51)


def test_a_download_becomes_frames_in_these_units(served):
    query = query_of(served)
    query.download()
    plain, frame = query.entries_to_dataframe(), query.entries_to_dataframe(units={"[energy]": "eV"})
    (energy,) = [name for name in frame if name.endswith(ENERGY)]
    assert (frame[energy] * JOULE - plain[energy]).abs().max() <= 1e-15 * plain[energy].abs().max()
    (forces,) = [name for name in frame if name.endswith(FORCES)]
    assert frame.attrs["units"] == {energy: "eV", forces: "newton"} and frame[forces].equals(plain[forces])
    by_path = query.entries_to_dataframe(from_query=True, units={f"run.calculation.{ENERGY}": "hartree"})
    table = by_path[f"run.calculation[-1].{ENERGY}"]
    assert table.attrs["units"] == {"value": "hartree"}
    assert table["value"].min() == pytest.approx(frame[energy].min() / 27.211386)
    short = query.entries_to_dataframe("run.0.calculation.0.energy.total", units="atomistic")
    assert short.attrs["units"] == {"value": "eV"} and short["value"].equals(frame[energy].rename("value"))


@LAYOUTS
def test_a_dataset_keeps_its_choice_for_life(served, changing, absent, cluster, layout, tmp_path, call):
    path, query = tmp_path / "stored", query_of(served)
    options = {"layout": layout, "client": cluster, "npartitions": 2}
    query.to_parquet(path, units={"[energy]": "eV"}, **options)
    parts = sorted(path.glob("data/**/*.parquet"))
    found = {unit for part in parts for unit in units_of(pq.read_schema(part)).values()}
    assert found == {"eV", "newton"}
    for other in (None, "SI", "atomistic"):
        with pytest.raises(DatasetError, match="the dataset of another query: units is .*eV.* there and"):
            query.to_parquet(path, units=other, **options)
    assert query.to_parquet(path, units={"[energy]": "eV"}, **options).complete
    assert call("resume", path, "--workers", 1, check=0).returncode == 0
    changing.appear(absent)
    assert update_dataset(path, client=cluster, max_requests_per_second=None).rows == 120
    if layout == "wide":
        same(computed(open_dataset(path)), frames(query.to_pandas(units={"[energy]": "eV"})))


def test_the_command_takes_units_and_so_does_a_job_file(served, tmp_path, call):
    required = '{"run": {"calculation[-1]": {"energy": {"total": "*"}}}}'
    common = ("--url", served, "--required", required, "--workers", 1)
    call("harvest", *common, "--units", "atomistic", "--out", tmp_path / "a", check=0)
    call("harvest", *common, "--units", '{"[energy]": "eV"}', "--out", tmp_path / "b", check=0)
    job = tmp_path / "job.toml"
    job.write_text(f"url = '{served}'\nrequired = '{required}'\nworkers = 1\n[units]\n'[energy]' = 'eV'\n")
    call("harvest", job, "--out", tmp_path / "c", check=0)
    first, *others = [open_dataset(tmp_path / name).compute() for name in "abc"]
    assert {*first.attrs["units"].values()} == {"eV"}
    for other in others:
        pd.testing.assert_frame_equal(first, other)
    done = call("harvest", *common, "--units", "atomic", "--out", tmp_path / "d", check=2)
    assert "units: unknown preset 'atomic'; did you mean 'atomistic'?" in done.stderr
    assert not (tmp_path / "d").exists()


def test_what_cannot_be_is_refused_before_any_archive_is_asked_for(served):
    query = query_of(served)
    for given in ("ev", {"[energy]": "meter"}, {"[energy]": "foo"}, {"results.material": "eV"}):
        served.log.clear()
        with pytest.raises(UserError, match="^units: "):
            query.to_dask_dataframe(units=given)
        assert served.log.count() == 0
    with pytest.raises(UserError, match=f"run.calculation.{ENERGY} has the unit joule, which cannot be"):
        query.to_dask_dataframe(units={f"run.calculation.{ENERGY}": "angstrom"})
    assert served.log.count("entries/archive/query") == 0


def test_the_page_names_the_units_of_the_numbers(served, cluster, tmp_path, call):
    query_of(served).to_parquet(tmp_path / "d", units="atomistic", client=cluster)
    call("report", tmp_path / "d", check=0)
    page = (tmp_path / "d" / "report.html").read_text()
    assert ">eV<" in page and ">joule<" not in page
