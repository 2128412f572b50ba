"""Builders that read the JSON text of archives with the compiled core (`nomad_dask._core`).

Their tables equal those of the layout's own builder, which defines the rules, and which gets what the core
gives back: entries with repeated keys, or with lists that `required` cuts. Values outside the schema are
decoded from their place in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, get_args

import numpy as np
import orjson
import pyarrow as pa

from nomad_dask._core import native
from nomad_dask.common import types
from nomad_dask.common.json_rules import ROW, decode
from nomad_dask.layouts import shapes
from nomad_dask.layouts.column_limit import ColumnLimit
from nomad_dask.layouts.infer import MOST_NAMES
from nomad_dask.layouts.layouts import ONLY, WIDE, AnySchema, Builder, Layout, TablesSchema
from nomad_dask.layouts.nested import NestedSchema
from nomad_dask.layouts.nested_cells import leading_tree
from nomad_dask.layouts.schema import ENTRY_ID, UPLOAD_ID, Schema, more_cell, wide_schema
from nomad_dask.layouts.tables import RequiredPath, required_paths
from nomad_dask.layouts.wide import OnNew, Wide
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.request.required import REF_ARCHIVES, Node, Required, RequiredLeaf, RequiredSection

BLOCK_BYTES = 2**28
"""Bytes of JSON in one chunk of the table: Arrow's 32-bit offsets never overflow."""

_MORE, _EXPECTED, _TEXT = range(3)
"""What is done with a value that the core gives back (`What` in walk.hpp)."""


def builder(
    layout: Layout,
    schema: AnySchema,
    required: Required,
    on_new: OnNew = "more",
    *,
    untyped: Collection[str] = (),
) -> Builder:
    """A builder for tables with this schema: a `CompiledBuilder` if possible, else the layout's own.

    `untyped` as in `wide.Wide`.
    """

    def own() -> Builder:
        if isinstance(schema, Schema):
            return Wide(schema, required, on_new=on_new, untyped=untyped)
        return layout.builder(schema, required, on_new)

    if native is None or on_new not in get_args(OnNew):
        return own()
    try:
        core = native.Builder(*_arguments(schema, required, untyped))
    except ValueError:
        return own()  # `required` has a `*` above its leaves, or a name is no UTF-8
    return CompiledBuilder(layout, schema, core, own, raises=on_new == "raise")


JsonRows: TypeAlias = tuple[bytes, Mapping[str, str | None]]
"""JSON of rows with commas between them, and the upload ids by entry id."""


def checked_rows(text: bytes, begin: int, end: int) -> tuple[list[str], int]:
    """The entry ids of valid rows between two positions, and the position of the first row of another kind.

    Nothing is decoded. Needs the core.
    """
    assert native is not None
    rows, stop = native.rows(text, begin, end)
    return [row[0] for row in rows], stop


def kinds_of(texts: Iterable[JsonRows], required: Required) -> dict[str, str] | None:
    """`infer.kinds_of` from text, in one compiled pass; the names may come in another order.

    None if there is no core, if it leaves an entry to Python, or if a text has other entries than named.
    """
    try:
        kinds = native.Kinds(_tree(required.root), MOST_NAMES) if native is not None else None
    except ValueError:
        return None  # a key of `required` is no UTF-8
    if kinds is None:
        return None
    for text, uploads in texts:
        rows, stop = kinds.feed(text, 0, len(text))
        if stop < len(text) or not all(row[3] for row in rows) or [row[0] for row in rows] != [*uploads]:
            return None
    return {name: "list<" * n + kind + ">" * n for name, kind, n, _ in kinds.found()}


def infer(
    layout: Layout,
    texts: Iterable[JsonRows],
    required: Required,
    definitions: Definitions | None,
    max_columns: int | None,
) -> AnySchema | None:
    """`Layout.infer` from text, for the layout wide.

    None as in `kinds_of`, and if the limit leaves columns out.
    """
    found = kinds_of(texts, required) if layout == WIDE else None
    if found is None or not ColumnLimit(required, definitions, max_columns).allows(len(found)):
        return None
    return wide_schema(found, required, definitions)


def build_wide(
    texts: Callable[[], Iterable[JsonRows]],
    required: Required,
    make_schema: Callable[[Mapping[str, str]], Schema],
    limit: ColumnLimit,
) -> pa.Table | None:
    """`wide.build_wide` from text: types are found in one compiled pass, columns filled in another.

    None as in `kinds_of`, and if the choice of columns is left to Python. Memory: the table and one text.
    """
    found = kinds_of(texts(), required)
    if found is None or not limit.allows(len(found)):
        return None
    table = builder(WIDE, make_schema(found), required)
    if not isinstance(table, CompiledBuilder):
        return None
    for text, uploads in texts():
        if table.feed(text, 0, len(text), uploads)[1] < len(text):
            return None
    return table.finish()


