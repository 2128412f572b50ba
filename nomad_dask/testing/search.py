"""Parser for NOMAD's query language, and matching of entries."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nomad_dask.testing import formulas, optimade
from nomad_dask.testing.corpus import values_at
from nomad_dask.testing.kinds import Test, exactly
from nomad_dask.testing.quantities import ANY, NESTED, Quantities, field_of
from nomad_dask.testing.refused import Refused, invalid, search_failed, unknown_quantity

Values = Callable[[str], list[Any]]
"""A function from a dotted name to the values of an entry."""

SET_OPS = ("any", "all", "none")
RANGE_OPS = ("lte", "lt", "gte", "gt")
MAX_TERMS = 65_536


class Query(ABC):
    """A node of a normalised query."""

    @abstractmethod
    def matches(self, values: Values) -> bool:
        """True if an entry with these values matches."""

    @abstractmethod
    def echo(self, plain: bool) -> Any:
        """Return the query as repeated in the answer.

        `entries/archive/query` (`plain`) names every operator `op`.
        """


@dataclass(frozen=True, slots=True)
class Junction(Query):
    """`and` or `or`."""

    op: str
    parts: tuple[Query, ...]

    def matches(self, values: Values) -> bool:
        """See `Query`. An empty `or` matches nothing."""
        each = (part.matches(values) for part in self.parts)
        return all(each) if self.op == "and" else any(each)

    def echo(self, plain: bool) -> Any:
        """Return `{"and": [...]}`."""
        return {"op" if plain else self.op: [part.echo(plain) for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Not(Query):
    """`not`."""

    part: Query

    def matches(self, values: Values) -> bool:
        """See `Query`."""
        return not self.part.matches(values)

    def echo(self, plain: bool) -> Any:
        """Return `{"not": {...}}`."""
        return {"op" if plain else "not": self.part.echo(plain)}


@dataclass(frozen=True, slots=True)
class NestedQuery(Query):
    """A query on a repeating section, of which a single occurrence must match all conditions."""

    prefix: str
    path: str
    """The name of the section, relative to the enclosing nested section."""
    part: Query

    def matches(self, values: Values) -> bool:
        """See `Query`."""
        return any(self.part.matches(partial(values_at, section)) for section in values(self.path))

    def echo(self, plain: bool) -> Any:
        """Return `{"prefix": ..., "query": ...}`."""
        return {"prefix": self.prefix, "query": self.part.echo(plain)}


@dataclass(frozen=True, slots=True)
class Equals(Query):
    """A single value that one of the quantity's values must equal."""

    name: str
    field: str
    """The path of the quantity's values."""
    value: Any
    test: Test

    def matches(self, values: Values) -> bool:
        """See `Query`."""
        return any(map(self.test.holds, values(self.field)))

    def echo(self, plain: bool) -> Any:
        """Return `{"name": ..., "value": ...}`."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class Terms(Query):
    """`any`, `all` or `none` of a list of values."""

    name: str
    field: str
    op: str
    terms: tuple[Any, ...]
    tests: tuple[Test, ...]
    lookup: frozenset[Any]
    """The converted values of the query."""
    kind: str

    def matches(self, values: Values) -> bool:
        """See `Query`. An empty `any` matches nothing, an empty `all` or `none` everything."""
        found = values(self.field)
        if self.op == "all":
            return all(any(map(test.holds, found)) for test in self.tests)
        read = exactly(self.kind)
        if read is not None:
            hit = any(read(value) in self.lookup for value in found if not isinstance(value, dict))
        else:
            hit = any(test.holds(value) for test in self.tests for value in found)
        return hit if self.op == "any" else not hit

    def echo(self, plain: bool) -> Any:
        """Return `{"name": ..., "value": {"any": [...]}}`."""
        return {"name": self.name, "value": {"op" if plain else self.op: list(self.terms)}}


@dataclass(frozen=True, slots=True)
class Range(Query):
    """Bounds that a single value must satisfy."""

    name: str
    field: str
    bounds: tuple[tuple[str, Any], ...]
    tests: tuple[Test, ...]

    def matches(self, values: Values) -> bool:
        """See `Query`. Strings are compared by bytes."""
        return any(all(test.holds(value) for test in self.tests) for value in values(self.field))

    def echo(self, plain: bool) -> Any:
        """Return `{"name": ..., "value": {"gt": ...}}`."""
        return {"name": self.name, "value": dict(self.bounds)}


@dataclass(frozen=True, slots=True)
class Filter(Query):
    """`optimade_filter`: an OPTIMADE filter."""

    value: str
    part: Query

    def matches(self, values: Values) -> bool:
        """See `Query`."""
        return self.part.matches(values)

    def echo(self, plain: bool) -> Any:
        """Return `{"name": "optimade_filter", "value": ...}`."""
        return {"name": optimade.NAME, "value": self.value}


@dataclass(frozen=True, slots=True)
class Known(Query):
    """A test whether a quantity has any value. Only part of OPTIMADE filters."""

    field: str

    def matches(self, values: Values) -> bool:
        """See `Query`."""
        return bool(values(self.field))

    def echo(self, plain: bool) -> Any:
        """Never called: filters are repeated as text."""
        raise NotImplementedError


EVERYTHING = Junction("and", ())


@dataclass(frozen=True, slots=True)
class Grammar:
    """The parser of queries for one archive."""

    quantities: Quantities
    any_of_nothing: bool = False
    """True if `any` of an empty list matches everything, as in older servers."""

    def parse(self, query: Any, prefix: str = "") -> Query:
        """Return the normalised query.

        Raises `Refused` 422 if NOMAD does. `prefix` is the enclosing nested section.
        """
        if query is None:
            return EVERYTHING
        if not isinstance(query, dict):
            raise invalid("dict_type", ["body", "query"], "Input should be a valid dictionary", query)
        if len(query) == 1:
            [(key, value)] = query.items()
            if key in ("and", "or") and isinstance(value, list):
                return Junction(key, tuple(self.parse(part, prefix) for part in value))
            if key == "not" and isinstance(value, dict):
                return Not(self.parse(value, prefix))
        if query.keys() == {"name", "value"}:
            query = {query["name"]: query["value"]}
        if query.keys() == {"prefix", "query"}:
            section = str(query["prefix"])
            part = self.parse(query["query"], section)
            return NestedQuery(section, _below(section, prefix), part)
        parts = self._criteria(query, "", query, prefix)
        return parts[0] if len(parts) == 1 else Junction("and", parts)

    def _criteria(self, query: dict[str, Any], above: str, shown: Any, prefix: str) -> tuple[Query, ...]:
        names = [_name_and_operator(key)[0] for key in query]
        if len(set(names)) < len(names):
            message = "A quantity can only appear once in a query"
            raise invalid("duplicate_quantity", ["body", "query"], message, shown)
        return tuple(self._criterion(above + key, value, shown, prefix) for key, value in query.items())

    def _criterion(self, key: str, value: Any, shown: Any, prefix: str) -> Query:
        """Parse a condition on a quantity, or conditions on a section.

        `key` is relative to the section `prefix`.
        """
        name, op = _name_and_operator(key)
        full = f"{prefix}.{name}".removesuffix(".") if prefix else name
        # a nested section in the middle of the name starts a nested query
        for section in sorted(NESTED, key=len):
            deeper = section != prefix and (not prefix or section.startswith(f"{prefix}."))
            if deeper and (full == section or full.startswith(f"{section}.")):
                rest = _below(full + key[len(name) :], section)
                return NestedQuery(
                    section, _below(section, prefix), self._criterion(rest, value, shown, section)
                )
        operators = isinstance(value, dict) and value and value.keys() <= {*SET_OPS, *RANGE_OPS}
        if not op and isinstance(value, dict) and not operators:
            return Junction("and", self._criteria(value, f"{name}." if name else "", shown, prefix))
        if full == optimade.NAME and not op and not isinstance(value, list | dict):
            return Filter(str(value), self._filter(optimade.parse(str(value))))
        kind = self.quantities.kind(full)
        if kind is None:
            raise unknown_quantity(full, [full])
        return self._condition(name, full, kind, {op: value} if op else value)

    def _filter(self, node: optimade.Node) -> Query:
        if isinstance(node, optimade.Group):
            parts = tuple(map(self._filter, node.parts))
            return Not(parts[0]) if node.op == "not" else Junction(node.op, parts)
        field = field_of(node.name)
        if node.op == "known":
            return Known(field)
        test = Test.of(self.quantities.kind(node.name) or ANY, node.op, node.value)
        return Equals(node.name, field, node.value, test)

    def _condition(self, name: str, full: str, kind: str, value: Any) -> Query:
        """Parse a condition on one quantity: a value, a list (all of it), or a dict of operators."""
        # the field is relative to the nested section, like the name
        field = field_of(full)[len(full) - len(name) :]
        if isinstance(value, list):
            value = {"all": value}
        if not isinstance(value, dict):
            return Equals(name, field, value, Test.of(kind, "is", _normal(full, value)))
        for op in SET_OPS:
            if op in value:
                return self._terms(name, field, full, kind, op, value[op])
        bounds = tuple((op, value[op]) for op in RANGE_OPS if op in value)
        for _, bound in bounds:
            if isinstance(bound, list | dict):
                raise invalid("string_type", ["body", "query"], "Input should be a valid string", bound)
        return Range(name, field, bounds, tuple(Test.of(kind, op, bound) for op, bound in bounds))

    def _terms(self, name: str, field: str, full: str, kind: str, op: str, terms: Any) -> Query:
        if not isinstance(terms, list):
            raise invalid("list_type", ["body", "query"], "Input should be a valid list", terms)
        if any(isinstance(term, (dict, list)) for term in terms):
            raise Refused(
                422, [{"msg": f"values of {name} must be text, numbers or booleans", "loc": [[name]]}]
            )
        if len(terms) > MAX_TERMS:
            limit = f"has exceeded the allowed maximum of [{MAX_TERMS}]"
            raise search_failed(f"The number of terms [{len(terms)}] used in the Terms Query request {limit}")
        if op == "any" and not terms and self.any_of_nothing:
            return EVERYTHING
        tests = tuple(Test.of(kind, "is", _normal(full, term)) for term in terms)
        return Terms(name, field, op, tuple(terms), tests, frozenset(test.wanted for test in tests), kind)


def _name_and_operator(key: str) -> tuple[str, str]:
    """Split a key into quantity and operator. A colon without an operator is part of the name."""
    name, _, op = key.rpartition(":")
    return (name, op) if name and op in (*SET_OPS, *RANGE_OPS) else (key, "")


def _below(name: str, section: str) -> str:
    """Return a name relative to a section."""
    return name[len(section) + 1 :] if section and name.startswith(section) else name


def _normal(full: str, value: Any) -> Any:
    """Return a formula in the order of the index; other values unchanged."""
    order = _ORDERS.get(full.rpartition(".")[2]) if full.startswith("results.material.") else None
    return order(value) if order is not None and isinstance(value, str) else value


_ORDERS = {"chemical_formula_hill": formulas.hill, "chemical_formula_iupac": formulas.iupac}


@dataclass(frozen=True, slots=True)
class Split:
    """A query split into conditions on `entry_id` and the rest."""

    bounds: tuple[tuple[str, str], ...] = ()
    """Bounds like `("gt", id)`, and-ed."""
    ids: frozenset[str] | None = None
    """The ids to choose from; None for all."""
    rest: Query = EVERYTHING
    """The conditions to check for each entry."""


def split(query: Query) -> Split:
    """Split off the conditions on `entry_id` at the top of a query, or in an `and` at the top."""
    parts: Sequence[Query] = (query,)
    while any(isinstance(part, Junction) and part.op == "and" for part in parts):
        parts = [
            x
            for part in parts
            for x in (part.parts if isinstance(part, Junction) and part.op == "and" else (part,))
        ]
    bounds: list[tuple[str, str]] = []
    ids: frozenset[str] | None = None
    rest: list[Query] = []
    for part in parts:
        match part:
            case Range("entry_id", _, _, tests):
                bounds += [(test.op, test.wanted) for test in tests]
            case Terms("entry_id", _, "any", _, _, some):
                ids = some if ids is None else ids & some
            case Equals("entry_id", _, _, test):
                ids = frozenset({test.wanted}) if ids is None else ids & {test.wanted}
            case _:
                rest.append(part)
    return Split(tuple(bounds), ids, Junction("and", tuple(rest)))
