"""The JSON schema of generated archives, made from the tables in `definitions`."""

import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha1
from typing import Any, NamedTuple

import orjson

from nomad_dask.testing.generated.definitions import SYMBOLS, TABLES

Json = dict[str, Any]

ROOT = "nomad.datamodel.datamodel.EntryArchive"
BASE = "https://nomad.example/api/v1/schemas/"
_TYPES: dict[str, Json] = {
    "any": {},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "float64": {"type": "number"},
    "int32": {"type": "integer"},
    "int64": {"type": "integer"},
}
_SECTION = re.compile(r"(\w+)(?:\(([^)]*)\))?: *(.*)")
_MEMBER = re.compile(r"  (\w+): (.+?): (.+)")
_QUANTITY = re.compile(
    r"(?P<type>\w+)(?:\[(?P<shape>[^]]*)\])?(?: (?P<of>(?!in |= ).+?))?(?: in (?P<unit>.+?))?(?: = (?P<default>.+))?"  # noqa: E501
)


class _Member(NamedTuple):
    name: str
    what: str
    description: str


class _Section(NamedTuple):
    """A section of the tables, with full names."""

    name: str
    bases: tuple[str, ...]
    description: str
    members: tuple[_Member, ...]

    @property
    def hash(self) -> str:
        """The hash of the section, which changes with any part of it."""
        return _hash(repr(self[:]))


@cache
def schema_json() -> bytes:
    """Return the body of `GET schemas/nomad.datamodel.datamodel.EntryArchive`. Cached."""
    sections = {section.name: section for table in TABLES for section in _sections(table)}
    return orjson.dumps(_Writer(sections).schema())


def _sections(table: str) -> Iterator[_Section]:
    for part in re.split(r"^\[", table, flags=re.MULTILINE)[1:]:
        module, _, text = part.partition("]\n")
        for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
            head, *lines = block.rstrip().splitlines()
            name, bases, description = _whole(_SECTION, head).groups()
            members = (_Member(*_whole(_MEMBER, line).groups()) for line in lines)
            yield _Section(
                f"{module}.{name}",
                tuple(_full(base, module) for base in (bases or "").split(", ") if base),
                description,
                tuple(members),
            )


def _whole(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(f"no definition: {text!r}")
    return found


def _full(name: str, module: str) -> str:
    return name if "." in name else f"{module}.{name}"


class _Writer:
    """Writes sections as JSON Schema with NOMAD's extensions."""

    def __init__(self, sections: dict[str, _Section]) -> None:
        self._sections = sections
        self._hashes = {name: section.hash for name, section in sections.items()}
        # Clients identify the schema by the hash of the root, which is that of all sections.
        self._hashes[ROOT] = _hash("".join(self._hashes.values()))

    def schema(self) -> Json:
        """Return the root with all other sections in it."""
        defs = {name: self._section(part) for name, part in self._sections.items() if name != ROOT}
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        return head | self._section(self._sections[ROOT]) | {"$defs": defs}

    def _section(self, section: _Section) -> Json:
        written: Json = {
            "title": section.name.rpartition(".")[2],
            "description": section.description,
            "type": "object",
            "$id": _address(section.name, self._hashes[section.name]),
        }
        if section.bases:
            written["allOf"] = [self._ref(base) for base in section.bases]
        if section.members:
            written["properties"] = {part.name: self._member(section, part) for part in section.members}
        return written

    def _member(self, holder: _Section, member: _Member) -> Json:
        module = holder.name.rpartition(".")[0]
        number, _, names = member.what.partition(" ")
        if number in ("one", "many"):
            written = self._place([_full(name, module) for name in names.split(" or ")])
            written = {"type": "array", "items": written} if number == "many" else written
        else:
            written = self._quantity(_whole(_QUANTITY, member.what), module)
        own_id = _address(f"{holder.name}.{member.name}", _hash(repr(member[:])))
        return written | {"description": member.description, "$id": own_id}

    def _place(self, names: list[str]) -> Json:
        """Return a reference to the declared section, after more specific ones if there are any."""
        refs = [self._ref(name) for name in names]
        return {"anyOf": refs[:0:-1] + refs[:1]} if refs[1:] else refs[0]

    def _quantity(self, quantity: re.Match[str], module: str) -> Json:
        kind, of, unit = quantity["type"], quantity["of"], quantity["unit"]
        value = dict(_TYPES.get(kind, {"type": "string"}))
        written: Json = {"nomad_type": kind}
        if kind == "enum":
            value["enum"] = _words(of)
        elif of:
            target = _full(of, module)
            # Users, authors and datasets are not part of archives, and have no section in the schema.
            hash_ = self._hashes.get(target) or _hash(target)
            written["reference_section_def"] = f"{target}@{hash_}"
        if unit:
            value["unit"] = unit
        if quantity["default"]:
            written["default"] = orjson.loads(quantity["default"])
        for length in reversed((quantity["shape"] or "").split(",")):
            value = {"type": "array", **_lengths(length), "items": value} if length else value
        return written | value

    def _ref(self, name: str) -> Json:
        return {"$ref": _address(name, self._hashes[name])}


def _hash(text: str) -> str:
    return sha1(text.encode()).hexdigest()


def _address(name: str, hash_: str) -> str:
    return f"{BASE}{name}@{hash_}?property_subtypes=true"


def _words(of: str) -> list[str]:
    words = of.split(" | ")
    return sorted([*(SYMBOLS if "@symbols" in words else ()), *(w for w in words if w != "@symbols")])


def _lengths(text: str) -> Json:
    """`3` is that long, `0..` at least, `*` any."""
    if text == "*":
        return {}
    least, dots, _ = text.partition("..")
    return {"minItems": int(least)} | ({} if dots else {"maxItems": int(least)})
