"""SPEC, "Compiled core": its tables equal those of the layouts' Python, from any text and by any way back."""

import json
import random
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from cores import by_core, by_python, check_equal, compiled_only, row_text, twice
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, fuzzed, with_gaps

from nomad_dask import _core
from nomad_dask._core import native
from nomad_dask.common.json_rules import decode
from nomad_dask.errors import UnknownValueError
from nomad_dask.layouts import compiled, wide
from nomad_dask.layouts.column_limit import ColumnLimit
from nomad_dask.layouts.compiled import CompiledBuilder, builder
from nomad_dask.layouts.infer import kinds_of
from nomad_dask.layouts.layouts import LAYOUTS, NESTED, TABLES, WIDE
from nomad_dask.layouts.nested import required_part
from nomad_dask.layouts.schema import wide_schema
from nomad_dask.request.required import parse

every_layout = pytest.mark.parametrize("chosen", LAYOUTS.values(), ids=LAYOUTS)
pytestmark = compiled_only


@fuzzed(1000)
@given(cases, st.integers(0, 2**16))
def test_the_core_equals_python(case, seed):
    """In each layout, whatever the documents, schema and required tree; from text, archives and gaps."""
    rows = with_gaps(case.rows, case.gaps)
    texts = [row if row is None else row_text(f"entry{n}", row, seed=seed + n) for n, row in enumerate(rows)]
    texts = [rows[n] if (seed >> n) % 8 == 7 else text for n, text in enumerate(texts)]
    for chosen in LAYOUTS.values():
        schema = chosen.infer(case.sample, case.required)
        found = by_core(chosen, schema, case.required, texts, case.cuts)
        if found is not None:
            check_equal(found, by_python(chosen, schema, case.required, rows))


@every_layout
@pytest.mark.parametrize(
    "tree",
    [
        "*",
        {"run": {"calculation[-1]": {"energy": "*"}}, "results": {"material": {"elements": "*"}}},
        {"results": {"material": "*", "properties": {"n_calculations": "*"}}, "metadata": "*"},
    ],
)
def test_the_core_takes_what_queries_usually_require(chosen, tree):
    """The property above says nothing of what the core leaves to Python."""
    required = parse(tree)
    row = {
        "run": [{"calculation": [{"energy": {"total": {"value": 1.5}}}]}],
        "results": {"material": {"elements": ["Ti"]}, "properties": {"n_calculations": 3}},
    }
    made = builder(chosen, chosen.infer([required_part(row, required)], required), required)
    assert isinstance(made, CompiledBuilder)


@given(cases, st.integers(0, 2**16))
def test_the_last_value_of_a_repeated_key_counts(case, seed):
    texts = [twice(row_text(f"entry{n}", row), seed) for n, row in enumerate(case.rows)]
    rows = [decode(text, 1)["archive"] for text in texts]
    for chosen in LAYOUTS.values():
        schema = chosen.infer(case.sample, case.required)
        found = by_core(chosen, schema, case.required, texts)
        if found is not None:
            check_equal(found, by_python(chosen, schema, case.required, rows))


@fuzzed(1000)
@given(cases, st.integers(0, 2**16))
def test_types_and_the_table_of_all_entries_are_those_of_python(case, seed):
    """What a sample and a download's frame are made of; the text is cut anywhere."""
    rows = {f"entry{n}": row for n, row in enumerate(case.rows)}
    texts = [(row_text(name, row, seed=seed + n), name) for n, (name, row) in enumerate(rows.items())]
    cut = seed % (len(texts) + 1)
    blocks = [
        (b",".join(text for text, _ in some), dict.fromkeys(name for _, name in some))
        for some in (texts[:cut], texts[cut:])
        if some
    ]
    kinds = compiled.kinds_of(blocks, case.required)
    assert kinds is None or kinds == kinds_of(case.rows, case.required)
    make_schema, limit = partial(wide_schema, required=case.required), ColumnLimit(case.required)
    found = compiled.build_wide(lambda: blocks, case.required, make_schema, limit)
    if found is not None:
        entries = [(name, None, row) for name, row in rows.items()]
        expected, left_out = wide.build_wide(lambda: [entries], case.required, make_schema, limit)
        check_equal(({"": found}, 0), ({"": expected}, left_out))


