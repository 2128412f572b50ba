"""Issue 13: a damaged dataset. Each command says which file is wrong and what to do, or does what is missing
again.

A damage is done to a copy of one small dataset; then each command is called on a copy of its own. Nothing
waits: a FIFO in
a file's place has no writer.
"""

import json
import os
import shutil
import socket
from contextlib import contextmanager
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery, open_dataset, units, update_dataset
from nomad_dask.errors import DatasetError, NomadDaskError
from nomad_dask.report_page.write import write_page
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

pytestmark = pytest.mark.timeout(120)
REQUIRED = {"results": {"material": {"elements": "*"}}, "run": {"calculation": {"energy": {"total": "*"}}}}
FAST = {"max_requests_per_second": None, "sleep_time": 0.01}
MANIFEST, RECEIPT, PART = "manifest.json", "segments/00001.json", "data/part-00001.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A server, a client with workers in this process, and a dataset of 24 entries in three parts; one entry
    failed.
    """
    from distributed import Client

    place = tmp_path_factory.mktemp("damaged") / "h"
    with (
        serve(n_entries=24, seed=3, kind="small", private_share=0) as url,
        Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="localhost:0") as client,
    ):
        url.faults = Faults(poison=[url.corpus.entries[0].entry_id])
        query_of(url).to_parquet(place, client=client, npartitions=3)
        url.faults = None
        yield url, client, place


def query_of(url):
    return ArchiveQuery(url=str(url), required=REQUIRED, results_max=None, progress=False, retry=0, **FAST)


def edited(change):
    """A damage: the JSON of a file with a change."""

    def damage(path):
        tree = json.loads(path.read_bytes())
        path.write_text(json.dumps(change(tree)))

    return damage


def put(*keys, value):
    def change(tree):
        at = tree
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value
        return tree

    return edited(change)


def without(key):
    return edited(lambda tree: {name: value for name, value in tree.items() if name != key})


def content(raw):
    return lambda path: path.write_bytes(raw)


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def flipped(place):
    """A bit of a file at a place; below 0 from its end."""

    def damage(path):
        raw = bytearray(path.read_bytes())
        raw[place] ^= 4
        path.write_bytes(raw)

    return damage


def taken(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def a_folder(path):
    taken(path)
    path.mkdir()


def a_file(path):
    taken(path)
    path.write_bytes(b"mine")


def a_fifo(path):
    taken(path)
    os.mkfifo(path)


def a_socket(path):
    taken(path)
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # an address is short
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


def a_loop(path):
    taken(path)
    path.symlink_to(path.name)


def a_dangling_link(path):
    taken(path)
    path.symlink_to("nowhere")


INSTEAD_OF_A_FILE = {
    "a folder": a_folder,
    "a FIFO": a_fifo,
    "a socket": a_socket,
    "a loop of links": a_loop,
    "a link to nothing": a_dangling_link,
}
INSTEAD_OF_A_FOLDER = INSTEAD_OF_A_FILE | {"a file": a_file}
del INSTEAD_OF_A_FOLDER["a folder"]

COMMANDS = ("status", "open", "units", "page", "harvest", "update")
OF_MANIFESTS = {
    "empty": content(b""),
    "zeros": content(bytes(2000)),
    "cut off in the middle": cut(0.5),
    "cut off before its last letter": lambda path: path.write_bytes(path.read_bytes().rstrip()[:-1]),
    "a bit of its first letter": flipped(0),
    "no text": content(b"\xff\xfe\x00"),
    "a byte order mark": lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
    "a list": content(b"[]"),
    "a number": content(b"7"),
    "null": content(b"null"),
    "nothing in it": content(b"{}"),
    "too deep": content(b"[" * 3000),
    "a newer format": put("format", value=2),
    "a format in words": put("format", value="1"),
    "no format": without("format"),
    "no id": without("id"),
    "an id that is a number": put("id", value=5),
    "no plan": without("plan"),
    "a plan that is a list": put("plan", value=[]),
    "an empty plan": put("plan", "segments", value=[]),
    "segments that are a number": put("plan", "segments", value=3),
    "a segment that is a text": put("plan", "segments", 1, value="a"),
    "a segment of two": put("plan", "segments", 1, value=["", ""]),
    "a bound that is a number": put("plan", "segments", 1, 0, value=5),
    "a size below nothing": put("plan", "segments", 1, 2, value=-1),
    "a gap in the plan": edited(lambda tree: (tree["plan"]["segments"].pop(1), tree)[1]),
    "a total in words": put("plan", "total", value="many"),
    "exact that is a number": put("plan", "exact", value=1),
    "a required tree that is none": put("required", value={"results": 5}),
    "a required tree too deep": put("required", value=json.loads('{"a":' * 900 + '"*"' + "}" * 900)),
    "a source of nobody": put("source", value="papers"),
    "a query that is a list": put("query", value=[]),
    "an owner that is a number": put("owner", value=5),
    "a url that is none": put("url", value="nomad"),
    "a url that is a list": put("url", value=[]),
    "a layout of nobody": put("layout", value="long"),
    "a schema that is a text": put("schema", value="columns"),
    "columns that are an object": put("schema", "columns", value={}),
    "a column that is a text": put("schema", "columns", 0, value="elements"),
    "a type of nobody": put("schema", "columns", 0, "type", value="float128"),
    "a type that is a list": put("schema", "columns", 0, "type", value=["double"]),
    "a unit that is an object": put("schema", "columns", 0, "unit", value={}),
    "a column twice": edited(
        lambda tree: (tree["schema"]["columns"].append(tree["schema"]["columns"][0]), tree)[1]
    ),
    "a column of ours": put("schema", "columns", 0, "name", value="entry_id"),
    "a batch that is a number": put("batch", value=64),
    "a batch of nothing": put("batch", "size", value=0),
    "on_new of nobody": put("on_new", value="ignore"),
    "versions that are a list": put("versions", value=[]),
    "a time in words": put("created", value="yesterday"),
    "a time before all": put("created", value="0001-01-01T00:00:00"),
    "a history that is an object": put("history", value={}),
    "a run that is a text": put("history", value=["2026"]),
    "a cap that is a text": put("results_max", value="all"),
    "a login that is a text": put("logged_in", value="no"),
}
OF_RECEIPTS = {
    "gone": taken,
    "empty": content(b""),
    "cut off": cut(0.7),
    "no JSON": content(b"\x00\x01"),
    "a list": content(b"[]"),
    "too deep": content(b"[" * 3000),
    "an unknown field": put("colour", value="red"),
    "rows in words": put("rows", value="many"),
    "rows below nothing": put("rows", value=-4),
    "a number for a list": put("missing", value=3),
    "a text for an entry": put("missing", value=["abc"]),
    "failures that are texts": put("failures", value=["abc"]),
    "a failure without a reason": put("failures", value=[{"entry_id": "a"}]),
    "sizes that are a list": put("parts", value=[]),
    "no parts": put("parts", value={}),
    "statuses that are texts": put("statuses", value={"200": "often"}),
    "batch sizes that are a number": put("batch_sizes", value=5),
    "a time in words": put("finished", value="yesterday"),
    "another dataset's": put("dataset", value="another"),
    "another segment's": put("segment", value=0),
    "a segment that no plan has": put("segment", value=77),
    "other bounds": put("upto", value="A"),
    "an update that is not known": put("run", value=3),
    "no first entry": put("first", value=None),
    "a last entry of elsewhere": put("last", value="zzzz"),
}
OF_PARTS = {"gone": taken, "empty": content(b""), "cut off": cut(0.5), "of another size": content(b"PAR1")}
OF_THE_SAME_SIZE = {
    "no Parquet": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a bit of its first page": flipped(40),
    "a bit of its last letter": flipped(-1),
    "a footer of another length": flipped(-7),
}
ALL_BUT_UNITS = tuple(name for name in COMMANDS if name != "units")


def kinds():
    """Damage by name: the file, what is done to it, the commands that refuse it, and whether a part is to be
    done again.
    """
    found = {}

    def add(name, file, kinds, refused, again=False):
        found.update({f"{name}: {kind}": (file, damage, refused, again) for kind, damage in kinds.items()})

    add("manifest", MANIFEST, OF_MANIFESTS | INSTEAD_OF_A_FILE, COMMANDS)
    add("receipt", RECEIPT, OF_RECEIPTS, (), again=True)
    add("receipt", RECEIPT, INSTEAD_OF_A_FILE, ALL_BUT_UNITS)
    add("part", PART, OF_PARTS, (), again=True)
    add("part", PART, OF_THE_SAME_SIZE, ("open",))
    add("part", PART, INSTEAD_OF_A_FILE, ALL_BUT_UNITS)
    add("data", "data", INSTEAD_OF_A_FOLDER, ALL_BUT_UNITS)
    add("segments", "segments", INSTEAD_OF_A_FOLDER, ALL_BUT_UNITS)
    failures = {"gone": taken, "empty": content(b""), "cut off": cut(0.5), "no Parquet": content(b"PAR1PAR1")}
    add("failures", "failures.parquet", failures, ())
    add("failures", "failures.parquet", INSTEAD_OF_A_FILE, ("harvest", "update"))
    add("page", "report.html", {"a folder": lambda path: path.mkdir()}, ("page",))
    add("dataset", "", INSTEAD_OF_A_FOLDER, COMMANDS)
    return found


KINDS = kinds()


def runs(made, call):
    """Each command as a function of a dataset's place."""
    url, client, _ = made

    def in_words(command, place):
        done = call(command, place)
        if done.returncode == 2:
            assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and not done.stdout
            raise DatasetError(done.stderr.removeprefix("error: ").strip())
        assert not done.stderr
        return done

    return {
        "status": partial(in_words, "status"),
        "open": lambda place: open_dataset(place).compute(scheduler="sync"),
        "units": units,
        "page": write_page,
        "harvest": lambda place: query_of(url).to_parquet(place, client=client),
        "update": lambda place: update_dataset(place, client=client, progress=False, **FAST),
    }


