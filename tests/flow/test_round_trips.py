"""SPEC, "Types", "Datasets": a harvest is the same in every Parquet reader, and after each has rewritten it.

The same values, nulls and types, and units where Arrow's field metadata is kept. Of two archives in all
layouts: generated
entries, and entries made to hold every kind of value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import duckdb
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from nomad_dask import ArchiveQuery, open_dataset, units
from nomad_dask.dataset.store import Store
from nomad_dask.layouts.to_pandas import to_pandas, units_of
from nomad_dask.testing import serve
from nomad_dask.testing.corpus import Corpus, Entry, Json
from nomad_dask.testing.generate import PLAIN, generate

LAYOUTS = ("wide", "nested", "tables")
POSITIONS = [[0.0, 0.5, -0.0], [5e-324, 1e300, 0.1]]
SECTION: Json = {"properties": {"x": {"type": "number", "unit": "second"}, "p": {"type": "array"}}}
SERVED: Json = {
    "properties": {
        "k": {"$ref": "#/$defs/s.Kinds"},
        "sections": {"type": "array", "items": {"$ref": "#/$defs/s.Section"}},
    },
    "$defs": {
        "s.Section": SECTION,
        "s.Kinds": {
            "properties": {
                "float": {
                    "type": "number",
                    "unit": "joule",
                    "description": "Energie der Zelle, größer als 0 K",
                },
                "served": {"type": "number", "unit": "kelvin"},
                "positions": {
                    "type": "array",
                    "items": {"type": "array", "items": {"type": "number", "unit": "meter"}},
                },
                "sub": {"$ref": "#/$defs/s.Section"},
            }
        },
    },
}
KINDS: tuple[Json | None, ...] = (
    {
        "k": {
            "bool": True,
            "int": 2**63 - 1,
            "past": 2**63,
            "float": 0.1,
            "int and float": 1,
            "text": "é中🙂\0\n",
            "date": "2024-02-29T12:00:00.123000+00:00",
            "text or number": "1",
            "scalar or list": 1,
            "ints": [1, None, -(2**63)],
            "positions": POSITIONS,
            "labels": ["Ti", "", None],
            "flags": [True, False],
            "unlike": [1, "a"],
            "null": None,
            "served": None,
            "void": [],
            "empty": {},
            "a.b": 1,
            "sub": {"x": 1, "p": [1]},
            "subs": [{"x": 1.5}, {}, {"y": [[], [None]]}],
        },
        "sections": [{"x": 1.5, "p": [0.5]}, {"x": None}, {}],
    },
    {
        "k": {
            "bool": None,
            "int": None,
            "past": -1,
            "float": None,
            "int and float": -0.0,
            "text": "",
            "text or number": 1,
            "scalar or list": [1],
            "positions": [],
            "labels": None,
            "sub": {},
            "subs": [],
        },
        "sections": [],
    },
    None,
    {"k": {"int": 2**53 + 1, "positions": [[], POSITIONS[0]], "sub": None}},
    {},
)
REQUIRED_OF_KINDS: Json = {"k": "*", "sections": {"x": "*", "p": "*"}}
REQUIRED: Json = {
    "metadata": {"upload_create_time": "*"},
    "results": {"material": "*"},
    "run": {"system": {"atoms": "*"}, "calculation": {"energy": "*"}},
}


class Kinds(Corpus):
    """Five entries, the third without archive."""

    schema_json = orjson.dumps(SERVED)
    quantities = frozenset({"entry_id", "upload_id", "parser_name"})

    @property
    def entries(self) -> list[Entry]:
        return [
            Entry(str(i) * 28, "U" * 22, "parsers/kinds", has_archive=archive is not None)
            for i, archive in enumerate(KINDS)
        ]

    def document(self, i: int) -> Json:
        entry = self.entries[i]
        return {"entry_id": entry.entry_id, "upload_id": entry.upload_id, "parser_name": entry.parser_name}

    def archive(self, i: int) -> Json:
        return KINDS[i] or {}


SOURCES = {
    "kinds": (Kinds(), REQUIRED_OF_KINDS),
    "generated": (generate(20, seed=1, kind="small", features=PLAIN), REQUIRED),
}


@dataclass(frozen=True)
class Part:
    """One table of a dataset: where its files lie, and what was to be written there."""

    folder: str
    table: pa.Table
    frame: dd.DataFrame
    """As `open_dataset` gives it."""
    units: Mapping[str, str]

    @cached_property
    def schema(self) -> pa.Schema:
        """As pyarrow finds it on disk."""
        return ds.dataset(self.folder).schema

    def check(self, table: pa.Table) -> None:
        """The same types, nulls and values, to the last bit, under the same names."""
        assert sorted(table.column_names) == sorted(self.table.column_names)
        table = table.select(self.table.column_names)
        assert {f.name: kind(f.type) for f in table.schema} == {
            f.name: kind(f.type) for f in self.table.schema
        }
        assert repr(table.to_pylist()) == repr(self.table.to_pylist())


def kind(arrow: pa.DataType) -> Any:
    """A type, less what readers are free in: how long offsets are, and what a list's items are called."""
    if pa.types.is_struct(arrow):
        return {field.name: kind(field.type) for field in arrow}
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return [kind(arrow.value_type)]
    return str(arrow).removeprefix("large_")


