"""A corpus of real archives, read from a folder of JSON files."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import orjson

from nomad_dask.testing.corpus import Corpus, Entry, Json

KEPT_ARCHIVES = 256


class Recorded(Corpus):
    """The archives of a folder: one public entry per file, or a recorded installation.

    A file is `{"entry_id", "upload_id", "parser_name", "archive"}`, or an archive whose `metadata` contains
    the first three. Search documents are made from `metadata` and `results`.

    A folder with a subfolder `archives` is a recorded installation, with optional files:

    - `documents.jsonl`: search documents. A document without an archive file is an entry without archive.
    - `entries.jsonl`: the users who may see each entry; without it, all entries are public.
    - `schema.json`, `info.json`: the answers of the server for its schema and versions.

    Opening reads only the archives without a document; the others are read on access.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or has no archives.
    ValueError
        If a file is not JSON.
    """

    def __init__(self, folder: str | Path) -> None:
        whole = Path(folder) / "archives"
        self._folder = whole if whole.is_dir() else Path(folder)
        if not self._folder.is_dir():
            raise FileNotFoundError(f"{self._folder} is not a folder of archives")
        self._installation = Path(folder) if whole.is_dir() else None
        documents = {row["entry_id"]: row for row in self._lines("documents.jsonl")}
        files = {path.stem: path for path in self._folder.glob("*.json")}
        for stem in files.keys() - documents.keys():
            document = _document_of(_load(files[stem]))
            documents.setdefault(document["entry_id"], document)
            files[document["entry_id"]] = files[stem]
        if not documents:
            raise FileNotFoundError(f"no archives in {self._folder}: it contains no *.json file")
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
        """See `Corpus`."""
        return self._entries

    def document(self, i: int) -> Json:
        """Return the recorded document, or one made from the archive."""
        return self._documents[i]

    def archive(self, i: int) -> Json:
        """Read the archive from its file. The last ones are cached."""
        path = self._files[i]
        if path is None:
            raise LookupError(f"{self._entries[i].entry_id} has no archive")
        archive: Json = _load(path)["archive"]
        return archive

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
            tree = json.loads(data)  # also reads NaN, which archives written by Python may contain
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
    if "archive" in tree and "entry_id" in tree:
        return tree
    metadata = tree.get("metadata", {})
    about = {key: metadata.get(key, "") for key in ("upload_id", "parser_name")}
    return {"entry_id": metadata.get("entry_id", path.stem), **about, "archive": tree}


def _document_of(row: Json) -> Json:
    """Return a search document made from the metadata and results of an archive."""
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
