"""An address is not a server: what is kept of one server is never used for the next at the same url."""

import asyncio
import hashlib

import orjson
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.client import transport
from nomad_dask.client.event_loop import process, run
from nomad_dask.client.metainfo_cache import definitions_of
from nomad_dask.client.retry import Policy
from nomad_dask.client.server import Server
from nomad_dask.errors import RequiredError
from nomad_dask.testing import Corpus, serve
from nomad_dask.testing.corpus import Entry
from nomad_dask.testing.faults import Faults, Rule, Status
from nomad_dask.testing.generate import generate

INFO, SCHEMA = "info", "schemas/nomad.datamodel.datamodel.EntryArchive"
LAB = {"lab": {"sample": {"mass": "*"}}}
MATERIAL = {"results": {"material": {"elements": "*"}}}
SILENT = {"progress": False, "sleep_time": 0.01, "max_requests_per_second": None}


def schema_of(unit):
    parts = {
        "s.Lab": {"sample": {"$ref": "#/$defs/s.Sample"}},
        "s.Sample": {"mass": {"type": "number", "unit": unit}},
    }
    return {
        "properties": {"lab": {"$ref": "#/$defs/s.Lab"}},
        "$defs": {name: {"properties": properties} for name, properties in parts.items()},
    }


class Lab(Corpus):
    """Three entries of another schema than the generated ones have."""

    quantities = frozenset({"entry_id", "upload_id"})
    entries = [Entry(letter * 28, "U" * 22, "parsers/lab") for letter in "abc"]

    def __init__(self, unit="gram"):
        self._schema = orjson.dumps(schema_of(unit))

    @property
    def schema_json(self):
        return self._schema

    def document(self, i):
        return {"entry_id": self.entries[i].entry_id, "upload_id": self.entries[i].upload_id}

    def archive(self, i):
        return {"lab": {"sample": {"mass": float(i)}}}


def query_of(url, required, **options):
    return ArchiveQuery(url=str(url), required=required, results_max=None, **(SILENT | options))


def port_of(url):
    return int(str(url).split(":")[2].split("/")[0])


def columns(query):
    delayed = query.to_delayed(npartitions=1)[0]
    return set(delayed.compute(scheduler="sync").columns) - {"upload_id", "_more"}


def test_two_archives_one_after_the_other_on_one_port():
    with serve(generate(20, seed=1)) as url:
        port, material = port_of(url), query_of(url, MATERIAL)
        assert "results.material.elements" in columns(material)
        with pytest.raises(RequiredError):
            columns(query_of(url, LAB))
    with serve(Lab(), port=port) as url:
        lab = query_of(url, LAB)
        assert columns(lab) == {"lab.sample.mass"}
        with pytest.raises(RequiredError, match="has no 'results'"):
            columns(material)
        assert "lab" in str(lab.schema)
        assert str(lab.download()[2].lab.sample.mass) == "2.0 gram"
    with serve(Lab("kilogram"), port=port) as url:
        assert columns(lab) == {"lab.sample.mass"}
        assert str(query_of(url, LAB).download()[2].lab.sample.mass) == "2.0 kilogram"
    with serve(generate(20, seed=1), port=port) as url:
        assert "results.material.elements" in columns(material)
        with pytest.raises(RequiredError, match="has no 'lab'"):
            columns(lab)
    with serve(generate(20, seed=1), port=port, version="1.3") as url:
        assert "results.material.elements" in columns(material)
        with pytest.warns(UserWarning, match="has no schema"):
            columns(lab)  # a server without a schema has nothing to refuse it by


def test_the_schema_of_one_server_is_asked_for_once():
    with serve(generate(20, seed=1)) as url:
        for _ in range(3):
            query_of(url, MATERIAL).to_dask_dataframe(npartitions=2)
            query_of(url, MATERIAL).to_delayed(npartitions=1)
        assert url.log.count(SCHEMA) == 1 and url.log.count(INFO) <= 6
        url.log.clear()
        archives = query_of(url, {"results": "*"}).download()
        assert all(archive.results.material is not None for archive in archives)
        assert url.log.count(SCHEMA) == 0 and url.log.count(INFO) <= 1, "one question for all archives"


@pytest.mark.parametrize("status", [404, 500])
def test_of_a_server_that_says_nothing_of_itself_no_schema_is_kept(status):
    mute = Faults([Rule(Status(status), path=INFO)])
    with serve(Lab(), faults=mute) as url:
        port = port_of(url)
        assert columns(query_of(url, LAB)) == {"lab.sample.mass"}
    with serve(generate(20, seed=1), faults=mute, port=port) as url:
        assert "results.material.elements" in columns(query_of(url, MATERIAL))


def test_a_server_that_fails_for_a_while_keeps_its_schema():
    with serve(Lab()) as url:
        client = transport.Client(Server(str(url), policy=Policy(retry=0)))
        known = run(definitions_of(client))
        url.faults = Faults([Rule(Status(503), path=INFO), Rule(Status(503), path=SCHEMA)])
        assert known is not None and run(definitions_of(client)) is known


def test_tokens_and_the_pace_go_with_the_server():
    with serve(generate(20, seed=1)) as url:
        port = port_of(url)
        query = query_of(url, MATERIAL, username="ada", password="ada-pw", max_requests_per_second=20)
        query.to_delayed(npartitions=1)
        server = query._server
        run(refused_often(transport._limiter(server)))
        assert run(rate_of(server)) < 10
    with serve(Lab(), port=port) as url:
        run(definitions_of(transport.Client(server)))
        assert run(rate_of(server)) == 20
        assert query.count() == 3
        assert url.log.count(status=401) == 0, "the token of another server is not sent"


async def refused_often(gate):
    now = asyncio.get_running_loop().time()
    for second in range(10):
        gate._own.rate.record(now + 30 * second, served=1, refused=5, settle=0)


async def rate_of(server):
    return transport._limiter(server)._own.rate.rate


def test_the_embedded_archive_says_which_schema_it_has():
    same, other = Lab(), Lab("kilogram")
    assert Lab().info == same.info != other.info
    assert same.info["git"] == {"commit": hashlib.sha1(same.schema_json).hexdigest()}
    assert generate(5).info == generate(7, seed=3).info, "one schema for all generated archives"


def test_what_is_kept_of_other_servers_stays():
    with serve(Lab()) as first, serve(Lab("kilogram")) as second:
        clients = [transport.Client(Server(str(url))) for url in (first, second)]
        known = [run(definitions_of(client)) for client in clients]
        assert [run(definitions_of(client)) for client in clients] == known
        assert len({id(gate) for gate in process().all(transport.Limiter)}) >= 2
