"""SPEC, "Types", "Units": types, units and descriptions come from the server's own schema, if it has one."""

import pandas as pd
import pytest

import nomad_dask
from nomad_dask import ArchiveQuery
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive"
REQUIRED = {
    "run": {"calculation[-1]": {"energy": {"total": "*"}}},
    "results": {"properties": {"n_calculations": "*"}},
}
TOTAL = "run.0.calculation.0.energy.total.value"


@pytest.fixture(scope="module")
def recorded(shared_data):
    with serve(archives=shared_data) as url:
        yield url


def query_of(url, **options):
    how = {"required": REQUIRED, "progress": False, "sleep_time": 0.01}
    return ArchiveQuery(url=str(url), **(how | options))


def test_the_schema_is_asked_for_once_for_all_archives(recorded):
    recorded.log.clear()
    archives = query_of(recorded, required={"run": {"calculation[-1]": "*"}}).download(50)
    assert recorded.log.count(SCHEMA) == 0, (
        "only when it is needed: nothing that a reference may have led to is missing"
    )
    calculations = [a.run[0].calculation[-1] for a in archives if a.run and a.run[0].calculation]
    totals = [c.energy.total for c in calculations if c.energy is not None and c.energy.total is not None]
    assert totals and {str(total.value.units) for total in totals if total.value is not None} == {"joule"}
    assert recorded.log.count(SCHEMA) <= 1


def test_units_and_descriptions_reach_frames_and_parts(recorded, tmp_path):
    query = query_of(recorded, results_max=None)
    assert nomad_dask.units(query.to_delayed(npartitions=1)[0].compute(scheduler="sync"))[TOTAL] == "joule"
    query.download()
    assert nomad_dask.units(query.entries_to_dataframe())[TOTAL] == "joule"
    query.to_parquet(tmp_path / "h", workers=1)
    assert nomad_dask.units(tmp_path / "h")[TOTAL] == "joule"
    assert nomad_dask.units(nomad_dask.open_dataset(tmp_path / "h"))[TOTAL] == "joule"
    import pyarrow.parquet as pq

    field = pq.read_schema(next((tmp_path / "h" / "data").iterdir())).field(TOTAL)
    assert field.metadata[b"unit"] == b"joule" and field.metadata[b"description"]
    assert len(pd.read_parquet(tmp_path / "h" / "data")) == 143


def test_an_older_server_has_no_schema_and_that_is_no_error():
    with serve(n_entries=30, version="1.3") as url:
        frame = query_of(url).to_delayed(npartitions=1)[0].compute(scheduler="sync")
        assert len(frame) == 30 and nomad_dask.units(frame) == {}


def test_types_that_the_user_gives_go_before_all_others():
    with serve(n_entries=30, version="1.3") as url:
        given = {
            "results.properties.n_calculations": "double",
            "run.7.calculation.0.energy.total.never": "list<int64>",
        }
        frame = query_of(url).to_delayed(npartitions=1, schema=given)[0].compute(scheduler="sync")
        assert str(frame["results.properties.n_calculations"].dtype) == "double[pyarrow]"
        assert frame["run.7.calculation.0.energy.total.never"].isna().all() and "list" in str(
            frame["run.7.calculation.0.energy.total.never"].dtype
        )


def test_a_schema_that_cannot_be_had_is_a_warning():
    with serve(n_entries=30, faults=Faults([Rule(Status(500), path=SCHEMA)])) as url:
        with pytest.warns(UserWarning, match="without units"):
            lazy = query_of(url, retry=0).to_delayed(npartitions=1)
        assert len(lazy[0].compute(scheduler="sync")) == 30
