"""Runs nomad-lab's own ArchiveQuery, in nomad-lab's environment: a line of JSON in, a line of JSON out.

A line is `{"query": N, "call": NAME, "args": [...], "kwargs": {...}}`; the call `new` makes query N. The
answer is
`{"value": ..., "printed": TEXT}` or `{"error": [CLASS, TEXT], "printed": TEXT}`.
"""

import asyncio
import contextlib
import inspect
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

warnings.simplefilter("ignore")
SAYS = os.fdopen(os.dup(1), "w")
sys.stdout = sys.stderr

import pandas as pd  # noqa: E402
from nomad.client.archive import ArchiveQuery  # noqa: E402
from nomad.config import config  # noqa: E402
from nomad.metainfo import MSection  # noqa: E402

QUERIES: dict[int, ArchiveQuery] = {}


def new(number: int, **arguments: Any) -> None:
    # nomad-lab asks its configured server for tokens, whatever server the query asks.
    if arguments.get("url"):
        config.client.url = arguments["url"].removesuffix("/v1")
    QUERIES[number] = ArchiveQuery(**arguments)


def signature(name: str | None = None) -> list[list[Any]]:
    """Name, default and kind of each parameter of the class, or of a method."""
    of: Any = getattr(ArchiveQuery, name) if name else ArchiveQuery
    return [
        [p.name, p.default, p.kind.name]
        for p in inspect.signature(of).parameters.values()
        if p.name != "self"
    ]


def called(order: dict[str, Any]) -> Any:
    name, args, kwargs = order["call"], order.get("args", []), order.get("kwargs", {})
    if name == "new":
        return new(order["query"], **kwargs)
    if name == "signature":
        return signature(*args)
    method: Callable[..., Any] = getattr(QUERIES[order["query"]], name)
    value = method(*args, **kwargs)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def plain(value: Any) -> Any:
    """A value as JSON: a frame as its columns and rows, a section as its dict, no NaN."""
    if isinstance(value, pd.DataFrame):
        dtypes = [str(dtype) for dtype in value.dtypes]
        rows = [[plain(cell) for cell in row] for row in value.astype(object).values.tolist()]
        return {"columns": list(value.columns), "index": value.index.tolist(), "dtypes": dtypes, "rows": rows}
    if isinstance(value, MSection):
        return value.m_to_dict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def answer(order: dict[str, Any]) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            said = {"value": plain(called(order))}
        except Exception as exc:
            said = {"error": [type(exc).__name__, str(exc)]}
    return {**said, "printed": printed.getvalue()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), file=SAYS, flush=True)
