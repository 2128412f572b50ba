"""SPEC, "Required", "keys_to_filter": a wrong path gets similar names, before any work where possible."""

import warnings

import pytest

from nomad_dask import ArchiveQuery, UserError
from nomad_dask.client.event_loop import run
from nomad_dask.errors import RequiredError
from nomad_dask.testing import serve

SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive"
WRONG = {"results": {"materal": "*"}}
UNUSUAL = {"results": {"material": {"elements": "*"}}, "workflow2": {"of_a_plugin": "*"}}


@pytest.fixture
def url():
    with serve(n_entries=40, seed=2) as url:
        yield url


def query_of(url, required, **options):
    return ArchiveQuery(url=str(url), required=required, progress=False, retry=0, **options)


@pytest.mark.parametrize("source", ["archives", "documents"])
@pytest.mark.parametrize("verb", ["to_dask_dataframe", "to_delayed", "to_parquet"])
def test_in_bulk_it_is_refused_before_any_archive_is_asked_for(url, tmp_path, verb, source):
    work = getattr(query_of(url, WRONG, source=source), verb)
    with pytest.raises(RequiredError, match=r"has no 'results.materal'; did you mean 'results.material'\?"):
        work(tmp_path / "h") if verb == "to_parquet" else work()
    assert url.log.count("entries/archive/query") == 0 and url.log.count("entries/query") <= 2
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_what_is_only_unusual_is_a_warning_once_the_sample_has_nothing_there(url):
    with pytest.warns(
        UserWarning, match="nothing is at 'workflow2.of_a_plugin' in any of 4. entries.*requested anyway"
    ):
        query_of(url, UNUSUAL).to_delayed()


@pytest.mark.parametrize("as_plain_dict", [False, True])
def test_the_first_download_warns_and_asks_for_the_schema_only_then(url, as_plain_dict):
    query = query_of(url, WRONG)
    with pytest.warns(UserWarning, match="did you mean 'results.material'") as told:
        assert len(query.download(5, as_plain_dict=as_plain_dict)) == 5
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query.download(5)
        query_of(url, {"results": {"material": {"elements": "*"}}}).download(5)
    assert url.log.count(SCHEMA) == 1


def test_an_awaited_download_warns_too(url):
    async def awaited():
        return await query_of(url, WRONG).async_download(3)

    with pytest.warns(UserWarning, match="did you mean 'results.material'"):
        assert len(run(awaited())) == 3


def test_a_server_without_a_schema_tells_what_came_to_nothing():
    with serve(n_entries=40, version="1.3") as url:
        with pytest.warns(
            UserWarning, match="nothing is at 'results.materal' in any of 40 entries.*no schema"
        ):
            query_of(url, WRONG).to_delayed()
        with pytest.warns(UserWarning, match="nothing is at 'results.materal' in any of 5 entries"):
            query_of(url, WRONG).download(5)


def test_a_key_that_is_right_and_idle_says_why(url):
    query = query_of(url, {"results": {"material": "*"}})
    query.download(3)
    for how in ({}, {"from_query": True}):
        with pytest.raises(UserError, match="required does not ask for it, only for results.material"):
            query.entries_to_dataframe(keys_to_filter=["run.calculation"], **how)
        with pytest.raises(UserError, match="none of these entries has it"):
            query.entries_to_dataframe(keys_to_filter=["results.material.material_name"], **how)
        with pytest.raises(UserError, match="did you mean 'results.material.elements'"):
            query.entries_to_dataframe(keys_to_filter=["results.material.elemnts"], **how)