class CompiledBuilder:
    """Builds the tables of a layout from text. Memory: the tables, and one text."""

    def __init__(
        self,
        layout: Layout,
        schema: AnySchema,
        core: Any,
        own: Callable[[], Builder],
        *,
        raises: bool,
    ) -> None:
        self._layout, self._core, self._own, self._raises = layout, core, own, raises
        self._reference: Builder | None = None
        self._arrow = layout.arrow(schema)
        self._is_tables, self._is_nested = isinstance(schema, TablesSchema), isinstance(schema, NestedSchema)
        self._n_more = self._n_before = 0
        self._chunks: dict[str, list[pa.Table]] = {key: [] for key in self._arrow}
        self._places: dict[str, list[_Places]] = {key: [] for key in self._arrow}
        self._given_back: dict[str, list[int]] = {}
        self._begin_block()

    def _begin_block(self) -> None:
        self._entries: list[str] = []
        self._uploads: list[str | None] = []
        self._rows: list[int] = []
        self._more: dict[tuple[int, int], dict[str, Any]] = {}
        self._bytes = 0

    @property
    def n_more(self) -> int:
        """Number of values in `_more` so far."""
        return self._n_more + (self._reference.n_more if self._reference else 0)

    def append(
        self, entry_id: str, upload_id: str | None, archive: Mapping[str, Any] | None, *, n_bytes: int = 0
    ) -> None:
        """Add one entry; `archive` is None if it has none."""
        if archive is None:
            self._core.add_entry(True)
            self._rows.append(len(self._entries))
            self._add(entry_id, upload_id)
            return
        with suppress(TypeError):  # for an integer over 64 bits
            row = b'{"entry_id":"-","archive":' + orjson.dumps(archive) + b"}"
            if self._feed(row, 0, len(row), {"-": upload_id}, entry_id)[0]:
                return
        self._core.add_entry(False)
        self._add(entry_id, upload_id)
        self._give_back(archive, n_bytes)

    def feed(
        self, text: bytes, begin: int, end: int, uploads: Mapping[str, str | None]
    ) -> tuple[list[str], int]:
        """Add the rows between two positions of a text: objects with an entry id and an archive.

        Returns the ids of the rows that were read, and the position of the first row that was not: it is no
        valid JSON, or only Python can judge it. `uploads` are the upload ids by entry id.
        """
        return self._feed(text, begin, end, uploads)

    def _feed(
        self, text: bytes, begin: int, end: int, uploads: Mapping[str, str | None], only: str | None = None
    ) -> tuple[list[str], int]:
        if self._bytes and self._bytes + end - begin > BLOCK_BYTES:
            self.flush()
        self._bytes += end - begin
        before = len(self._entries)
        found, stop, odd = self._core.feed(text, begin, end)
        for entry_id, start, after, is_read in found:
            if is_read:
                self._rows.append(len(self._entries))
            self._add(entry_id if only is None else only, uploads.get(entry_id))
            if not is_read:
                self._give_back(decode(text[start:after], 0), after - start)
        if odd:
            archives = {before + number: row[1:3] for number, row in enumerate(found)}
            self._take_odd(text, odd, archives)
        return [row[0] for row in found], stop

    def _add(self, entry_id: str, upload_id: str | None) -> None:
        self._entries.append(entry_id)
        self._uploads.append(upload_id)

    def _give_back(self, archive: Mapping[str, Any], n_bytes: int) -> None:
        """Add the last entry to the layout's own builder."""
        self._reference = self._reference or self._own()
        number = len(self._entries) - 1
        self._given_back.setdefault(self._entries[number], []).append(self._n_before + number)
        self._reference.append(self._entries[number], self._uploads[number], archive, n_bytes=n_bytes)

    def _take_odd(
        self, text: bytes, odd: list[tuple[int, int, int, int, str, int, int]], archives: Mapping[int, Any]
    ) -> None:
        """Add the values that the core gave back; they are decoded together."""
        values = decode(b"[" + b",".join([text[begin:end] for *_, begin, end in odd]) + b"]", ROW)
        texts = []
        for (what, table, row, entry, name, _, _), value in zip(odd, values, strict=True):
            if what == _TEXT:
                texts.append(types.dumps(value).encode())
                continue
            if not self._is_nested and self._is_own(entry, name, value):
                continue
            if what == _MORE and self._raises:
                begin, end = archives[entry]
                self._refuse(entry, decode(text[begin:end], 0))
            self._more.setdefault((table, row), {})[name] = value
            self._n_more += 1
        if texts:
            self._core.put_texts(texts)

    def _is_own(self, entry: int, name: str, value: Any) -> bool:
        """True for the ids of the row itself."""
        return (name == ENTRY_ID and value == self._entries[entry]) or (
            name == UPLOAD_ID and value == self._uploads[entry]
        )

    def _refuse(self, entry: int, archive: Mapping[str, Any]) -> None:
        """Let the layout's own builder raise its error for an entry with values outside the schema."""
        own = self._own()
        own.append(self._entries[entry], self._uploads[entry], archive)
        own.finish()

    def flush(self) -> None:
        """Close the block of rows."""
        if not self._entries:
            return
        made = self._tables() if self._is_tables else [self._table()]
        for (table, entries), key in zip(made, self._arrow, strict=True):
            self._chunks[key].append(table)
            self._places[key].append(entries + self._n_before)
        self._n_before += len(self._entries)
        self._begin_block()

    def _table(self) -> tuple[pa.Table, _Places]:
        """The only table of the block, and the entry of each row."""
        ids, uploads = ([texts[row] for row in self._rows] for texts in (self._entries, self._uploads))
        more = [more_cell(self._more.get((0, row))) for row in range(len(ids))]
        batch = pa.record_batch(_Exported(self._arrow[ONLY], self._core.take_table(ids, uploads, more)))
        return pa.Table.from_batches([batch]), np.array(self._rows, np.int64)

    def _tables(self) -> Iterator[tuple[pa.Table, _Places]]:
        """Each table of the block, and the entry of each row."""
        uploads = pa.array(self._uploads, pa.string())
        for number, (capsule, arrow) in enumerate(zip(self._core.take(), self._arrow.values(), strict=True)):
            inner = pa.schema([pa.field("", pa.int64()), *[*arrow][2:-1]])
            places, *columns = pa.record_batch(_Exported(inner, capsule)).columns
            more = [more_cell(self._more.get((number, row))) for row in range(len(places))]
            first = [pa.array(self._entries, pa.string()).take(places), uploads.take(places)]
            columns = [*first, *columns, pa.array(more, pa.string())]
            yield pa.Table.from_arrays(columns, schema=arrow), places.to_numpy()

    def finish(self) -> Any:
        """The argument for `Layout.tables`, with rows in the order of `append` and `feed`.

        The builder is empty afterwards.
        """
        self.flush()
        tables = {
            key: pa.concat_tables(self._chunks[key]) if self._chunks[key] else arrow.empty_table()
            for key, arrow in self._arrow.items()
        }
        if self._reference:
            rest = self._layout.tables(self._reference.finish())
            tables = {key: self._in_order(key, table, rest[key]) for key, table in tables.items()}
        self._chunks = {key: [] for key in self._arrow}
        self._places = {key: [] for key in self._arrow}
        self._given_back, self._n_before = {}, 0
        return tables if self._is_tables else tables[ONLY]

    def _in_order(self, key: str, table: pa.Table, rest: pa.Table) -> pa.Table:
        """The rows of the core and of the layout's own builder in the order of their entries."""
        if self._is_tables:
            places = [self._given_back[entry_id][0] for entry_id in rest.column(ENTRY_ID).to_pylist()]
        else:
            places = sorted(place for places in self._given_back.values() for place in places)
        order = np.argsort(np.concatenate([*self._places[key], np.array(places, np.int64)]), kind="stable")
        return pa.concat_tables([table, rest]).take(pa.array(order))


