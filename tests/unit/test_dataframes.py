"""SPEC, "Layouts", "Types": entries_to_dataframe: wide, one frame per path, the filter, pandas types."""

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pytest

from nomad_dask.common import types
from nomad_dask.errors import UserError
from nomad_dask.layouts.schema import infer
from nomad_dask.layouts.walk import leaves
from nomad_dask.layouts.wide import Blocks
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.query.dataframes import FrameOptions, entries_to_dataframe, path_tables, wide_table
from nomad_dask.request.required import Required, parse

WHOLE = parse("*")
REFERENCE = "workflow2.results.calculation_result_ref"
ENTRIES: list[tuple[str, str, Any]] = [
    (
        "B",
        "U",
        {
            "run": [{"calculation": [{"e": 1.0}, {"e": 2.0}], "name": "a"}],
            "results": {"material": {"n": 3, "el": ["H", "O"]}, "method": {"n": True}},
            "results_extra": {"z": 1},
        },
    ),
    (
        "A",
        "U",
        {
            "run": [{"calculation": [{"e": 5.0}]}],
            "results": {"material": {"n": None, "el": ["C"]}, "material_extra": 7},
        },
    ),
]


def one_by_one(entries: Any) -> Blocks:
    """Each entry in a block of its own."""
    return lambda: ([entry] for entry in entries)


def wide(
    keys: Any = None, required: Required = WHOLE, entries: Any = ENTRIES, **options: Any
) -> pd.DataFrame:
    frame = entries_to_dataframe(one_by_one(entries), required, FrameOptions(keys_to_filter=keys, **options))
    assert isinstance(frame, pd.DataFrame)
    return frame


def by_path(tree: Any, entries: Any = ENTRIES, **options: Any) -> dict[str, pd.DataFrame]:
    frames = entries_to_dataframe(one_by_one(entries), parse(tree), FrameOptions(from_query=True, **options))
    assert isinstance(frames, dict)
    return frames


def test_the_wide_frame() -> None:
    """One row per entry in the order given, `entry_id` its index, columns sorted, integers beside nulls."""
    frame = wide()
    assert frame.index.name == "entry_id" and frame.index.tolist() == ["B", "A"]
    assert frame.columns.tolist() == [
        "results.material.el",
        "results.material.n",
        "results.material_extra",
        "results.method.n",
        "results_extra.z",
        "run.0.calculation.0.e",
        "run.0.calculation.1.e",
        "run.0.name",
    ]
    assert frame.dtypes["results.material.n"] == pd.ArrowDtype(pa.int64())
    assert frame.dtypes["results.material.el"] == pd.ArrowDtype(pa.list_(pa.string()))
    assert frame.index.dtype == pd.ArrowDtype(pa.string())
    assert frame.loc["B", "results.material.n"] == 3 and frame.loc["A"].isna().sum() == 5


@pytest.mark.parametrize(
    ("keys", "columns"),
    [
        (["run"], ["0.calculation.0.e", "0.calculation.1.e", "0.name"]),
        ("run", ["0.calculation.0.e", "0.calculation.1.e", "0.name"]),
        (["run.0.calculation"], ["0.e", "1.e"]),
        (["run.0.calculation.0.e"], ["run.0.calculation.0.e"]),
        (["results.material"], ["el", "n"]),
        (["results.material", "results.method"], ["el", "results.material.n", "results.method.n"]),
        (["run.0.calculation.1", "results.material"], ["el", "n", "e"]),
        (["results"], ["material.el", "material.n", "material_extra", "method.n"]),
    ],
)
def test_keys_to_filter(keys: Any, columns: list[str]) -> None:
    frame = wide(keys)
    assert frame.columns.tolist() == columns
    assert frame.index.tolist() == ["B", "A"]
    one = [keys] if isinstance(keys, str) else keys
    kept = [name for name in wide().columns if any(name == key or name.startswith(key + ".") for key in one)]
    pd.testing.assert_frame_equal(frame, wide()[kept].set_axis(columns, axis=1))


def test_no_filter_is_everything() -> None:
    pd.testing.assert_frame_equal(wide([]), wide())


def test_a_filter_that_matches_nothing_names_near_misses() -> None:
    with pytest.raises(UserError, match=r"'results\.materia'.*'results\.material'"):
        wide(["run", "results.materia"])
    with pytest.raises(UserError, match=r"'run\.calculation'.*'run\.0\.calculation'"):
        wide("run.calculation")


def test_the_index_keeps_its_name_to_itself() -> None:
    frame = wide("metadata", entries=[("A", "U", {"metadata": {"entry_id": "A", "upload_id": "U"}})])
    assert frame.columns.tolist() == ["metadata.entry_id", "upload_id"]
    assert frame.reset_index().shape == (1, 3)