def facts(fields: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """What the metadata of fields says at all levels."""
    found: dict[tuple[str, ...], Any] = {}
    for field in fields:
        place = (*path, field.name if field.name != "element" else "item")
        found[place] = {
            key: text for key, text in (field.metadata or {}).items() if not key.startswith(b"PARQUET:")
        }
        if pa.types.is_struct(field.type):
            found |= facts(field.type, place)
        elif pa.types.is_list(field.type):
            found |= facts([field.type.value_field], place)
    return found


@pytest.fixture(scope="module", autouse=True)
def in_this_thread() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(
    scope="module", params=[(source, layout) for source in SOURCES for layout in LAYOUTS], ids="-".join
)
def parts(
    request: pytest.FixtureRequest, cluster: Client, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Part]:
    """The tables of one harvest of two segments, by their keys."""
    source, layout = request.param
    corpus, required = SOURCES[source]
    path = tmp_path_factory.mktemp("harvest") / "h"
    with serve(corpus) as url:
        query = ArchiveQuery(
            required=required, url=str(url), results_max=None, max_requests_per_second=None, progress=False
        )
        report = query.to_parquet(path, client=cluster, npartitions=2, layout=layout)
    assert report.complete and report.done == 2
    return dict(parts_of(path, corpus))


def query_of(url: str, required: Json) -> ArchiveQuery:
    return ArchiveQuery(
        required=required, url=str(url), results_max=None, max_requests_per_second=None, progress=False
    )


def parts_of(path: Path, corpus: Corpus) -> Iterator[tuple[str, Part]]:
    """Each table, built here of the corpus's own archives: no server and no file were between."""
    manifest = Store.at(path).manifest()
    layout, required = manifest.layout, manifest.question.required
    builder = layout.builder(manifest.schema, required)
    for i, entry in enumerate(corpus.entries):
        if entry.state == "public":
            builder.append(entry.entry_id, entry.upload_id, corpus.archive(i) if entry.has_archive else None)
    tables = layout.tables(builder.finish())
    told, opened = units(path), open_dataset(path)
    for key, folder in layout.folders(manifest.schema).items():
        one = key == ""
        yield (
            key,
            Part(
                f"{path}/data/{folder}".rstrip("/"),
                tables[key],
                opened if one else opened[key],
                told if one else told[key],
            ),
        )


def of_pandas(frame: pd.DataFrame) -> pa.Table:
    """A frame's columns and its index, as Arrow has them."""
    assert frame.index.name == "entry_id"
    return pa.Table.from_pandas(frame.reset_index(), preserve_index=False)


def of_dask(folder: str) -> pa.Table:
    lazy = dd.read_parquet(folder, dtype_backend="pyarrow")
    frame = lazy.compute()
    assert lazy.dtypes.equals(frame.dtypes)
    return of_pandas(frame)


READERS: dict[str, Callable[[str], pa.Table]] = {
    "pyarrow.parquet": pq.read_table,
    "pyarrow.dataset": lambda folder: ds.dataset(folder).to_table(),
    "pandas": lambda folder: of_pandas(pd.read_parquet(folder, dtype_backend="pyarrow")),
    "dask": of_dask,
    "DuckDB": lambda folder: duckdb.sql(f"from '{folder}/*.parquet'").to_arrow_table(),
    "Polars": lambda folder: pl.read_parquet(f"{folder}/*.parquet").to_arrow(),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reads_the_same(parts, reader):
    for part in parts.values():
        part.check(READERS[reader](part.folder))


def test_open_dataset_reads_the_same(parts):
    for part in parts.values():
        frame = part.frame.compute()
        part.check(of_pandas(frame))
        assert frame.dtypes.equals(part.frame.dtypes)


@pytest.mark.parametrize("backend", ["numpy_nullable", "numpy"])
def test_nulls_are_the_same_under_every_backend(parts, backend):
    """In frames of pandas, which knows of nothing but the index, and in ours."""
    how = {} if backend == "numpy" else {"dtype_backend": backend}
    for part in parts.values():
        ours = to_pandas(part.table, dtype_backend=backend, alike=True)
        for frame in (pd.read_parquet(part.folder, **how), ours):
            nulls = {name: part.table[name].is_null().to_pylist() for name in frame}
            assert {name: frame[name].isna().tolist() for name in frame} == nulls


def test_units_are_in_the_fields_and_on_frames(parts):
    """With descriptions and the marks of JSON text, at all levels."""
    for part in parts.values():
        assert facts(part.schema) == facts(part.table.schema)
        assert units_of(part.schema) == part.units == units(part.frame) == units(part.frame.compute())
    assert any(part.units for part in parts.values())


OF_K = {"float": "joule", "served": "kelvin", "positions": "meter", "sub.x": "second"}
OF_K_WHOLE = {f"k.{name}": unit for name, unit in OF_K.items()}


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("wide", OF_K_WHOLE | {"sections.0.x": "second", "sections.1.x": "second"}),
        ("nested", OF_K_WHOLE | {"sections.x": "second"}),
        ("tables", {"k": OF_K, "sections.x": {"x": "second"}, "sections.p": {}}),
    ],
)
def test_units_are_named_as_the_layout_names_what_has_them(layout, expected):
    with serve(Kinds()) as url:
        lazy = query_of(url, REQUIRED_OF_KINDS).to_dask_dataframe(layout=layout)
    assert units(lazy) == expected