def test_at_least_71_kinds_of_damage():
    assert len(KINDS) >= 71


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_dataset(kind, made, call, tmp_path):
    file, damage, refused, again = KINDS[kind]
    url, _, whole = made
    commands = runs(made, call)
    mending = ("harvest", "update")[sorted(KINDS).index(kind) % 2]
    for name in COMMANDS:
        if again and name in ("harvest", "update") and name != mending:
            continue  # both take what is missing from the same place, and each mends every other kind
        place = tmp_path / name
        shutil.copytree(whole, place)
        damage(place / file)
        url.log.clear()
        if name in refused:
            with pytest.raises(DatasetError) as caught:
                commands[name](place)
            assert str(place / file) in str(caught.value), "the file is named"
            assert "; " in str(caught.value), "and what to do"
            assert url.log.count("entries/archive/query") == 0, "before anything is read"
            continue
        found = commands[name](place)
        if name == "status":
            assert ("1 of 3 segments still to do" in found.stdout) == again
        elif name == "open":
            assert (len(found) < 23) == again and found.index.is_unique
        elif name in ("harvest", "update"):
            assert found.done == 3 and found.rows + found.failed == 24
            assert not again or len(open_dataset(place)) == found.rows
            failures = pd.read_parquet(place / "failures.parquet")
            assert len(failures) == found.failed + found.missing