def test_types_are_found_by_the_core_and_of_the_entries_named():
    """The property above says nothing of what the core leaves to Python."""
    text = row_text("entry0", {"results": {"n": 1}}) + b"," + row_text("entry1", {"results": {"n": 0.5}})
    for tree in ("*", {"results": "*"}, {"results": {"n": "*"}}):
        named = {"entry0": None, "entry1": None}
        assert compiled.kinds_of([(text, named)], parse(tree)) == {"results.n": "double"}
        assert compiled.kinds_of([(text, {"entry0": None})], parse(tree)) is None


NUMBERS = """
    0 -0 -0.0 1e5 1E-7 0.1 1e22 1e23 8.5e-23 9007199254740993.0 1e-400 -1e-400 0.001e-400 0e400 0.0e-400
    9223372036854775807 -9223372036854775808 2.2250738585072011e-308 5e-324 2.4703282292062327e-324
    1.7976931348623157e308 17976931348623158079e289 6929495644600919.5 3.518437208883201171875E13
    7.3177701707893310e+15 123456789012345678901.5e-20 0.001e310 100000.0e-320
"""


def numbers():
    """Numbers around every border of the conversion, and of any bits."""
    yield from (*NUMBERS.split(), "0." + "0" * 400 + "1", "1" * 300 + ".5e10", "1" * 400 + ".5e-200")
    choose = random.Random(0)
    for _ in range(20_000):
        (value,) = struct.unpack("<d", choose.randbytes(8))
        if abs(value) < float("inf"):
            yield repr(value)
        digits = choose.randrange(10 ** choose.randint(1, 25))
        yield f"{digits}.{choose.randrange(10 ** choose.randint(1, 20))}e{choose.randint(-330, 280)}"


def test_floats_are_those_nearest():
    for text in numbers():
        expected = orjson.loads(text) if not {".", "e", "E"} & set(text) else float(text)
        found = native.number(text.encode())
        assert repr(found) == repr(expected if abs(expected) < float("inf") else None), text


@pytest.mark.parametrize(
    "text", ["1e400", "-1e309", "01", "1.", ".5", "+1", "1e", "--1", "0x10", "1_0", "9" * 4301]
)
def test_what_is_no_number_is_left_to_python(text):
    assert native.number(text.encode()) is None


BROKEN = [
    b"{",
    b"[1,]",
    b'"\x01"',
    b'"\\x"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b"tru",
    b"nul",
    b"01",
    b"1.",
    b"NaN",
    b"1e400",
    b"\xff",
    b'"\xc0\xaf"',
    b'"\xed\xa0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"unterminated',
    b'{"a":1,}',
    b'{"a"}',
    b"{1:2}",
    b"[1 2]",
    b"\x00",
    b"'a'",
    b"9" * 5000,
    b"[" * 101 + b"]" * 101,
    b'{"a":' * 101 + b"1" + b"}" * 101,
]


@every_layout
@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_a_row_that_breaks_a_rule_is_left_and_the_rows_before_are_read(chosen, broken):
    required = parse({"x": "*"})
    schema = chosen.infer([{"x": {"y": [1.5]}}], required)
    core = builder(chosen, schema, required)
    good = row_text("A", {"x": {"y": [2.5]}})
    text = b",".join([good, b'{"entry_id":"B","archive":{"x":{"y":' + broken + b"}}}", good])
    taken, stop = core.feed(text, 0, len(text), {"A": "U"})
    assert (taken, stop) == (["A"], len(good) + 1)
    (table,) = chosen.tables(core.finish()).values()
    assert table["entry_id"].to_pylist() == ["A"]


