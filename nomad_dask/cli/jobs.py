"""Owns what a command is told in JSON and TOML: trees as text or files, and job files with options as keys."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ..pure.errors import UserError
from ..pure.near import hint, near


def tree_of(given: Any, name: str) -> Any:
    """The tree that JSON text, or `@file.json`, holds; what is a tree already stays. `name` is for the message."""
    if not isinstance(given, str) or given in ("*", "include", "include-resolved"):
        return given
    text = _file_text(Path(given[1:]), name) if given.startswith("@") else given
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f" in {given[1:]}" if given.startswith("@") else ""
        raise UserError(
            f"{name}: malformed JSON{where}: {error.msg} at line {error.lineno} column {error.colno}; "
            f"{_advice(text, name, from_file=given.startswith('@'))}"
        ) from error


def _advice(text: str, name: str, *, from_file: bool) -> str:
    """What to do about JSON that is none, as far as it shows how that came."""
    example = _EXAMPLES.get(name, """'{"results": "*"}'""")
    if not from_file and (text.endswith((".json", ".toml")) or Path(text).is_file()):
        return f"to read a file, put an @ before its name: {name} @{text}"
    if "'" in text and '"' not in text:
        return f"JSON has its texts in double quotes, and in a shell single ones around it all: {example}"
    if '"' not in text and "{" in text:
        return f"did the shell take the quotes away? Put single ones around it all: {example}"
    return f"expected something like {example}, or @file.json"


_EXAMPLES = {
    "--query": """'{"results.material.n_elements": 2}'""",
    "--required": """'{"results": "*"}', or of documents a list: '["entry_name"]'""",
}


def _file_text(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{name}: cannot read {path}: {words}; is the path right?") from error


def options_of(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a job file; query and required may be tables there."""
    if path.suffix not in (".toml", ".json"):
        raise UserError(
            f"{path}: a job file ends in .toml or .json; the folder of the dataset is given with --out"
        )
    text = _file_text(path, "job file")
    if path.suffix == ".toml":
        try:
            options = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{path}: malformed TOML: {error}") from error
    else:
        options = tree_of(text, str(path))
    if not isinstance(options, dict):
        raise UserError(f"{path}: a job file is a table of options, not {type(options).__name__}")
    options = {key.replace("-", "_"): value for key, value in options.items()}
    for key, value in options.items():
        if key not in known:
            said = hint(near(key, known), f"there are {', '.join(sorted(known))}")
            raise UserError(f"{path}: unknown option {key!r}{said}")
        kind, words = next((k, w) for names, k, w in _KINDS if names is None or key in names)
        if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
            raise UserError(f"{path}: {key} must be {words}, not {value!r}")
    return options


_KINDS: tuple[tuple[frozenset[str] | None, Any, str], ...] = (
    (
        frozenset(
            {
                "results_max",
                "partition_size",
                "npartitions",
                "workers",
                "max_concurrency",
                "batch_size",
                "retry",
            }
        ),
        (int,),
        "a whole number",
    ),
    (frozenset({"max_requests_per_second", "sleep_time", "timeout"}), (int, float), "a number"),
    (frozenset({"retry_failures"}), (bool,), "true or false"),
    (frozenset({"query", "required"}), (str, dict, list), "a table, or JSON text"),
    (None, (str,), "a text"),
)
