"""The manifest of a dataset: its query, plan, schema and history. It contains no secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, get_args

import pyarrow as pa

from nomad_dask.common import stored_fields as stored
from nomad_dask.dataset.history import Run, optional_time_field
from nomad_dask.errors import DatasetError, UserError
from nomad_dask.layouts.layouts import WIDE, AnySchema, Builder, Layout, layout
from nomad_dask.layouts.schema import Schema
from nomad_dask.layouts.units import SI, UnitChoice
from nomad_dask.layouts.wide import OnNew
from nomad_dask.limits import BatchSize
from nomad_dask.request import QuerySpec, Source, required_of
from nomad_dask.request.required import Link
from nomad_dask.request.segments import Plan
from nomad_dask.text import shown


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A query and the tables that its entries become.

    `Manifest` adds what is stored of a dataset, `segment.Job` what is needed to read segments, and
    `frame.partition.PartitionReader` the options of a lazy dataframe.
    """

    question: QuerySpec
    schema: AnySchema
    layout: Layout = WIDE
    batch: BatchSize = BatchSize()
    """The initial batch size."""
    on_new: OnNew = "more"
    units: UnitChoice = SI
    """The units of the tables. The schema has those of the server."""

    def builder(self) -> Builder:
        """Return a builder of the tables, in the units of the server."""
        return self.layout.builder(self.schema, self.question.required, self.on_new)

    def arrow(self) -> dict[str, pa.Schema]:
        """Return the Arrow schemas of the tables, by the layout's keys."""
        found, names = self.layout.arrow(self.schema), self._full_names()
        return {key: self.units.schema(arrow, names[key]) for key, arrow in found.items()}

    def finished(self, built: Any) -> dict[str, pa.Table]:
        """Return the tables of a finished builder in the chosen units, by the layout's keys."""
        found, names = self.layout.tables(built), self._full_names()
        return {key: self.units.convert(table, names[key]) for key, table in found.items()}

    def _full_names(self) -> dict[str, dict[str, str]]:
        if self.units == SI:
            return {key: {} for key in self.layout.arrow(self.schema)}
        return self.layout.full_names(self.schema)

    def empty(self) -> dict[str, pa.Table]:
        """Return the tables without rows, by the layout's keys."""
        return {key: arrow.empty_table() for key, arrow in self.arrow().items()}

    def folders(self) -> dict[str, str]:
        """Return the folder of each table in a dataset, below `data/`, by the layout's keys."""
        return self.layout.folders(self.schema)

    def table_fields(self) -> dict[str, Any]:
        """Return the fields of `TableSpec` by name, for another value that extends it."""
        return {name: getattr(self, name) for name in TableSpec.__dataclass_fields__}


