"""Datasets as harvests leave them, written at once: for what looks at a dataset and needs no server."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pyarrow as pa

from nomad_dask.dataset.manifest import Manifest
from nomad_dask.dataset.report import Receipt
from nomad_dask.dataset.store import Store
from nomad_dask.layouts.layouts import layout
from nomad_dask.request import Failure, QuerySpec, Ref
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Plan, even_bounds, segments_between

REQUIRED = {"results": {"material": {"elements": "*"}}, "run": {"calculation": {"energy": {"total": "*"}}}}
EVIL = "<script>window.hacked = true</script>"


def archive(width):
    """One entry's archive, with so many calculations."""
    energies = [{"energy": {"total": {"value": -0.5 * k}}} for k in range(width)]
    return {"results": {"material": {"elements": ["Ti", "O"]}}, "run": [{"calculation": energies}]}


def write(place, *, n=40, rows=5, name="wide", width=3, undone=(), failed=(), paused=False):
    """A dataset of `n` segments of as many rows each: without those `undone`; in those `failed` two entries
    failed.

    Its receipts tell of a harvest of a segment a second.
    """
    required, chosen = parse(REQUIRED), layout(name)
    schema = chosen.infer([archive(width)], required)
    plan = Plan(segments_between(even_bounds("", "", n), [rows] * n), n * rows)
    question = QuerySpec("visible", {"results.material.elements": ["Ti", EVIL]}, required)
    url, versions = "https://example.org/api/v1", (("nomad-dask", "0.1.0"), ("pyarrow", "25.0.0"))
    manifest = Manifest(
        question,
        schema,
        chosen,
        id="id",
        url=url,
        plan=plan,
        versions=versions,
        created="2026-01-01T08:00Z",
    )
    store = Store.at(place)
    store.create(manifest)
    tables, receipt = _part(manifest, rows, width)
    whole = store.write_part(tables, receipt)
    contents = {part: (place / "data" / part).read_bytes() for part in whole.parts}
    (place / "segments" / "00000.json").unlink()
    for part in contents:
        (place / "data" / part).unlink()
    for number in sorted({*range(n)} - {*undone}):
        parts = {part.replace("00000", f"{number:05d}"): content for part, content in contents.items()}
        for part, content in parts.items():
            (place / "data" / part).write_bytes(content)
        mine = _receipt(receipt, plan, number, number in failed, paused and number > n / 2)
        mine = replace(mine, parts={part: len(content) for part, content in parts.items()})
        (place / "segments" / f"{number:05d}.json").write_bytes(orjson.dumps(mine.to_json()))
    return store


def _part(manifest, rows, width):
    builder = manifest.layout.builder(manifest.schema, manifest.question.required)
    for k in range(rows):
        builder.append(f"{k:028d}", "u" * 22, archive(1 + k * width // rows) if k else None)
    folders = manifest.layout.folders(manifest.schema)
    tables = {folders[key]: table for key, table in manifest.layout.tables(builder.finish()).items()}
    assert all(isinstance(table, pa.Table) for table in tables.values())
    return tables, Receipt(0, "", "", rows, missing=(Ref("0" * 28, "u" * 22),), dataset=manifest.id)


def _receipt(whole, plan, number, failed, later):
    dice = random.Random(number)
    finished = datetime(2026, 1, 1, 8, tzinfo=UTC) + timedelta(seconds=number, hours=9 if later else 0)
    reasons = [(500, f"entry {'b' * 28} is broken"), (None, EVIL)]
    failures = [Failure("b" * 28, "u" * 22, *why, 5) for why in reasons] if failed else []
    segment = plan.segments[number]
    return replace(
        whole,
        segment=number,
        after=segment.after,
        upto=segment.upto,
        first=segment.upto or "z" * 28,
        last=segment.upto or "z" * 28,
        failures=tuple(failures),
        n_bytes=dice.randint(3, 9) * 1_000_000,
        seconds=dice.uniform(2, 9),
        requests=12,
        retries=2 * failed,
        statuses={"200": 11, "503": 1} if number % 7 == 0 else {"200": 12},
        batch_sizes=tuple(min(1000, 50 * (number + 1) + dice.randint(0, 60)) for _ in range(10)),
        concurrency=(10,) if number < 10 else (8, 9),
        finished=finished.isoformat(),
    )
