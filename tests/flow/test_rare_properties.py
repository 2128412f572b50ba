"""SPEC, "Schema": what `required` names has its columns, also where no sampled entry has a value."""

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.layouts.declared import MAX_NAMES, declared_kinds, declared_shape
from nomad_dask.layouts.shapes import Cells, Items, Struct
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.testing import Changing, serve
from nomad_dask.testing.generate import PLAIN, generate

GAP = "results.properties.electronic.band_gap"
REQUIRED = {
    "results": {
        "material": {"chemical_formula_reduced": "*"},
        "properties": {"electronic": {"band_gap": "*"}},
    }
}
N = 2_000


@pytest.fixture(scope="module")
def archive():
    """One entry of 2,000, which no sample has, has a band gap."""
    corpus = generate(N, seed=3, kind="small", private_share=0.0, features=PLAIN)
    changing = Changing(corpus)
    one = corpus.entries[777].entry_id

    def edit(tree):
        gap = {"value": 1.602176634e-19, "type": "direct", "index": 0}
        tree["results"]["properties"]["electronic"] = {"band_gap": [gap]}
        return tree

    changing.reprocess([one], edit)
    with serve(changing) as url:
        yield url, one


def query_of(url, required):
    return ArchiveQuery(url=str(url), required=required, progress=False, max_requests_per_second=None)


def test_one_entry_of_2000_has_typed_columns_and_its_value_in_wide(archive):
    url, one = archive
    frame = query_of(url, REQUIRED).to_pandas(units="atomistic")
    assert frame.dtypes[f"{GAP}.0.value"] == "double[pyarrow]" and len(frame) == N
    assert frame.dtypes[f"{GAP}.0.type"] == "string[pyarrow]"
    assert frame.attrs["units"] == {f"{GAP}.0.value": "eV"}
    assert frame[f"{GAP}.0.value"].dropna().to_dict() == {one: pytest.approx(1.0, rel=1e-15)}
    assert frame["_more"].isna().all()


def test_one_entry_of_2000_has_typed_columns_and_its_value_in_nested(archive):
    url, one = archive
    frame = query_of(url, REQUIRED).to_pandas(layout="nested")
    assert frame.dtypes[GAP] == "list<item: struct<index: int64, type: string, value: double>>[pyarrow]"
    assert [*frame[GAP].dropna().items()] == [
        (one, [{"index": 0, "type": "direct", "value": 1.602176634e-19}])
    ]
    assert frame["_more"].isna().all()


def test_one_entry_of_2000_has_typed_columns_and_its_value_in_tables(archive):
    url, one = archive
    frame = query_of(url, REQUIRED).to_pandas(layout="tables")[GAP]
    assert frame.dtypes["value"] == "double[pyarrow]" and [*frame.index] == [one]
    row = {"band_gap": 0, "index": 0, "type": "direct", "value": 1.602176634e-19}
    assert frame.drop(columns=["upload_id", "_more"]).to_dict("records") == [row]
    assert frame["_more"].isna().all()


def test_a_quantity_below_two_lists_has_its_type(archive):
    url, _ = archive
    path = "run.calculation.forces.free.value"
    required = {"run": {"calculation": {"forces": {"free": {"value": "*"}}}}}
    wide = query_of(url, required).to_dask_dataframe()
    assert wide.dtypes["run.0.calculation.0.forces.free.value"] == "list<item: list<item: double>>[pyarrow]"
    nested = query_of(url, required).to_dask_dataframe(layout="nested")
    assert str(nested.dtypes[path]).count("list<") == 4
    table = query_of(url, required).to_dask_dataframe(layout="tables")[path]
    assert table.dtypes["value"] == "list<item: list<item: double>>[pyarrow]"


def test_types_of_the_user_go_before_those_of_the_server(archive):
    url, one = archive
    query = query_of(url, REQUIRED)
    frame = query.to_pandas(schema={f"{GAP}.0.value": "string", f"{GAP}.0.index": "double"})
    assert frame.dtypes[f"{GAP}.0.value"] == "string[pyarrow]" and "value" in frame["_more"][one]
    assert frame[f"{GAP}.0.index"][one] == 0.0


def test_what_the_sample_has_keeps_the_types_that_it_has(archive):
    url, _ = archive
    frame = query_of(url, REQUIRED).to_dask_dataframe()
    assert [name for name in frame.columns if name.startswith("results.material")] == [
        "results.material.chemical_formula_reduced"
    ]


SECTION = {"properties": {"x": {"type": "number", "unit": "joule"}, "again": {"$ref": "#/$defs/s.A"}}}


def test_a_section_inside_itself_ends():
    again = {"type": "array", "items": {"$ref": "#/$defs/s.A"}}
    definitions = Definitions(
        {"properties": {"a": again, "b": {"$ref": "#/$defs/s.A"}}, "$defs": {"s.A": SECTION}}
    )
    assert declared_kinds(("a",), definitions, numbered=True) == {"a.0.x": "double"}
    assert declared_kinds(("b",), definitions, numbered=False) == {"b.x": "double"}
    assert declared_shape(("a",), definitions) == Items(Struct((("x", Cells("double", "joule")),)))
    assert declared_kinds(("a", "y"), definitions, numbered=True) == {}
    assert declared_shape(("a", "y"), definitions) is None


def test_a_section_with_too_many_names_has_none():
    many = {"properties": {f"x{n}": {"type": "number"} for n in range(MAX_NAMES + 1)}}
    definitions = Definitions({"properties": {"a": {"$ref": "#/$defs/s.A"}}, "$defs": {"s.A": many}})
    assert declared_kinds(("a",), definitions, numbered=True) == {}
    assert declared_shape(("a",), definitions) is None