_Places: TypeAlias = np.ndarray[Any, Any]


class _Exported:
    """A struct array of the core, for `pa.record_batch`."""

    def __init__(self, schema: pa.Schema, capsule: Any) -> None:
        self._schema, self._capsule = schema, capsule

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """Arrow's C data interface."""
        return self._schema.__arrow_c_schema__(), self._capsule


def _arguments(schema: AnySchema, required: Required, untyped: Collection[str]) -> tuple[str, Any, Any]:
    """The arguments of `native.Builder`: layout, columns, ways. ValueError if it does not know them."""
    if not isinstance(schema, TablesSchema) and any("\0" in name for name in schema.names):
        raise ValueError("Arrow's C data interface ends a name there")
    if isinstance(schema, Schema):
        return "wide", [_table(schema, required, 0, untyped)], None
    by_path = {path.written: path for path in required_paths(required)}
    if isinstance(schema, TablesSchema):
        paths_of = [by_path[table.path] for table in schema.tables]
        columns = [
            _table(table.values, path.required, 1 + len(table.levels), ())
            for table, path in zip(schema.tables, paths_of, strict=True)
        ]
        root = _TablesWay()
        for number, (table, path) in enumerate(zip(schema.tables, paths_of, strict=True)):
            levels = {name: level for level, name in enumerate(table.levels, 1)}
            if path.keys[:1] != (REF_ARCHIVES,):
                root.add(number, path, levels)
        return "tables", columns, root.argument()
    nested_root = _NestedWay()
    for number, column in enumerate(schema.columns):
        nested_root.add(number, by_path[column.path], column.crossed, required)
    shapes_of = [_crossed(_shape(column.shape), len(column.crossed)) for column in schema.columns]
    return "nested", shapes_of, nested_root.argument()


