"""A corpus of real archives: a folder of JSON files, and what is known of them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import orjson

from nomad_dask.testing.corpus import Corpus, Entry, Json

KEPT_ARCHIVES = 256


class Recorded(Corpus):
    """The archives of a folder: one public entry a file, or a whole installation.

    A file is `{"entry_id", "upload_id", "parser_name", "archive"}`, or an archive whose `metadata` tells the
    first three. Documents to search are made of `metadata` and `results`.

    A folder that holds a folder `archives` is an installation as it was recorded. In it, where there:

    - `documents.jsonl`: search documents. One without an archive file is an entry without archive.
    - `entries.jsonl`: who may see each entry; without it all are public.
    - `schema.json`, `info.json`: what the server answers for its schema and versions.

    Opening reads the archives that have no document; the others are read when they are asked for.
    """

    def __init__(self, folder: str | Path) -> None:
        whole = Path(folder) / "archives"
        self._folder = whole if whole.is_dir() else Path(folder)
        if not self._folder.is_dir():
            raise FileNotFoundError(f"no folder of archives at {self._folder}")
        self._installation = Path(folder) if whole.is_dir() else None
        documents = {row["entry_id"]: row for row in self._lines("documents.jsonl")}
        files = {path.stem: path for path in self._folder.glob("*.json")}
        for stem in files.keys() - documents.keys():
            document = _document_of(_load(files[stem]))
            documents.setdefault(document["entry_id"], document)
            files[document["entry_id"]] = files[stem]
        if not documents:
            raise FileNotFoundError(f"no archive in {self._folder}: it holds no *.json file")
        known = {row["entry_id"]: row for row in self._lines("entries.jsonl")}
        ids = sorted(documents)
        self._documents = [documents[entry_id] for entry_id in ids]
        self._files = [files.get(entry_id) for entry_id in ids]
        self._entries = [
            _entry(documents[entry_id], known.get(entry_id, {}), entry_id in files) for entry_id in ids
        ]
        self.archive = lru_cache(KEPT_ARCHIVES)(self.archive)  # type: ignore[method-assign]

    @property
    def entries(self) -> Sequence[Entry]:
        """In id order."""
        return self._entries

    def document(self, i: int) -> Json:
        """As recorded, or made of the archive."""
        return self._documents[i]

    def archive(self, i: int) -> Json:
        """Read from its file, and kept for a while."""
        path = self._files[i]
        if path is None:
            raise LookupError(f"{self._entries[i].entry_id} has no archive")
        archive: Json = _load(path)["archive"]
        return archive

    @cached_property
    def quantities(self) -> frozenset[str]:
        """Every name in a document, and what the schema has under `metadata` and `results`."""
        names = {name for document in self._documents for name in _names(document)}
        if self.schema_json is not None:
            schema = orjson.loads(self.schema_json)
            names.update(_schema_names(schema, schema["properties"].get("metadata"), ""))
            names.update(_schema_names(schema, schema["properties"].get("results"), "results."))
        return frozenset(names)

    @cached_property
    def schema_json(self) -> bytes | None:
        """`schema.json` of the installation."""
        path = self._aside("schema.json")
        return path.read_bytes() if path else None

    @cached_property
    def info(self) -> Json:
        """`info.json` of the installation."""
        path = self._aside("info.json")
        return orjson.loads(path.read_bytes()) if path else super().info

    def _aside(self, name: str) -> Path | None:
        path = self._installation / name if self._installation else None
        return path if path and path.exists() else None

    def _lines(self, name: str) -> Iterator[Json]:
        path = self._aside(name)
        if path:
            yield from (orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip())


def _load(path: Path) -> Json:
    data = path.read_bytes()
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            tree = json.loads(data)  # It also reads NaN, which archives that Python wrote may hold.
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
    if "archive" in tree and "entry_id" in tree:
        return tree
    metadata = tree.get("metadata", {})
    about = {key: metadata.get(key, "") for key in ("upload_id", "parser_name")}
    return {"entry_id": metadata.get("entry_id", path.stem), **about, "archive": tree}


def _document_of(row: Json) -> Json:
    """A search document from an archive: its metadata, its results, and the few names that searches add."""
    archive = row["archive"]
    document = {**archive.get("metadata", {}), "results": {**archive.get("results", {})}}
    document |= {key: row[key] for key in ("entry_id", "upload_id", "parser_name")}
    author = document.get("main_author")
    if isinstance(author, str):
        document["main_author"] = {"user_id": author}
    material = document["results"].get("material")
    if material and "elements" in material:
        document["results"]["material"] = {**material, "n_elements": len(material["elements"])}
    return document


def _entry(document: Json, known: Json, has_archive: bool) -> Entry:
    about = {key: known[key] for key in ("state", "main_author") if key in known}
    return Entry(
        document["entry_id"],
        document["upload_id"],
        document.get("parser_name", ""),
        coauthors=tuple(known.get("coauthors", ())),
        has_archive=has_archive,
        **about,
    )


def _names(tree: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield prefix + key
            yield from _names(child, f"{prefix}{key}.")
    elif isinstance(tree, list):
        for child in tree:
            yield from _names(child, prefix)


def _schema_names(schema: Json, node: Any, prefix: str, above: tuple[str, ...] = ()) -> Iterable[str]:
    """The dotted names of a section of the JSON schema; a section within itself is not entered again."""
    if not isinstance(node, dict):
        return
    node = node.get("items", node)
    if "$ref" not in node:
        return
    section = node["$ref"].rsplit("/", 1)[-1].partition("@")[0]
    if section in above:
        return
    definition = schema["$defs"].get(section, {})
    for name, child in definition.get("properties", {}).items():
        yield prefix + name
        yield from _schema_names(schema, child, f"{prefix}{name}.", (*above, section))