def test_a_dataset_that_is_whole_needs_nothing(made, call, tmp_path):
    shutil.copytree(made[2], tmp_path / "h")
    for name, run in runs(made, call).items():
        made[0].log.clear()
        run(tmp_path / "h")
        assert made[0].log.count("entries/archive/query") == 0, name


@contextmanager
def nobody_may_read(path, monkeypatch):
    """As root, who may read anything, the tests cannot take the right away: the system's answer is put in its
    place.
    """

    def refusing(function):
        def refused(place, *args, **kwargs):
            if place == str(path):
                raise PermissionError(13, os.strerror(13), place)
            return function(place, *args, **kwargs)

        return refused

    with monkeypatch.context() as patched:
        if os.geteuid() == 0:
            for name in ("open", "listdir"):
                patched.setattr(os, name, refusing(getattr(os, name)))
            yield
        else:
            mode = path.stat().st_mode
            path.chmod(0)
            yield
            path.chmod(mode)


@pytest.mark.parametrize("file", [MANIFEST, RECEIPT, "data", "segments", PART])
def test_what_may_not_be_read(file, made, call, tmp_path, monkeypatch):
    refused = {MANIFEST: COMMANDS, PART: ("open",)}.get(file, ALL_BUT_UNITS)
    place = tmp_path / "h"
    shutil.copytree(made[2], place)
    commands = runs(made, call)
    for name in refused:
        with nobody_may_read(place / file, monkeypatch), pytest.raises(DatasetError) as caught:
            commands[name](place)
        words = f"{place / file} cannot be read: Permission denied; check its permissions"
        assert str(caught.value) == words


