"""NOMAD's query language: JSON becomes a tree that matches entries and is echoed as the server does."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nomad_dask.testing.corpus import values_at
from nomad_dask.testing.refused import Refused, invalid, search_failed, unknown_quantity

Values = Callable[[str], list[Any]]
"""What an entry has under a dotted name."""

SET_OPS = ("any", "all", "none")
RANGE_OPS = ("lte", "lt", "gte", "gt")
MAX_TERMS = 65_536


class Query(ABC):
    """A node of a normalised query."""

    @abstractmethod
    def matches(self, values: Values) -> bool:
        """Whether an entry with these values is a hit."""

    @abstractmethod
    def echo(self, plain: bool) -> Any:
        """How the answer repeats it. `entries/archive/query` (`plain`) calls every operator `op`."""


@dataclass(frozen=True, slots=True)
class Junction(Query):
    """`and`, `or`."""

    op: str
    parts: tuple[Query, ...]

    def matches(self, values: Values) -> bool:
        """All or any of the parts; an empty `or` matches nothing."""
        each = (part.matches(values) for part in self.parts)
        return all(each) if self.op == "and" else any(each)

    def echo(self, plain: bool) -> Any:
        """`{"and": [...]}`."""
        return {"op" if plain else self.op: [part.echo(plain) for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Not(Query):
    """`not`."""

    part: Query

    def matches(self, values: Values) -> bool:
        """The part does not."""
        return not self.part.matches(values)

    def echo(self, plain: bool) -> Any:
        """`{"not": {...}}`."""
        return {"op" if plain else "not": self.part.echo(plain)}


@dataclass(frozen=True, slots=True)
class Nested(Query):
    """A query on one repeating section: one and the same occurrence must match it all."""

    prefix: str
    part: Query

    def matches(self, values: Values) -> bool:
        """Any occurrence of the section does."""
        return any(self.part.matches(partial(values_at, section)) for section in values(self.prefix))

    def echo(self, plain: bool) -> Any:
        """`{"prefix": ..., "query": ...}`."""
        return {"prefix": self.prefix, "query": self.part.echo(plain)}


@dataclass(frozen=True, slots=True)
class Equals(Query):
    """A bare value: one of the quantity's values is it."""

    name: str
    value: Any

    def matches(self, values: Values) -> bool:
        """Case and type are as in the document."""
        return self.value in values(self.name)

    def echo(self, plain: bool) -> Any:
        """`{"name": ..., "value": ...}`."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class Terms(Query):
    """`any`, `all`, `none` of a list of values."""

    name: str
    op: str
    terms: tuple[Any, ...]
    lookup: frozenset[Any]

    def matches(self, values: Values) -> bool:
        """An empty `any` matches nothing, an empty `all` or `none` everything."""
        found = values(self.name)
        if self.op == "all":
            return all(term in found for term in self.terms)
        hit = any(value in self.lookup for value in found if not isinstance(value, dict))
        return hit if self.op == "any" else not hit

    def echo(self, plain: bool) -> Any:
        """`{"name": ..., "value": {"any": [...]}}`."""
        return {"name": self.name, "value": {"op" if plain else self.op: list(self.terms)}}


@dataclass(frozen=True, slots=True)
class Range(Query):
    """Bounds, all of which one value must keep."""

    name: str
    bounds: tuple[tuple[str, Any], ...]

    def matches(self, values: Values) -> bool:
        """Text is compared by bytes, numbers by size; the one is never within bounds of the other."""
        return any(all(_within(value, *bound) for bound in self.bounds) for value in values(self.name))

    def echo(self, plain: bool) -> Any:
        """`{"name": ..., "value": {"gt": ...}}`."""
        return {"name": self.name, "value": dict(self.bounds)}


EVERYTHING = Junction("and", ())


def _within(value: Any, op: str, bound: Any) -> bool:
    if isinstance(value, str) != isinstance(bound, str) or isinstance(value, dict):
        return False
    match op:
        case "gt":
            return bool(value > bound)
        case "gte":
            return bool(value >= bound)
        case "lt":
            return bool(value < bound)
        case _:
            return bool(value <= bound)


@dataclass(frozen=True, slots=True)
class Grammar:
    """Reads queries over the quantities of one archive."""

    quantities: frozenset[str]
    nested: frozenset[str] = frozenset({"results.material.topology"})
    """Sections whose occurrences are searched one by one."""
    any_of_nothing: bool = False
    """Whether `any` of an empty list matches everything, as the older servers do."""

    def parse(self, query: Any) -> Query:
        """The normalised query. Raises `Refused` 422 for what NOMAD refuses."""
        if query is None:
            return EVERYTHING
        if not isinstance(query, dict):
            raise invalid("dict_type", ["body", "query"], "Input should be a valid dictionary", query)
        if len(query) == 1:
            [(key, value)] = query.items()
            if key in ("and", "or") and isinstance(value, list):
                return Junction(key, tuple(self.parse(part) for part in value))
            if key == "not" and isinstance(value, dict):
                return Not(self.parse(value))
        if query.keys() == {"name", "value"}:
            query = {query["name"]: query["value"]}
        if query.keys() == {"prefix", "query"}:
            query = {query["prefix"]: query["query"]}
        parts = self._criteria(query, "", query)
        return parts[0] if len(parts) == 1 else Junction("and", parts)

    def _criteria(
        self, query: dict[str, Any], prefix: str, known_as: Any, section: str = ""
    ) -> tuple[Query, ...]:
        names = [key.partition(":")[0] for key in query]
        if len(set(names)) < len(names):
            message = "A quantity can only appear once in a query"
            raise invalid("duplicate_quantity", ["body", "query"], message, known_as)
        return tuple(self._criterion(prefix + key, value, known_as, section) for key, value in query.items())

    def _criterion(self, key: str, value: Any, known_as: Any, section: str) -> Query:
        name, _, op = key.partition(":")
        full = section + name
        operators = isinstance(value, dict) and value and value.keys() <= {*SET_OPS, *RANGE_OPS}
        if not op and isinstance(value, dict) and not operators:
            if full in self.nested:
                return Nested(name, Junction("and", self._criteria(value, "", known_as, f"{full}.")))
            return Junction("and", self._criteria(value, f"{name}.", known_as, section))
        if full not in self.quantities or (op and op not in SET_OPS + RANGE_OPS):
            raise unknown_quantity(key, [section + key])
        if op:
            value = {op: value}
        if isinstance(value, list):
            value = {"all": value}
        return self._condition(name, value)

    def _condition(self, name: str, value: Any) -> Query:
        if not isinstance(value, dict):
            return Equals(name, value)
        for op in SET_OPS:
            if op in value:
                return self._terms(name, op, value[op])
        return Range(name, tuple((op, value[op]) for op in RANGE_OPS if op in value))

    def _terms(self, name: str, op: str, terms: Any) -> Query:
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
        return Terms(name, op, tuple(terms), frozenset(terms))


@dataclass(frozen=True, slots=True)
class Split:
    """A query taken apart: what the order of ids answers, and what must be looked up entry by entry."""

    bounds: tuple[tuple[str, str], ...] = ()
    """`("gt", id)` and the like, all of which hold."""
    ids: frozenset[str] | None = None
    """Only these, or no such limit."""
    rest: Query = EVERYTHING


def split(query: Query) -> Split:
    """Takes conditions on `entry_id` that stand at the top, or in an `and` there, out of a query."""
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
            case Range("entry_id", limits) if all(isinstance(limit, str) for _, limit in limits):
                bounds += limits
            case Terms("entry_id", "any", _, some):
                ids = some if ids is None else ids & some
            case Equals("entry_id", value) if isinstance(value, str):
                ids = frozenset({value}) if ids is None else ids & {value}
            case _:
                rest.append(part)
    return Split(tuple(bounds), ids, Junction("and", tuple(rest)))