@every_layout
def test_cut_and_mutated_texts_never_give_more_than_python_reads(chosen):
    """What the core takes, Python decodes to the same table; it leaves the rest."""
    rows = [{"run": [{"e": [1.5, 2], "s": "é\n", "n": n}], "r": {"x": None, "y": [True]}} for n in range(3)]
    required = parse({"run": "*", "r": "*"})
    schema = chosen.infer(rows, required)
    whole = b",".join(row_text(f"entry{n}", row) for n, row in enumerate(rows))
    choose = random.Random(3)
    texts = [whole[:end] for end in range(0, len(whole), 7)]
    for _ in range(100):
        mutated = bytearray(whole)
        for _ in range(choose.randint(1, 3)):
            mutated[choose.randrange(len(mutated))] = choose.choice(b'"\\{}[],:0-.eEntu \x00\x80\xff')
        texts.append(bytes(mutated))
    for text in texts:
        core = builder(chosen, schema, required)
        taken, stop = core.feed(text, 0, len(text), {})
        found = chosen.tables(core.finish())
        read = decode(b"[" + text[:stop].rstrip(b", \r\n\t") + b"]", 2)
        assert [row["entry_id"] for row in read] == taken
        own = chosen.builder(schema, required)
        for row in read:
            own.append(row["entry_id"], None, row["archive"])
        expected = chosen.tables(own.finish())
        for key, table in found.items():
            table.validate(full=True)
            assert table.equals(expected[key])


@every_layout
def test_a_failed_allocation_leaves_nothing_half_done(chosen):
    """Wherever memory ends, it is a MemoryError, and the rows before are whole."""
    rows = [{"a": {"b": [{"c": "x" * n, "d": [1.5] * n, "e": n}], f"new{n}": 1}} for n in range(40)]
    required = parse({"a": "*"})
    schema = chosen.infer(rows[::2], required)
    text = b",".join(row_text(f"entry{n}", row) for n, row in enumerate(rows))
    failed = 0
    for n in [*range(40), *range(40, 2_000, 61)]:
        core = builder(chosen, schema, required)
        try:
            native.fail_allocation(n)
            try:
                core.feed(text, 0, len(text), {})
            finally:
                native.fail_allocation(-1)
        except MemoryError:
            failed += 1
        else:
            break
        more = native.Builder("wide", [([], True, 0)], None)
        assert more.feed(text, 0, len(text))[1] == len(text)
    assert failed > 20


@every_layout
def test_the_first_value_outside_the_schema_is_the_error_of_python(chosen):
    required = parse({"a": "*"})
    schema = chosen.infer([{"a": {"b": 1}}], required)
    text = row_text("E", {"a": {"b": "text", "c": None}})
    own = chosen.builder(schema, required, "raise")
    with pytest.raises(UnknownValueError) as expected:
        own.append("E", "U", {"a": {"b": "text", "c": None}})
        own.finish()
    core = builder(chosen, schema, required, "raise")
    with pytest.raises(UnknownValueError) as found:
        core.feed(text, 0, len(text), {"E": "U"})
    assert str(found.value) == str(expected.value)


def test_values_of_untyped_columns_are_in_more():
    schema = WIDE.infer([{"a": 1, "b": None}], parse("*"))
    text = row_text("E", {"a": 1, "b": 2})
    core = builder(WIDE, schema, parse("*"), untyped={"b"})
    core.feed(text, 0, len(text), {"E": "U"})
    (row,) = core.finish().to_pylist()
    assert (row["a"], row["b"], row["_more"], core.n_more) == (1, None, '{"b":2}', 1)


def test_names_that_never_end_do_not_fill_the_memory():
    """Keys outside the schema are forgotten; entries with too many are read by Python."""
    schema = WIDE.infer([{"a": 1}], parse("*"))
    core = builder(WIDE, schema, parse("*"))
    rows = [{f"k{n}_{m}": m for m in range(70_000)} for n in range(3)]
    for n, row in enumerate(rows):
        text = row_text(f"entry{n}", row)
        assert core.feed(text, 0, len(text), {})[0] == [f"entry{n}"]
    table = core.finish()
    assert [json.loads(more) for more in table["_more"].to_pylist()] == rows and core.n_more == 210_000


def test_a_builder_is_for_one_thread_at_a_time():
    core = native.Builder("wide", [([("x", "list<double>", False)], True, 0)], None)
    text = row_text("E", {"x": [1.5] * 300_000})
    refused = []

    def feed():
        try:
            core.feed(text, 0, len(text))
        except RuntimeError:
            refused.append(1)

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (capsule,) = core.take()
    assert capsule is not None and len(refused) <= 3


