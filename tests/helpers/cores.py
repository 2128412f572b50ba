"""Both builders of a layout fed with the same rows, one with archives and one with their JSON text."""

import json
import random
from typing import Any

import pyarrow as pa
import pytest

from nomad_dask._core import native
from nomad_dask.layouts.compiled import CompiledBuilder, builder
from nomad_dask.layouts.layouts import Layout
from nomad_dask.request.required import Required

Row = dict[str, Any]
Made = tuple[dict[str, pa.Table], int]
"""Tables, and the builder's `n_more`."""
compiled_only = pytest.mark.skipif(native is None, reason="there is no compiled core")


def row_text(entry_id: str, archive: Row, *, seed: int = 0) -> bytes:
    """A row as a server may write it: other blanks and escapes by the seed."""
    choose = random.Random(seed)
    separators = choose.choice([(",", ":"), (", ", ": "), (" ,\n ", "\t:\r\n")])
    text = json.dumps(archive, ensure_ascii=choose.random() < 0.5, separators=separators)
    return f'{{"entry_id":"{entry_id}","upload_id":"U","archive":{text}}}'.encode()


def twice(text: bytes, seed: int) -> bytes:
    """The text with some of its keys once more before, with another value; the last value counts."""
    choose = random.Random(seed)
    head, tail = text.split(b'"archive":', 1)
    parts = tail.split(b'{"')
    for number in range(1, len(parts)):
        key = parts[number].split(b'"', 1)[0]
        if choose.random() < 0.2 and b"\\" not in key and not key.endswith(b"\\"):
            value = choose.choice([b"1", b'"x"', b"null", b"[{}]", b'{"a":1}'])
            parts[number] = key + b'":' + value + b',"' + parts[number]
    return head + b'"archive":' + b'{"'.join(parts)


def by_python(
    layout: Layout, schema: Any, required: Required, rows: list[Row | None]
) -> tuple[dict[str, pa.Table], int]:
    """The tables of the layout's own builder, and its `n_more`."""
    own = layout.builder(schema, required)
    for number, row in enumerate(rows):
        own.append(f"entry{number}", "U", row)
    return layout.tables(own.finish()), own.n_more


def by_core(
    layout: Layout,
    schema: Any,
    required: Required,
    rows: list[bytes | Row | None],
    cuts: tuple[int, ...] = (),
) -> tuple[dict[str, pa.Table], int] | None:
    """The same by the core, from texts, archives and gaps; None where the core does not know `required`."""
    core = builder(layout, schema, required)
    if not isinstance(core, CompiledBuilder):
        return None
    waiting: list[bytes] = []

    def feed() -> None:
        text = b"[" + b" , ".join(waiting) + b"]"
        uploads = {f"entry{number}": "U" for number in range(len(rows))}
        taken, stop = core.feed(text, 1, len(text) - 1, uploads)
        assert len(taken) == len(waiting) and stop == len(text) - 1
        waiting.clear()

    for number, row in enumerate(rows):
        if isinstance(row, bytes):
            waiting.append(row)
        else:
            feed()
            core.append(f"entry{number}", "U", row)
        if number in cuts:
            feed()
            core.flush()
    feed()
    return layout.tables(core.finish()), core.n_more


def check_equal(found: Made, expected: Made) -> None:
    """The tables equal each other cell for cell, and are valid."""
    assert [*found[0]] == [*expected[0]]
    for key, table in found[0].items():
        table.validate(full=True)
        assert table.schema.equals(expected[0][key].schema, check_metadata=True)
        for name in table.column_names:
            assert table[name].to_pylist() == expected[0][key][name].to_pylist(), name
        assert table.equals(expected[0][key]), "the sign of a zero"
    assert found[1] == expected[1]