def by_pandas(part: Part, to: str) -> None:
    part.frame.compute().to_parquet(f"{to}/0.parquet")


def by_pandas_alone(part: Part, to: str) -> None:
    pd.read_parquet(part.folder, dtype_backend="pyarrow").to_parquet(f"{to}/0.parquet")


def by_dask(part: Part, to: str) -> None:
    part.frame.to_parquet(to)


def by_dask_alone(part: Part, to: str) -> None:
    dd.read_parquet(part.folder, dtype_backend="pyarrow").to_parquet(to)


def by_dask_told(part: Part, to: str) -> None:
    part.frame.to_parquet(to, schema=part.schema)


def by_pyarrow(part: Part, to: str) -> None:
    pq.write_table(pq.read_table(part.folder), f"{to}/0.parquet")


def by_duckdb(part: Part, to: str) -> None:
    duckdb.sql(f"from '{part.folder}/*.parquet'").write_parquet(f"{to}/0.parquet")


def by_polars(part: Part, to: str) -> None:
    pl.read_parquet(f"{part.folder}/*.parquet").write_parquet(f"{to}/0.parquet")


KEEP_METADATA = (by_pyarrow, by_dask_told)
# Dask writes through pyarrow, which knows of what rides on a frame since its version 22.
CARRY_UNITS = (by_pandas, by_dask, by_dask_told)[: 3 if int(pa.__version__.split(".")[0]) >= 22 else 1]
KEEP_INDEX = (by_pandas, by_pandas_alone, by_dask, by_dask_alone, *KEEP_METADATA)
WRITERS = (*KEEP_INDEX, by_duckdb, by_polars)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_written_again_it_reads_the_same(parts, write, tmp_path):
    """Units stay in the fields where the writer keeps their metadata; pandas keeps them beside, with all that
    rides on a
    frame; DuckDB, Polars, and Dask that is not told the schema, keep none."""
    for number, part in enumerate(parts.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(part, str(folder))
        for name, read in READERS.items():
            # Of an index only those know that pandas told.
            if write in KEEP_INDEX or name not in ("pandas", "dask"):
                part.check(read(str(folder)))
        schema = ds.dataset(folder).schema
        if write in KEEP_METADATA:
            assert facts(schema) == facts(part.table.schema)
        else:
            assert not any(field.metadata for field in schema)
        rode = units(pd.read_parquet(folder, dtype_backend="pyarrow"))
        assert rode == (part.units if write in CARRY_UNITS else {})
