"""SPEC, "Layouts": tables: one row per occurrence, every leaf once, the same leaves as in wide."""

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from checks import check_tables
from hypothesis import given
from hypothesis import strategies as st
from strategies import Row, many, many_with_gaps, requireds

from nomad_dask.common import types
from nomad_dask.errors import UnknownValueError
from nomad_dask.layouts import wide as flatten
from nomad_dask.layouts.schema import RESERVED, Column, Schema
from nomad_dask.layouts.tables import Tables, TableSchema, infer_tables, occurrences, required_paths
from nomad_dask.layouts.wide import Wide
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import Required, parse


def build(
    schemas: dict[str, TableSchema], required: Required, rows: Iterable[Row | None]
) -> dict[str, pa.Table]:
    tables = Tables(schemas, required)
    for number, archive in enumerate(rows):
        tables.append(f"entry{number}", "upload", archive)
    return tables.finish()


@given(many, requireds)
def test_a_schema_holds_all_that_it_was_inferred_from(rows: list[Row], required: Required) -> None:
    """Every list made only of dicts on the way is crossed, and `_more` has only keys of the table's own
    names.
    """
    schemas = infer_tables(rows, required)
    for path, table in build(schemas, required, rows).items():
        for more in filter(None, table["_more"].to_pylist()):
            assert types.loads(more).keys() <= RESERVED, path
        assert table.select(["entry_id", *schemas[path].level_names]).group_by(
            ["entry_id", *schemas[path].level_names]
        ).aggregate([]).num_rows == len(table), "the index names each row"


@given(many_with_gaps, requireds, st.data())
def test_order_and_blocks_do_not_matter(
    rows: list[Row | None], required: Required, data: st.DataObject
) -> None:
    schemas = infer_tables([row for row in rows[::2] if row is not None], required)
    expected = build(schemas, required, rows)
    builder = Tables(schemas, required)
    for number in data.draw(st.permutations(range(len(rows)))):
        builder.append(f"entry{number}", "upload", rows[number])
        if data.draw(st.booleans()):
            builder.flush()
    for path, table in builder.finish().items():
        order = [(name, "ascending") for name in ("entry_id", *schemas[path].level_names)]
        assert table.sort_by(order).to_pylist() == expected[path].sort_by(order).to_pylist()
        assert TableSchema.from_json(orjson.loads(orjson.dumps(schemas[path].to_json()))) == schemas[path]
        assert pickle.loads(pickle.dumps(schemas[path])) == schemas[path]
    assert all(len(table) == 0 for table in builder.finish().values())


def frames(tree: Any, *rows: Row | None) -> dict[str, list[Row]]:
    """The rows of each table, less what is null in them and the upload."""
    required = parse(tree)
    schemas = infer_tables([row for row in rows if row is not None], required)
    return {
        path: [
            {key: value for key, value in row.items() if value is not None and key != "upload_id"}
            for row in table.to_pylist()
        ]
        for path, table in build(schemas, required, rows).items()
    }


RUN = {
    "run": [
        {
            "name": "x",
            "calculation": [{"energy": {"total": {"value": 1.0}}}, {"energy": {"fermi": 2.0}}, {"f": 1}],
        },
        {"name": "y", "calculation": [{"energy": {"total": {"value": 3.0}}}]},
    ]
}


def test_one_row_per_occurrence_and_a_level_per_repeating_section() -> None:
    """Keys are the paths as written; rows come compact; an entry without archive has no row."""
    assert frames({"run[-2:]": {"calculation[0:2]": {"energy": "*"}, "name": "*"}}, RUN, None, {}) == {
        "run[-2:].calculation[0:2].energy": [
            {"entry_id": "entry0", "run": 0, "calculation": 0, "total.value": 1.0},
            {"entry_id": "entry0", "run": 0, "calculation": 1, "fermi": 2.0},
            {"entry_id": "entry0", "run": 1, "calculation": 0, "total.value": 3.0},
        ],
        "run[-2:].name": [
            {"entry_id": "entry0", "run": 0, "name": "x"},
            {"entry_id": "entry0", "run": 1, "name": "y"},
        ],
    }


def test_the_list_at_the_end_of_the_path_repeats_and_those_below_are_numbered() -> None:
    assert frames({"run": "*"}, RUN)["run"] == [
        {
            "entry_id": "entry0",
            "run": 0,
            "name": "x",
            "calculation.0.energy.total.value": 1.0,
            "calculation.1.energy.fermi": 2.0,
            "calculation.2.f": 1,
        },
        {"entry_id": "entry0", "run": 1, "name": "y", "calculation.0.energy.total.value": 3.0},
    ]
    assert [row["calculation"] for row in frames({"run": {"calculation": "*"}}, RUN)["run.calculation"]] == [
        0,
        1,
        2,
        0,
    ]


