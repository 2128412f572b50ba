"""Cost by columns: 256 archives as wide as that are looked at for the schema, become Arrow, become a part.

Values of a row grow with the columns, rows stay the same: a cost per value that is constant has a slope of 1.
Of ten
columns there are six of numbers, three of text and one of lists. No two archives share a value: those that
came from a
server do not lie in the processor's cache either.
"""

import gc
import tempfile
from random import Random
from typing import Any

import pyarrow as pa

from nomad_dask.common.memory import collector_paused
from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.store import Store
from nomad_dask.layouts.layouts import ONLY, WIDE
from nomad_dask.request import QuerySpec, required_of
from nomad_dask.request.segments import Plan, Segment
from scaling.timing import Cost, least

SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
NAMES = {
    "schema": "the schema of a sample of 32 (pure)",
    "arrow": "256 rows into Arrow (pure)",
    "sparse": "the same where a row has a value in one column of ten",
    "part": "256 rows into a part (Parquet)",
    "manifest": "the manifest: written and read",
}
UNIT = "columns"
ROWS, SAMPLE = 256, 32
_EACH = 10
"""Columns of a step."""
REQUIRED = required_of("archives", {"data": "*"})


def measure(size: int) -> dict[str, Cost]:
    """One point of each curve."""
    dice = Random(size)
    found = [archive(size // _EACH, dice) for _ in range(ROWS)]
    thin = [thinned(one, k) for k, one in enumerate(found)]
    gc.collect()
    gc.freeze()
    schema, of_schema = least(lambda: WIDE.infer(found[:SAMPLE], REQUIRED))
    assert len(schema.columns) == size
    table, of_arrow = least(lambda: built(schema, found))
    _, of_sparse = least(lambda: built(schema, thin))
    assert table.num_columns == size + 3
    with tempfile.TemporaryDirectory() as folder:
        store, manifest = Store.at(f"{folder}/x"), manifest_of(schema)
        store.create(manifest)
        _, of_manifest = least(lambda: (store.rewrite(manifest), store.manifest()))
        _, of_part = least(lambda: store.write_part({ONLY: table}, Receipt(0, "", "", ROWS)))
    return {
        "schema": of_schema,
        "arrow": of_arrow,
        "sparse": of_sparse,
        "part": of_part,
        "manifest": of_manifest,
    }


def archive(steps: int, dice: Random) -> dict[str, Any]:
    """An archive with ten columns for each step."""
    return {"data": {"steps": [step(dice) for _ in range(steps)]}}


def step(dice: Random) -> dict[str, Any]:
    """The values of ten columns, of which each name is one column of each step."""
    return {
        "energy": {"total": {"value": dice.random()}, "free": {"value": dice.gauss(-10, 2)}},
        "pressure": dice.random() * 1e9,
        "volume": dice.random(),
        "n_iterations": dice.randrange(100),
        "n_atoms": dice.randrange(1_000),
        "program": dice.choice(("VASP", "exciting", "FHI-aims")),
        "formula": f"Si{dice.randrange(100)}O{dice.randrange(100)}",
        "system_ref": f"#/run/0/system/{dice.randrange(1_000)}",
        "forces": [dice.random() for _ in range(3)],
    }


def thinned(whole: dict[str, Any], k: int) -> dict[str, Any]:
    """The same with one step of ten, the others empty."""
    return {"data": {"steps": [s if n % 10 == k % 10 else {} for n, s in enumerate(whole["data"]["steps"])]}}


def built(schema: Any, archives: list[dict[str, Any]]) -> pa.Table:
    """Their table. The collector rests while they are walked, as it does while a delivery is."""
    builder = WIDE.builder(schema, REQUIRED)
    with collector_paused():
        for k, one in enumerate(archives):
            builder.append(f"{k:028d}", "u" * 22, one)
    return WIDE.tables(builder.finish())[ONLY]


def manifest_of(schema: Any) -> Manifest:
    """A manifest of a plan of one segment."""
    question = QuerySpec("visible", {}, REQUIRED, True)
    plan = Plan((Segment("", "", ROWS),), ROWS, True, ROWS)
    return Manifest("scale", "http://localhost/api/v1", question, "", None, False, plan, WIDE, schema)