@pytest.mark.parametrize("entries", [[], [("A", "U", None)], [("A", "U", {})]])
def test_an_empty_download(entries: Any) -> None:
    """Typed frames, also under a filter; an entry without archive is a row of nulls, and none in tables."""
    required = parse({"run[-1]": {"calculation[0:2]": "*"}})
    for keys in (None, ["run.0.calculation"]):
        frame = wide(keys, required, entries)
        assert frame.shape == (len(entries), 0)
        assert frame.index.name == "entry_id" and frame.index.dtype == pd.ArrowDtype(pa.string())
    found = by_path(required, entries)["run[-1].calculation[0:2]"]
    assert found.shape == (0, 0)
    assert found.index.names == ["entry_id", "run", "calculation"]
    assert found.index.dtypes["calculation"] == pd.ArrowDtype(pa.int64())


def test_one_frame_per_required_path() -> None:
    found = by_path({"run[-1]": {"calculation[0:2]": {"e": "*"}, "name": "*"}, "results": {"material": "*"}})
    assert list(found) == ["run[-1].calculation[0:2].e", "run[-1].name", "results.material"]
    energies = found["run[-1].calculation[0:2].e"]
    assert energies.index.names == ["entry_id", "run", "calculation"]
    assert energies.index.tolist() == [("B", 0, 0), ("B", 0, 1), ("A", 0, 0)]
    assert energies["e"].tolist() == [1.0, 2.0, 5.0]
    assert energies.loc[("B", 0, 1), "e"] == 2.0 and len(energies.loc["B"]) == 2
    assert energies.groupby("entry_id")["e"].max().to_dict() == {"A": 5.0, "B": 2.0}
    assert found["run[-1].name"].index.tolist() == [("B", 0)]
    material = found["results.material"]
    assert type(material.index) is pd.Index and material.index.tolist() == ["B", "A"]
    assert material.columns.tolist() == ["el", "n"]
    assert energies.reset_index().columns.tolist() == ["entry_id", "run", "calculation", "e"]


def test_the_upload_of_the_metadata_is_a_column_by_its_last_key() -> None:
    entries = [("A", "U", {"metadata": {"upload_id": "U", "entry_id": "A"}})]
    found = by_path({"metadata": {"upload_id": "*", "entry_id": "*"}}, entries)
    assert found["metadata.upload_id"].columns.tolist() == ["upload_id"]
    assert found["metadata.entry_id"].columns.tolist() == ["metadata.entry_id"]


def test_frames_by_path_and_the_wide_frame_hold_the_same_values() -> None:
    """The numbers of a row stand where the wide names have them."""
    energies = by_path({"run": {"calculation": {"e": "*"}}})["run.calculation.e"]["e"]
    frame = wide("run.0.calculation")
    assert {(e, f"{c}.e"): value for (e, _, c), value in energies.items()} == {
        (e, name): value for name in frame for e, value in frame[name].dropna().items()
    }


TREE = {"run": {"calculation": {"e": "*"}, "name": "*"}, "results": "*"}


@pytest.mark.parametrize(
    ("keys", "columns"),
    [
        ("run", {"run.calculation.e": ["e"], "run.name": ["name"]}),
        ("run.calculation", {"run.calculation.e": ["e"]}),
        (["run.name", "results.material"], {"run.name": ["name"], "results": ["material.el", "material.n"]}),
        ([], {"run.calculation.e": ["e"], "run.name": ["name"], "results": [...]}),
    ],
)
def test_keys_to_filter_choose_among_frames_and_their_columns(keys: Any, columns: dict[str, Any]) -> None:
    found = {path: frame.columns.tolist() for path, frame in by_path(TREE, keys_to_filter=keys).items()}
    columns = {path: found[path] if names == [...] else names for path, names in columns.items()}
    assert found == columns
    with pytest.raises(UserError, match=r"'run\.calculatio'.*'run\.calculation"):
        by_path(TREE, keys_to_filter="run.calculatio")


def test_paths_as_written_choose_too() -> None:
    assert list(by_path({"run[-1]": {"name": "*"}, "results": "*"}, keys_to_filter="run[-1]")) == [
        "run[-1].name"
    ]


@pytest.mark.parametrize(
    ("backend", "integer", "text"),
    [
        ("pyarrow", pd.ArrowDtype(pa.int64()), pd.ArrowDtype(pa.string())),
        ("numpy_nullable", pd.Int64Dtype(), pd.StringDtype()),
        ("numpy", "float64", None),
    ],
)
def test_dtype_backend(backend: Any, integer: Any, text: Any) -> None:
    frame = wide(dtype_backend=backend)
    assert frame.dtypes["results.material.n"] == integer
    assert text is None or frame.dtypes["run.0.name"] == text
    assert frame["run.0.calculation.0.e"].tolist() == [1.0, 5.0]
    entries = [("A", "U", {"run": {"n": 1}}), ("B", "U", {"run": [{"n": 2}]})]
    levels = by_path({"run": {"n": "*"}}, entries, dtype_backend=backend)["run.n"].index
    assert pd.api.types.is_integer_dtype(levels.dtypes["run"])
    assert levels.get_level_values("run").isna().tolist() == [True, False]
    assert levels.get_level_values("run")[1] == 0


def test_an_unknown_dtype_backend_is_refused() -> None:
    with pytest.raises(UserError, match="polars"):
        wide(dtype_backend="polars")