def test_a_disk_that_fails_is_no_damage(made, tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise OSError(5, os.strerror(5))

    shutil.copytree(made[2], tmp_path / "h")
    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(NomadDaskError, match=r"cannot read .*manifest.json: Input/output error; try again"):
        units(tmp_path / "h")


def test_the_layouts_nested_and_tables_too(made, tmp_path):
    url, client, _ = made
    wrong = {
        "nested": [("schema", "nested", 0, "shape", "type"), ("schema", "nested", 0, "crossed")],
        "tables": [("schema", "tables", 0, "levels"), ("schema", "tables", 0, "values", "columns")],
    }
    for layout, fields in wrong.items():
        query_of(url).to_parquet(tmp_path / layout, client=client, npartitions=1, layout=layout)
        good = (tmp_path / layout / MANIFEST).read_bytes()
        for keys in fields:
            put(*keys, value=7)(tmp_path / layout / MANIFEST)
            name = ".".join(map(str, keys)).replace(".0", "[0]")
            with pytest.raises(
                DatasetError, match=f"manifest.json is damaged .*{re_escaped(name)} must be .*got 7"
            ):
                open_dataset(tmp_path / layout)
            (tmp_path / layout / MANIFEST).write_bytes(good)
        put("required", value={"results": "*"})(tmp_path / layout / MANIFEST)
        with pytest.raises(DatasetError, match="schema and required have different paths"):
            open_dataset(tmp_path / layout)


def re_escaped(name):
    return name.replace("[", r"\[").replace("]", r"\]").replace(".", r"\.")


def test_a_format_that_is_newer_says_what_to_install(made, tmp_path):
    shutil.copytree(made[2], tmp_path / "h")
    put("format", value=2)(tmp_path / "h" / MANIFEST)
    with pytest.raises(
        DatasetError, match="has format 2, but this version of nomad-dask reads format 1; install"
    ):
        open_dataset(tmp_path / "h")


def test_a_part_that_goes_after_the_dataset_was_opened(made, tmp_path):
    shutil.copytree(made[2], tmp_path / "h")
    frame = open_dataset(tmp_path / "h")
    (tmp_path / "h" / PART).unlink()
    with pytest.raises(DatasetError, match=f"{PART} is missing; `nomad-dask resume .*/h` fetches it again"):
        frame.compute(scheduler="sync")


def test_a_part_without_a_column_that_is_asked_for(made, tmp_path):
    shutil.copytree(made[2], tmp_path / "h")
    part = tmp_path / "h" / PART
    table = pq.read_table(part)
    pq.write_table(table.drop_columns(["results.material.elements"]), part)
    put("parts", value={part.name: part.stat().st_size})(tmp_path / "h" / RECEIPT)
    with pytest.raises(DatasetError, match="is damaged .column results.material.elements is missing"):
        open_dataset(tmp_path / "h")[["results.material.elements"]].compute(scheduler="sync")
    pq.write_table(pa.table({"a": [1]}), part)
    put("parts", value={part.name: part.stat().st_size})(tmp_path / "h" / RECEIPT)
    with pytest.raises(DatasetError, match="is damaged .column entry_id is missing"):
        open_dataset(tmp_path / "h").compute(scheduler="sync")


@settings(max_examples=60)
@given(st.data())
def test_whatever_bytes_change_the_error_is_ours(made, tmp_path_factory, data):
    """In the small files; each reader gives what is there, or refuses it in one of our errors."""
    whole = made[2]
    place = tmp_path_factory.mktemp("bytes", numbered=True) / "h"
    name = data.draw(st.sampled_from([MANIFEST, RECEIPT, PART]))
    raw = bytearray((whole / name).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
    shutil.copytree(whole, place)
    (place / name).write_bytes(raw)
    for read in (units, write_page, lambda place: open_dataset(place).compute(scheduler="sync")):
        try:
            read(place)
        except NomadDaskError as error:
            assert str(place) in str(error)
    shutil.rmtree(place.parent)
