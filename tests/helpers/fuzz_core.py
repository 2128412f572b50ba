"""Mutated rows into the compiled core: python tests/helpers/fuzz_core.py SECONDS [FOLDER OF A CORE].

With a core that was built with sanitizers (`make fuzz-core`), an access out of bounds ends it. What the
core takes, Python must decode, to equal tables. Prints how many texts were tried, and how often each way was
taken.
"""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
if len(sys.argv) > 2:
    import sanitized

    sanitized.use(sys.argv[2])

from strategies import Archives, Choices, tree_of

from nomad_dask._core import native
from nomad_dask.common.json_rules import decode
from nomad_dask.layouts.compiled import CompiledBuilder, builder
from nomad_dask.layouts.layouts import LAYOUTS
from nomad_dask.request.required import parse

BYTES = b'"\\{}[],:0123456789-+.eEtrufalsn/b \t\n\r\x00\x1f\x7f\x80\xc0\xe2\xf0\xff'
PIECES = [
    b"null", b"[]", b"{}", b'""', b"1e999", b"-0", b"9" * 20, b'"\\ud83d\\ude42"', b'"\\ud800"', b"[[",
    b'{"a":', b"0.1e-5", b"[{}]", b'[{"a":1},2]', b"\xf0\x9f\x99\x82", b"[" * 101, b"9" * 4301,
]  # fmt: skip


def recorded() -> list[bytes]:
    """Small recorded archives, if they are beside the checkout."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "archives"
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_size)[:40]
    return [json.dumps(json.loads(path.read_bytes())["archive"]).encode() for path in files]


def mutated(text: bytes, choose: random.Random) -> bytes:
    """The text with a few changes."""
    found = bytearray(text)
    for _ in range(choose.choice((0, 1, 1, 2, 5))):
        at = choose.randrange(len(found) + 1)
        match choose.randrange(6):
            case 0 if at < len(found):
                found[at] = choose.choice(BYTES)
            case 1:
                del found[at : at + choose.choice((1, 1, 7, 100))]
            case 2:
                found[at:at] = choose.choice(PIECES)
            case 3:
                start = choose.randrange(len(found) + 1)
                found[at:at] = found[start : start + choose.randrange(60)]
            case 4:
                del found[at:]
            case _:
                found[at:at] = bytes([choose.randrange(256)])
    return bytes(found)


def one(seed: int, seeds: list[bytes], ways: Counter[str]) -> None:
    """One text into every layout, and into the two readers that build nothing."""
    choose = random.Random(seed)
    drawn = [choose.randbytes(200) for _ in range(choose.randint(1, 4))]
    rows = Archives().rows(drawn)
    required = parse(tree_of(Choices(choose.randbytes(64)), rows))
    texts = [json.dumps(row, ensure_ascii=choose.random() < 0.5).encode() for row in rows]
    if seeds and choose.random() < 0.1:
        texts.append(choose.choice(seeds))
    whole = b",".join(b'{"entry_id":"e%d","archive":%s}' % pair for pair in enumerate(texts))
    text = mutated(whole, choose)
    kinds = native.Kinds(({}, True), 1000)
    stops = {kinds.feed(text, 0, len(text))[1], native.rows(text, 0, len(text))[1]}
    kinds.found()
    for layout in LAYOUTS.values():
        schema = layout.infer(rows[:: choose.randint(1, 2)], required)
        core = builder(layout, schema, required)
        if not isinstance(core, CompiledBuilder):
            ways["left to Python"] += 1
            continue
        taken, stop = core.feed(text, 0, len(text), {})
        stops.add(stop)
        decoded = decode(b"[" + text[:stop].rstrip(b", \t\r\n") + b"]", 2)
        assert [row["entry_id"] for row in decoded] == taken, text
        own = layout.builder(schema, required)
        for row in decoded:
            own.append(row["entry_id"], None, row["archive"])
        expected = layout.tables(own.finish())
        ways["entries given back"] += len(core._given_back)
        for key, table in layout.tables(core.finish()).items():
            table.validate(full=True)
            assert table.equals(expected[key]), text
        ways["read whole" if stop == len(text) else "read in part"] += 1
    assert len(stops) == 1, (text, stops)


def main() -> None:
    """Fuzz for the given seconds."""
    seconds, seeds, ways = float(sys.argv[1]), recorded(), Counter[str]()
    start = random.SystemRandom().randrange(2**48)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            one(start + n, seeds, ways)
        except BaseException:
            print(f"seed {start + n}")
            raise
        n += 1
    print(f"{n:,} texts without a finding; {dict(ways)}")


if __name__ == "__main__":
    main()