WRONG = [
    ("wide", [], None),
    ("wide", 5, None),
    ("wide", [([], True, 0)] * 2, None),
    ("wide", [([("x", "what", False)], True, 0)], None),
    ("nested", [("struct", {})], (None, [], {"a": ((5, 0), [], {}, None)}, None)),
    ("nested", ["double"], (None, [], {}, (0, 0, []))),
    ("nested", ["double"], (None, [], {"a": ((0, 1), [], {}, None)}, None)),
    ("tables", [([], True, 0)], ([], False, {}, None)),
    ("tables", [([], True, 1)], ([], False, {"a": ([(3, -1)], True, {}, None)}, None)),
    ("tables", [([], None, 1)], ([], False, {"a": ([(0, -1)], True, {}, None)}, None)),
]


@pytest.mark.parametrize("arguments", WRONG, ids=range(len(WRONG)))
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises((ValueError, TypeError)):
        native.Builder(*arguments)


def test_columns_of_many_blocks_are_one_table(monkeypatch):
    from nomad_dask.layouts import compiled

    monkeypatch.setattr(compiled, "BLOCK_BYTES", 200)
    rows = [{"a": {"b": n, "c": "x" * n}} for n in range(30)]
    for chosen in LAYOUTS.values():
        schema = chosen.infer(rows, parse({"a": "*"}))
        core = builder(chosen, schema, parse({"a": "*"}))
        for n, row in enumerate(rows):
            text = row_text(f"entry{n}", row)
            core.feed(text, 0, len(text), {f"entry{n}": "U"})
        expected = by_python(chosen, schema, parse({"a": "*"}), rows)
        check_equal((chosen.tables(core.finish()), core.n_more), expected)


@pytest.mark.parametrize(
    "tree",
    [
        "*",
        {
            "run": {"calculation": {"energy": "*", "forces": "*"}, "system": {"atoms": "*"}},
            "workflow2": {"results": "*"},
        },
    ],
    ids=["whole", "paths"],
)
def test_recorded_archives(shared_data: Path, tree):
    """By schemas of all of them, and of every ninth, which others do not fit."""
    required = parse(tree)
    archives = [
        orjson.loads(path.read_bytes())["archive"]
        for path in sorted((shared_data / "archives").glob("*.json"))[::8]
    ]
    rows = [required_part(archive, required) for archive in archives]
    texts = [row_text(f"entry{n}", row) for n, row in enumerate(rows)]
    for chosen in (WIDE, NESTED, TABLES):
        for sample in (rows, rows[::9]):
            schema = chosen.infer(sample, required)
            found = by_core(chosen, schema, required, texts)
            assert found is not None
            tables, n_more = by_python(chosen, schema, required, rows)
            assert found[1] == n_more
            assert all(table.equals(tables[key]) for key, table in found[0].items())


def test_the_environment_turns_the_core_off():
    code = (
        "import nomad_dask._core as core; from nomad_dask.layouts.compiled import builder, CompiledBuilder\n"
        "from nomad_dask.layouts.layouts import WIDE; from nomad_dask.request.required import parse\n"
        "made = builder(WIDE, WIDE.infer([], parse('*')), parse('*'))\n"
        "print(core.description(), isinstance(made, CompiledBuilder))"
    )
    run = [sys.executable, "-c", code]
    off = subprocess.run(run, env={"NOMAD_DASK_CORE": "0"}, capture_output=True, text=True, check=True)
    assert off.stdout == "Python: NOMAD_DASK_CORE=0 False\n"
    assert _core.description() == "compiled"


def test_memory_of_a_table_does_not_need_its_builder():
    required = parse({"a": "*"})
    schema = WIDE.infer([{"a": "x"}], required)
    core = builder(WIDE, schema, required)
    assert isinstance(core, CompiledBuilder)
    text = row_text("E", {"a": "long " * 20_000})
    core.feed(text, 0, len(text), {})
    table = core.finish()
    column = table["a"]
    del core, table
    assert column.to_pylist() == ["long " * 20_000] and pa.types.is_string(column.type)
