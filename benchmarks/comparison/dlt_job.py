"""dlt: its REST API source, paged by a cursor in the body of a POST, loaded as Parquet into a folder.

What was tuned, in good faith, by trials on two cores:
- its parallelism is on: four resources, each a range of ids, extracted at once into one table; normalized
  by two
  processes, for which the extracted items are cut into files of 2,000; loaded by four threads
- pages of 1,000 entries; files under way are not compressed; no telemetry
- `tuned`: arrays of numbers and texts stay in one cell, as JSON, by a processing step. dlt would make a
  table of every list, with a row for
  each number, which takes three times as long on small archives, and ten times on large ones (`full`).
  Sections become columns, and those that
  repeat tables of their own. `max_table_nesting` is left open: with 3 or less it is as fast again, but most
  quantities
  are then JSON text and no columns.
"""

import glob
import os
from typing import Any

import dlt
import orjson
import pyarrow.parquet
from dlt.sources.rest_api import rest_api_source
from measuring import Clock, Job, Order, main

ID_LETTERS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
RESOURCES = 4
TUNED = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "EXTRACT__WORKERS": "4",
    "NORMALIZE__WORKERS": "2",
    "NORMALIZE__START_METHOD": "fork",
    "LOAD__WORKERS": "4",
    "DATA_WRITER__FILE_MAX_ITEMS": "2000",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
}


def load(arrays_in_cells: bool) -> Job:
    def job(order: Order, clock: Clock) -> int:
        os.environ.update(TUNED)
        steps = {"processing_steps": [{"map": in_cells}]} if arrays_in_cells else {}
        with clock:
            pipeline = dlt.pipeline(
                "archives",
                pipelines_dir=f"{order.out}/pipelines",
                destination=dlt.destinations.filesystem(bucket_url=f"file://{order.out}/data"),
                dataset_name="nomad",
            )
            source = rest_api_source(
                {
                    "client": {"base_url": f"{order.url}/"},
                    "resources": [resource(order, k) | steps for k in range(RESOURCES)],
                },
                name="nomad",
            )
            pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()
        files = glob.glob(f"{order.out}/data/nomad/entries/*.parquet")
        clock.facts["tables"] = len(glob.glob(f"{order.out}/data/nomad/entries*"))
        return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)

    return job


def resource(order: Order, k: int) -> dict[str, Any]:
    """One of the ranges of ids, which are of equal width."""
    letters = ID_LETTERS.index(order.upto[0]) + 1 if order.upto else len(ID_LETTERS)
    cuts = [ID_LETTERS[letters * j // RESOURCES] for j in range(RESOURCES)]
    bounds = {"gte": cuts[k]}
    if k + 1 < RESOURCES:
        bounds["lt"] = cuts[k + 1]
    elif order.upto:
        bounds["lte"] = order.upto
    body = {
        "owner": "visible",
        "query": {"entry_id": bounds},
        "required": order.required,
        "pagination": {"page_size": 1_000},
    }
    cursor = {
        "type": "cursor",
        "cursor_path": "pagination.next_page_after_value",
        "cursor_body_path": "pagination.page_after_value",
    }
    endpoint = {
        "path": "entries/archive/query",
        "method": "POST",
        "json": body,
        "data_selector": "data",
        "paginator": cursor,
    }
    return {"name": f"entries_{k}", "table_name": "entries", "parallelized": True, "endpoint": endpoint}


def in_cells(part: dict[str, Any]) -> dict[str, Any]:
    """The same archive, its arrays as JSON."""
    for name, value in part.items():
        if type(value) is dict:
            in_cells(value)
        elif type(value) is list and value:
            if type(value[0]) is dict:
                for one in value:
                    in_cells(one)
            else:
                part[name] = orjson.dumps(value).decode()
    return part


if __name__ == "__main__":
    main({"tuned": load(True), "full": load(False)})