def test_what_cannot_meet_is_json_text_and_names_of_the_table_are_not_lost() -> None:
    entries = [("A", "U", {"x": 1, "_more": 2}), ("B", "U", {"x": "a", "big": 2**70})]
    frame = wide(entries=entries)
    assert frame["x"].tolist() == ["1", '"a"'] and types.loads(frame["big"]["B"]) == 2**70
    assert frame["_more"]["A"] == '{"_more":2}'


def test_units_and_types_of_the_servers_schema_reach_the_arrow_fields(shared_data: Path) -> None:
    definitions = Definitions(orjson.loads((shared_data / "schema.json").read_bytes()))
    entries = [("A", "U", {"run": [{"calculation": [{"energy": {"total": {"value": 1}}}]}]})]
    name = "run.0.calculation.0.energy.total.value"
    field = wide_table(one_by_one(entries), WHOLE, definitions=definitions).field(name)
    assert field.metadata[b"unit"] == b"joule" and field.type == pa.float64()
    required = parse({"run": {"calculation": {"energy": "*"}}})
    table, levels = path_tables(one_by_one(entries), required, definitions=definitions)[
        "run.calculation.energy"
    ]
    assert table.field("total.value").metadata[b"unit"] == b"joule" and levels == ("run", "calculation")
    assert wide(entries=entries, definitions=definitions)[name].tolist() == [1.0]


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[tuple[str, str, Any]]:
    files = sorted((shared_data / "archives").glob("*.json"))
    found = [orjson.loads(file.read_bytes()) for file in files]
    return [(entry["entry_id"], entry["upload_id"], entry["archive"]) for entry in found]


def test_the_wide_frame_of_the_recorded_archives(recorded: list[tuple[str, str, Any]]) -> None:
    """Its columns are their leaves, its values the leaves' values."""
    frame = entries_to_dataframe(lambda: (recorded[k : k + 40] for k in range(0, len(recorded), 40)), WHOLE)
    assert isinstance(frame, pd.DataFrame)
    schema = infer([archive for _, _, archive in recorded], WHOLE)
    assert frame.columns.tolist() == sorted(schema.names)
    rows = {name: frame[name].to_dict() for name in frame.columns[::23]}
    for entry_id, _, archive in recorded:
        expected = dict(leaves(archive, WHOLE))
        for name, row in rows.items():
            value = expected.get(name)
            if value is None:
                assert row[entry_id] is pd.NA or row[entry_id] is None
            elif schema.by_name[name].json:
                assert types.loads(row[entry_id]) == value
            else:
                assert (list(row[entry_id]) if isinstance(value, list) else row[entry_id]) == value
    assert "run.0.calculation.0.energy.total.value" in frame


@pytest.fixture(scope="module")
def answers(shared_data: Path) -> dict[str, Any]:
    lines = (shared_data / "recorded.jsonl").read_text().splitlines()
    return {record["name"]: record for record in map(orjson.loads, lines)}


def answered(record: Any) -> tuple[Required, list[tuple[str, str, Any]]]:
    data = record["answer"]["data"]
    return parse(record["request"]["required"]), [(e["entry_id"], e["upload_id"], e["archive"]) for e in data]


def test_the_guides_frame(answers: dict[str, Any]) -> None:
    """`keys_to_filter=['workflow2.results.calculation_result_ref']` gives the columns that the guide
    shows.
    """
    required, entries = answered(answers["reference within the upload, in place"])
    frame = wide([REFERENCE], required, entries)
    assert frame.columns.tolist() == [
        "energy.fermi",
        "energy.free.value",
        "energy.total.value",
        "energy.total.value_per_atom",
        "system_ref.chemical_composition_reduced",
    ]
    assert list(frame.index) == [entry_id for entry_id, _, _ in entries]
    found = by_path(required, entries)
    energy = found[f"{REFERENCE}.energy"]
    assert energy["total.value"].tolist() == frame["energy.total.value"].tolist()
    assert found[f"{REFERENCE}.system_ref.chemical_composition_reduced"].columns.tolist() == [
        "chemical_composition_reduced"
    ]


def test_references_that_were_not_resolved_are_strings_and_their_targets_no_columns() -> None:
    """What archives hold that were downloaded without: the target lies where the reference points."""
    energy = {"total": {"value": 1.0}}
    raw = {
        "run": [{"calculation": [None, {"energy": energy}]}],
        "workflow2": {"results": {"calculation_result_ref": "/run/0/calculation/1"}},
        "m_ref_archives": {},
    }
    required = parse({"workflow2": {"results": {"calculation_result_ref": {"energy": "*"}}}})
    entries = [("A", "U", raw)]
    assert wide(None, required, entries).to_dict() == {REFERENCE: {"A": "/run/0/calculation/1"}}
    assert wide(REFERENCE, required, entries).columns.tolist() == [REFERENCE]
    found = by_path(required, entries)[f"{REFERENCE}.energy"]
    assert found.to_dict() == {REFERENCE: {"A": "/run/0/calculation/1"}}
    mixed = [*entries, ("B", "U", {"workflow2": {"results": {"calculation_result_ref": {"energy": energy}}}})]
    assert wide(REFERENCE, required, mixed).columns.tolist() == [REFERENCE, "energy.total.value"]