def test_a_section_in_the_place_of_a_list_has_no_number() -> None:
    assert frames({"run": {"n": "*"}}, {"run": {"n": 1}}, {"run": [{"n": 2}]})["run.n"] == [
        {"entry_id": "entry0", "n": 1},
        {"entry_id": "entry1", "run": 0, "n": 2},
    ]


def test_an_unresolved_reference_is_a_row_of_each_table_whose_path_leads_through_it() -> None:
    tree = {"results": {"ref": {"energy": "*", "system_ref": {"formula": "*"}}}}
    resolved = {"results": {"ref": {"energy": {"total": 1.0}, "system_ref": {"formula": "OTi"}}}}
    inner = {"results": {"ref": {"energy": {"total": 2.0}, "system_ref": "/run/0/system/0"}}}
    outer = {"results": {"ref": "../uploads/U/archive/E#/run/0"}}
    found = frames(tree, resolved, inner, outer, {"results": {"ref": None}}, {"results": {}})
    assert found == {
        "results.ref.energy": [
            {"entry_id": "entry0", "total": 1.0},
            {"entry_id": "entry1", "total": 2.0},
            {"entry_id": "entry2", "results.ref": "../uploads/U/archive/E#/run/0"},
        ],
        "results.ref.system_ref.formula": [
            {"entry_id": "entry0", "formula": "OTi"},
            {"entry_id": "entry1", "results.ref.system_ref": "/run/0/system/0"},
            {"entry_id": "entry2", "results.ref": "../uploads/U/archive/E#/run/0"},
        ],
    }


def test_a_list_of_references_of_which_one_is_unresolved_is_one_cell_as_in_the_wide_layout() -> None:
    rows: list[Row] = [
        {"x": {"refs": [{"n": 1}, "/a"]}},
        {"x": {"refs": [{"n": 2}]}},
        {"x": {"refs": [None]}},
    ]
    assert frames({"x": {"refs": {"n": "*"}}}, *rows)["x.refs.n"] == [
        {"entry_id": "entry0", "x.refs": '[{"n":1},"/a"]'},
        {"entry_id": "entry1", "refs": 0, "n": 2},
    ]
    found = frames({"refs": {"n": "*"}}, {"refs": ["/a", "/b"]}, {"refs": [{"n": 2}]})["refs.n"]
    assert found[0] == {"entry_id": "entry0", "refs_2": ["/a", "/b"]}, "the level has the name already"


def test_from_a_star_on_columns_begin_with_the_keys_that_it_stands_for() -> None:
    tree = {"run": {"*": {"energy": "*"}, "calculation": {"f": "*"}, "name": "exclude"}}
    archive = {
        "run": [{"name": "x", "a": {"energy": 1, "z": 0}, "b": [{"energy": 2}], "calculation": [{"f": 3}]}]
    }
    assert frames(tree, archive) == {
        "run.*.energy": [{"entry_id": "entry0", "run": 0, "a.energy": 1, "b.0.energy": 2}],
        "run.calculation.f": [{"entry_id": "entry0", "run": 0, "calculation": 0, "f": 3}],
    }
    assert frames("*", {"a": {"b": 1}}) == {"*": [{"entry_id": "entry0", "a.b": 1}]}
    assert frames({"*": "*", "a": "exclude"}, {"a": 1, "b": 2}) == {"*": [{"entry_id": "entry0", "b": 2}]}


def test_levels_of_equal_names_get_their_whole_paths() -> None:
    found = frames(
        {"part": {"sub": {"part": {"n": "*"}}}}, {"part": [{"sub": {"part": [{"n": 1}, {"n": 2}]}}]}
    )
    assert found["part.sub.part.n"] == [
        {"entry_id": "entry0", "part": 0, "part.sub.part": 0, "n": 1},
        {"entry_id": "entry0", "part": 0, "part.sub.part": 1, "n": 2},
    ]


def test_columns_that_would_collide_keep_their_whole_paths() -> None:
    """With one another, with a level, and with the identity."""
    found = frames(
        {"a": {"n": "*"}}, {"a": {"n": 1}}, {"a": {"n": {"n": 2, "entry_id": 3}}}, {"a": [{"n": {"a": 4}}]}
    )
    assert found["a.n"] == [
        {"entry_id": "entry0", "a.n": 1},
        {"entry_id": "entry1", "a.n.n": 2, "a.n.entry_id": 3},
        {"entry_id": "entry2", "a": 0, "a.n.a": 4},
    ]


def test_an_empty_section_and_a_null_are_occurrences_and_an_empty_list_is_none() -> None:
    archive = {"a": [{"n": {}}, {"n": None}, {"m": 1}, {"n": []}, {"n": [{}, {}]}]}
    assert frames({"a": {"n": "*"}}, archive, {"a": []})["a.n"] == [
        {"entry_id": "entry0", "a": 0},
        {"entry_id": "entry0", "a": 1},
        {"entry_id": "entry0", "a": 4, "n": 0},
        {"entry_id": "entry0", "a": 4, "n": 1},
    ]