def identity(
    url: str,
    question: QuerySpec,
    chosen: Layout,
    after: str,
    results_max: int | None,
    logged_in: bool,
    units: UnitChoice = SI,
) -> dict[str, Any]:
    """Return everything that decides which rows and columns a harvest delivers, as JSON.

    Two harvests are the same if their identities are equal.
    """
    return {
        "url": url,
        "logged_in": logged_in,
        "owner": question.owner,
        "query": question.query,
        "source": question.source,
        "required": question.required.written,
        "resolve_references": question.resolve_references,
        "layout": chosen.name,
        "after": after,
        "results_max": results_max,
        "units": dict(units.chosen),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(TableSpec):
    """Contents and plan of a dataset. Written before any data; updates change only its history."""

    id: str
    url: str
    after: str = ""
    results_max: int | None = None
    logged_in: bool = False
    """True if the query was made with a login, as anonymous users see fewer entries. No name is stored."""
    plan: Plan
    versions: tuple[tuple[str, str], ...] = ()
    created: str = ""
    """Time of planning, by the server's clock."""
    history: tuple[Run, ...] = ()
    """The updates, in order."""

    @property
    def last_run(self) -> Run | None:
        """The last update, finished or not."""
        return self.history[-1] if self.history else None

    def identity(self) -> dict[str, Any]:
        """See `identity`."""
        return identity(
            *(self.url, self.question, self.layout, self.after, self.results_max, self.logged_in, self.units)
        )

    def query_arguments(self) -> dict[str, Any]:
        """Return the arguments of an `ArchiveQuery` that makes the same query."""
        names = {"url", "owner", "query", "source", "required", "after", "results_max"}
        return {name: value for name, value in self.identity().items() if name in names}

    def must_match(self, other: dict[str, Any], path: str) -> None:
        """Raise DatasetError, naming the differences, unless `other` is the identity of this manifest."""
        mine = self.identity()
        if different := [name for name in mine if mine[name] != other[name]]:
            differences = "; ".join(
                f"{name} is {shown(mine[name])} there and {shown(other[name])} here" for name in different
            )
            raise DatasetError(
                f"{path} is the dataset of another query: {differences}; "
                "choose another folder, or use the same query"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON, for `Manifest.from_json`."""
        required = self.question.required
        return {
            "id": self.id,
            **self.identity(),
            "sent": required.sent,
            "links": [[link.path, link.is_open] for link in required.links or ()],
            "on_new": self.on_new,
            "batch": {"size": self.batch.size, "fixed": self.batch.fixed, "ceiling": self.batch.ceiling},
            "created": self.created,
            "versions": dict(self.versions),
            "history": [run.to_json() for run in self.history],
            "schema": self.layout.schema_to_json(self.schema),
            "plan": self.plan.to_json(),
        }

    @classmethod
    def from_json(cls, tree: Any) -> Manifest:
        """Return a manifest from the JSON of `to_json`. UserError, naming the field, if it is invalid."""
        of = stored.fields(tree)
        required = required_of(of.get("source", stored.one_of(get_args(Source))), of.get("required", _any))
        sent = of.get("sent", stored.optional(stored.items(stored.text)), default=None)
        required = replace(
            required,
            sent=required.sent if sent is None else sent,
            # Older datasets have no links, and continue without them.
            links=of.get("links", stored.items(_link), default=tuple[Link, ...]()),
        )
        chosen = layout(of.get("layout", stored.text))
        schema = chosen.schema_from_json(of.get("schema", stored.json_object))
        results_max = of.get("results_max", stored.optional(stored.whole))
        if not isinstance(schema, Schema) and schema.paths != required.paths:
            raise stored.FieldError("schema and required have different paths")
        return cls(
            question=QuerySpec(
                of.get("owner", stored.text),
                of.get("query", stored.json_object),
                required,
                of.get("resolve_references", stored.flag),
            ),
            schema=schema,
            layout=chosen,
            batch=of.get("batch", _batch),
            on_new=of.get("on_new", stored.one_of(get_args(OnNew))),
            # Older datasets have the units of the server.
            units=of.get("units", _units, default=SI),
            id=of.get("id", stored.some_text),
            url=of.get("url", _url),
            after=of.get("after", stored.text),
            results_max=results_max,
            logged_in=of.get("logged_in", stored.flag),
            # The plans of older datasets have no maximum.
            plan=replace(Plan.from_json(of.get("plan", stored.json_object)), results_max=results_max),
            versions=tuple(of.get("versions", stored.mapping(stored.text)).items()),
            created=of.get("created", optional_time_field),
            history=of.get("history", stored.items(Run.from_json), default=()),
        )


def _link(value: Any, name: str) -> Link:
    is_valid = type(value) is list and [type(item) for item in value] == [str, bool] and value[0]
    return Link(*value) if is_valid else stored.refuse(value, name, "a path and true or false")


def _any(value: Any, name: str) -> Any:
    return value


def _units(value: Any, name: str) -> UnitChoice:
    try:
        return UnitChoice.of(stored.mapping(stored.text)(value, name))
    except UserError:
        return stored.refuse(value, name, "units by dimension or path")


def _url(value: Any, name: str) -> str:
    is_valid = type(value) is str and re.fullmatch(r"https?://[^/\s]+(/\S*)?", value)
    return str(value) if is_valid else stored.refuse(value, name, "the URL of a server")


def _batch(value: Any, name: str) -> BatchSize:
    of = stored.fields(value, name)
    size, ceiling = of.get("size", stored.positive), of.get("ceiling", stored.positive)
    return BatchSize(size, of.get("fixed", stored.flag), ceiling)
