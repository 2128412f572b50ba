"""Issue 7: finding one's way in the archive: `query.schema` and `nomad-dask schema`."""

import pickle
from html.parser import HTMLParser

import orjson
import pytest

from nomad_dask import ArchiveQuery, UserError
from nomad_dask.errors import ServerError, UnreachableError
from nomad_dask.query.schema_tree import SchemaTree
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

SCHEMA = "schemas/nomad.datamodel.datamodel.EntryArchive"


def schema_of(url, **options):
    return ArchiveQuery(url=str(url), progress=False, retry=0, **options).schema


@pytest.fixture(scope="module", params=["generated", "recorded"])
def server(request):
    archives = request.getfixturevalue("shared_data") if request.param == "recorded" else None
    with serve(n_entries=30, archives=archives) as url:
        yield url


@pytest.fixture(scope="module")
def schema(server):
    return schema_of(server)


def test_the_schema_costs_one_request(server):
    server.log.clear()
    tree = schema_of(server)
    repr(tree.results.material)
    tree.find("gap")
    assert server.log.count(SCHEMA) <= 1, "and none where the process has it already"
    assert server.log.count() - server.log.count(SCHEMA) == 1, (
        "and a small one, whether the server is the same still"
    )


def test_one_walks_by_attributes_items_and_paths(schema):
    energy = schema.run[-1].calculation[0:2].energy
    assert energy.required == {"run[-1]": {"calculation[0:2]": {"energy": "*"}}}
    assert schema["run"]["calculation"].about == schema["run.0.calculation"].about
    assert schema.results.material.n_elements.about.type == "int64"
    assert energy.total.value.about.unit == "joule"
    followed = schema.workflow2.results.calculation_result_ref.energy.total.value
    assert followed.about.unit == "joule" and followed.required["workflow2"]["results"]
    assert schema.required == "*"


def test_what_is_asked_for_as_the_schema_says_comes(server, schema):
    required = schema.results.material.n_elements.required
    query = ArchiveQuery(url=str(server), required=required, progress=False)
    assert all(set(archive.to_dict()) >= {"results"} for archive in query.download(5) if archive.results)


def test_names_are_listed_and_completed(schema):
    assert {"run", "results", "workflow2", "metadata"} <= set(schema)
    assert "material" in schema.results and "nope" not in schema.results
    assert {"material", "about", "find", "required", "inside"} <= set(dir(schema.results))
    assert schema._ipython_key_completions_() == list(schema) and len(schema) == len(list(schema))
    assert schema.results.material.n_elements and not list(schema.results.material.n_elements)


def test_a_search_finds_paths_with_type_unit_and_description(schema):
    found = schema.find("gap value")
    assert found and found[0].unit == "joule" and found[0].path.endswith("band_gap.value")
    assert found[0].path in repr(found) and len(found[:1]) == 1
    assert all(one.path.startswith("results.") for one in schema.results.find("gap"))


def test_a_wrong_name_says_what_was_meant(schema):
    with pytest.raises(AttributeError, match=r"has no 'results.materal'; did you mean 'results.material'\?"):
        _ = schema.results.materal
    with pytest.raises(UserError, match="did you mean 'results.material.n_elements'"):
        schema["results.materal.n_elements"]
    with pytest.raises(UserError, match=r"results is not a repeating section, so \[0\] cannot be used"):
        schema.results[0]
    with pytest.raises(UserError, match="without step"):
        schema.run[::2]
    assert not hasattr(schema, "_repr_png_") and not hasattr(schema, "materal")


class Elements(HTMLParser):
    """The names of the elements that are opened."""

    def __init__(self):
        super().__init__()
        self.names = []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)


def test_it_looks_like_something(schema):
    told = repr(schema.results.material)
    assert told.splitlines()[0] == "results.material: section Material"
    assert "{'results': {'material': '*'}}" in told
    assert any(line.split()[:2] == ["n_elements", "int64"] for line in told.splitlines())
    for shown in (schema.results.material, schema.find("energy"), schema.results.material.n_elements):
        page = Elements()
        page.feed(shown._repr_html_())
        assert "b" in page.names and set(page.names) <= {
            "div",
            "b",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "caption",
            "code",
        }
    assert "more" in repr(schema.find("e"))


def test_what_a_server_says_is_escaped():
    evil = {
        "properties": {"<b>": {"type": "string", "description": "<script>alert(1)</script>", "unit": "<i>"}}
    }
    from nomad_dask.metainfo.definitions import Definitions

    tree = SchemaTree(Definitions(evil))
    for shown in (tree, tree["<b>"], tree.find("script")):
        assert "<script" not in shown._repr_html_() and "<i>" not in shown._repr_html_()


def test_a_place_pickles(schema):
    place = pickle.loads(pickle.dumps(schema.results.material))
    assert place.about == schema.results.material.about


def test_an_older_server_says_that_it_has_none_and_what_to_do():
    with serve(n_entries=5, version="1.3") as url:
        for _ in range(2):
            with pytest.raises(UserError, match="serves no schema.*download"):
                schema_of(url)
        assert url.log.count(SCHEMA) <= 1


def test_a_server_that_fails_is_no_server_without_a_schema():
    with serve(n_entries=5, faults=Faults([Rule(Status(500), path=SCHEMA)])) as url:
        with pytest.raises(ServerError, match="try again later"):
            schema_of(url, sleep_time=0.01)
        url.faults = None
        assert "results" in schema_of(url)
    with pytest.raises(UnreachableError):
        schema_of("http://127.0.0.1:9/api/v1")


def test_the_command_prints_lines_into_a_pipe(server, call):
    done = call("schema", "run.calculation.energy", "--url", server, check=0)
    about, *lines = done.stdout.splitlines()
    assert about == "# run.calculation.energy: section Energy"
    assert """# --required '{"run":{"calculation":{"energy":"*"}}}'""" in lines
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert ["run.calculation.energy.total", "section EnergyEntry", ""] in [row[:3] for row in rows]
    assert {len(row) for row in rows} == {4}
    assert call("schema", "--url", server, check=0).stdout.startswith("# the archive: section EntryArchive")
    leaf = call(
        "schema", "run.0.calculation.3.energy.total.value", "--url", server, check=0
    ).stdout.splitlines()
    assert leaf[-1].startswith("run.calculation.energy.total.value\tdouble\tjoule\t")


def test_the_command_finds_and_speaks_json(server, call):
    found = call("schema", "results", "--find", "band gap", "--url", server, check=0).stdout.splitlines()
    assert "paths with 'band gap' below results" in found[0]
    assert found[1].startswith("results.properties.electronic.band_gap\tsections BandGap\t")
    told = orjson.loads(call("schema", "results.material", "--json", "--url", server, check=0).stdout)
    assert told["required"] == {"results": {"material": "*"}}
    assert {"path": "results.material.n_elements", "type": "int64"}.items() <= next(
        one for one in told["inside"] if one["path"].endswith(".n_elements")
    ).items()
    found = orjson.loads(call("schema", "--find", "zzzz", "--json", "--url", server, check=0).stdout)
    assert found == {"found": []}


def test_the_command_draws_a_table_on_a_terminal(server, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    told = call("schema", "run.calculation.energy", "--url", server, check=0).stdout
    assert "\t" not in told and "description" in told and "EnergyEntry" in told
    assert all(len(line) <= 110 for line in told.splitlines())


def test_a_wrong_path_is_exit_code_2_with_the_near_one(server, call):
    done = call("schema", "run.calculation.enrgy", "--url", server, check=2)
    assert "has no 'run.calculation.enrgy'; did you mean 'run.calculation.energy'?" in done.stderr