def test_what_the_server_placed_on_the_way_is_in_no_table() -> None:
    """An answer that was not resolved in place: the target at the root, the reference a string."""
    archive = {
        "run": [{"calculation": [None, {"energy": 1}]}],
        "m_ref_archives": {"x": {"results": 1}},
        "results": {"ref": "/run/0/calculation/1"},
    }
    assert frames({"results": {"ref": {"energy": "*"}}}, archive) == {
        "results.ref.energy": [{"entry_id": "entry0", "results.ref": "/run/0/calculation/1"}]
    }
    assert frames({"m_ref_archives": "*"}, archive) == {"m_ref_archives": []}


def test_a_section_not_known_to_repeat_goes_to_more() -> None:
    required = parse({"run": {"n": "*"}})
    schemas = {"run.n": TableSchema("run.n", "run.n", (), Schema((Column("run.n", "int64"),)))}
    tables = Tables(schemas, required)
    tables.append("E", "U", {"run": [{"n": 1, "x": 2}, {"n": 3}]})
    tables.append("F", "U", {"run": [{"x": 2}]})
    assert tables.finish()["run.n"].to_pylist() == [
        {"entry_id": "E", "upload_id": "U", "n": None, "_more": '{"run.0.n":1,"run.1.n":3}'}
    ]
    assert tables.n_more == 2
    with pytest.raises(UnknownValueError, match=r"entry E: run\.0\.n "):
        Tables(schemas, required, on_new="raise").append("E", "U", {"run": [{"n": 1}]})


def test_bytes_that_wait_are_bounded_over_all_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    required = parse({"a": "*", "b": "*"})
    rows = [{"a": n, "b": [n]} for n in range(20)]
    schemas = infer_tables(rows, required)
    flushed = []
    monkeypatch.setattr(
        Tables, "flush", lambda tables, flush=Tables.flush: (flushed.append(1), flush(tables))
    )
    tables = Tables(schemas, required)
    for number, row in enumerate(rows):
        tables.append(f"entry{number}", "upload", row, n_bytes=flatten.MOST_BYTES // 2)
    assert tables.finish() == build(schemas, required, rows)
    assert len(flushed) == 6


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[Row]:
    files = sorted((shared_data / "archives").glob("*.json"))
    return [orjson.loads(file.read_bytes())["archive"] for file in files]


def test_recorded_archives(recorded: list[Row]) -> None:
    """All real archives, with the schema of all and with that of every fifth."""
    calculation = {
        "energy": "*",
        "system_ref": {"x": "*"},
        "scf_iteration": {"energy": "*"},
        "time_physical": "*",
    }
    material = {"elements": "*", "topology": "*"}
    required = parse(
        {"run": {"program": "*", "calculation": calculation}, "results": {"*": "*", "material": material}}
    )
    for sample in (recorded, recorded[::5]):
        schemas = infer_tables(sample, required)
        tables = build(schemas, required, recorded)
        check_tables(tables, schemas, required, recorded)
        if sample is recorded:
            assert all(table["_more"].null_count == len(table) for table in tables.values())


def test_the_table_of_whole_archives_is_the_wide_one(recorded: list[Row]) -> None:
    required = parse("*")
    schemas = infer_tables(recorded, required)
    wide = Wide(schemas["*"].values, required)
    for number, archive in enumerate(recorded):
        wide.append(f"entry{number}", "upload", archive)
    assert build(schemas, required, recorded)["*"].equals(wide.finish(), check_metadata=True)


def test_energies_of_every_calculation(recorded: list[Row]) -> None:
    required = parse({"run": {"calculation": {"energy": "*"}}})
    table = build(infer_tables(recorded, required), required, recorded)["run.calculation.energy"]
    expected = [
        (f"entry{number}", r, c, (calculation["energy"].get("total") or {}).get("value"))
        for number, archive in enumerate(recorded)
        for r, run in enumerate(archive.get("run", ()))
        for c, calculation in enumerate(run.get("calculation", ()))
        if "energy" in calculation
    ]
    rows = table.select(["entry_id", "run", "calculation", "total.value"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == expected
    assert len(expected) > len(recorded)


def test_the_servers_schema_names_units_and_repeating_sections(shared_data: Path) -> None:
    """Also where nothing was downloaded."""
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    required = parse({"run": {"calculation": {"energy": {"total": "*"}}}})
    archive = {"run": [{"calculation": [{"energy": {"total": {"value": 1}}}]}]}
    (schema,) = infer_tables([archive], required, definitions=definitions).values()
    assert schema.arrow.field("value").metadata[b"unit"] == b"joule"
    assert schema.arrow.field("value").type == pa.float64()
    (empty,) = infer_tables([], required, definitions=definitions).values()
    assert empty.level_names == ("run", "calculation")
    assert next(occurrences(archive, required_paths(required)[0])).numbers == (0, 0, None, None)