def _table(schema: Schema, required: Required, n_levels: int, untyped: Collection[str]) -> Any:
    columns = [(column.name, column.kind, column.name in untyped) for column in schema.columns]
    return columns, _tree(required.root), n_levels


def _tree(node: Node | None) -> Any:
    if not isinstance(node, RequiredSection):
        return None if node is None else True
    return {key: _tree(child) for key, child in node.named.items()}, _tree(node.rest)


def _shape(shape: shapes.Shape) -> Any:
    if isinstance(shape, shapes.Cells):
        return shape.type
    if isinstance(shape, shapes.Struct):
        if any("\0" in key for key, _ in shape.fields):
            raise ValueError("Arrow's C data interface ends a name there")
        return "struct", {key: _shape(below) for key, below in shape.fields}
    return "list", _shape(shape.item)


def _crossed(shape: Any, n_lists: int) -> Any:
    for _ in range(n_lists):
        shape = "list", shape
    return shape


class _TablesWay:
    """A key on the paths of tables: the tables whose paths lead through it, and what follows."""

    def __init__(self) -> None:
        self.passing: list[tuple[int, int]] = []
        self.is_end = False
        self.below: dict[str, _TablesWay] = {}
        self.open: int | None = None

    def add(self, number: int, path: RequiredPath, levels: Mapping[str, int]) -> None:
        way = self
        for key, name in zip(path.keys, path.sections, strict=True):
            way = way.below.setdefault(key, _TablesWay())
            way.passing.append((number, levels.get(name, -1)))
        if not path.is_open:
            way.is_end = True
        elif way.open is None:
            way.open = number
        else:
            raise ValueError("two tables at the same section")

    def argument(self) -> Any:
        below = {key: way.argument() for key, way in self.below.items()}
        return self.passing, self.is_end, below, self.open


class _NestedWay:
    """A key on the paths of nested columns."""

    def __init__(self) -> None:
        self.end: tuple[int, int] | None = None
        self.lists: list[tuple[int, int]] = []
        self.n_columns = 0
        self.below: dict[str, _NestedWay] = {}
        self.open: tuple[int, int, list[str]] | None = None

    def add(self, number: int, path: RequiredPath, crossed: Iterable[int], required: Required) -> None:
        node = _node_at(leading_tree(required), path)
        alone = _node_at(leading_tree(path.required), path)
        if node is None or alone is None:
            return  # no value is required there
        places, way, depth = frozenset(crossed), self, 0
        for place, key in enumerate(path.keys):
            way = way.below.setdefault(key, _NestedWay())
            if place in places:
                way.lists.append((number, depth))
                depth += 1
            way.n_columns += 1
            if way.lists and len(way.lists) < way.n_columns:
                raise ValueError("a section that repeats in some of its columns")
        if not path.is_open:
            way.end = number, depth
        elif way.open is not None or not isinstance(alone, RequiredSection) or any(alone.named.values()):
            raise ValueError("two columns at the same section")
        elif not isinstance(alone.rest, RequiredLeaf):
            raise ValueError("a `*` above a leaf")
        else:
            way.open = number, depth, [*alone.named]

    def argument(self) -> Any:
        below = {key: way.argument() for key, way in self.below.items()}
        return self.end, self.lists, below, self.open


def _node_at(root: Node, path: RequiredPath) -> Node | None:
    node: Node | None = root
    for key in path.keys:
        node = None if node is None else node.child(key)
    return node
