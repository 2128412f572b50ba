"""Options of the command line: those that several commands share, JSON values, and job files."""

from __future__ import annotations

import tomllib
import warnings
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_type_hints

import orjson
import typer

from nomad_dask.common.validate import OWNERS
from nomad_dask.errors import UserError
from nomad_dask.layouts import LAYOUT_NAMES
from nomad_dask.limits import MOST_COLUMNS
from nomad_dask.request.api_body import BODY_KEYS, is_body, read_body
from nomad_dask.text import hint, near

QUERY, PARTITIONS, WORKERS = "Query", "Layout and partitions", "Workers"
LIMITS, OUTPUT = "Limits and retries", "Output"
"""Groups of options in the help."""
SOURCES = ("archives", "documents")
KINDS = ("mixed", "small", "large", "results")
_MAX_METAVAR = 30
"""Maximum length of choices in the metavar column of the help; longer ones are listed in the text."""

Command: TypeAlias = Callable[..., None]


def choice(values: tuple[str, ...], help: str, panel: str) -> Any:
    """An option with a few allowed values, which the shell completes."""

    def check(value: str) -> str:
        if value not in values:
            advice = hint(value, near(value, values, limit=1))
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(values)}{advice}")
        return value

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    metavar = f"[{'|'.join(values)}]"
    if len(metavar) > _MAX_METAVAR:
        help, metavar = f"{help.removesuffix('.')}: {', '.join(values)}.", "NAME"
    completion: dict[str, Any] = {"autocompletion": complete}  # typer has no precise type for it
    return typer.Option(help=help, metavar=metavar, callback=check, rich_help_panel=panel, **completion)


def flag(name: str, help: str, panel: str) -> Any:
    """An option without a value."""
    return typer.Option(name, help=help, metavar="", rich_help_panel=panel)


def option(help: str, panel: str, *names: str, metavar: str | None = None) -> Any:
    """An option with a value."""
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar)


Dataset = Annotated[str, typer.Argument(help="Folder or url of the dataset.", metavar="PATH")]
Json = Annotated[bool, flag("--json", "Print JSON.", OUTPUT)]
JsonEvents = Annotated[bool, flag("--json", "Print events as JSON, one object per line.", OUTPUT)]


class Shared:
    """Types, help and defaults of the options that several commands share (see `takes`)."""

    query: Annotated[
        str, option("NOMAD's search expression or an API body, as JSON text or @file.json.", QUERY)
    ] = "{}"
    required: Annotated[
        str, option("Parts of each archive to get: JSON text or @file.json; '*' is all.", QUERY)
    ] = "*"
    source: Annotated[
        str,
        choice(
            SOURCES,
            "Where data comes from; documents: the search documents, with --required a list of names.",
            QUERY,
        ),
    ] = "archives"
    url: Annotated[
        str | None,
        option(
            "Base url of the API, ending in /api/v1. Default: NOMAD_CLIENT_URL, else the public server.",
            QUERY,
        ),
    ] = None
    allow_http: Annotated[
        list[str] | None,
        option("A host that may get the login over plain http; may be repeated.", QUERY, metavar="HOST"),
    ] = None
    owner: Annotated[str, choice(OWNERS, "Which entries, by access.", QUERY)] = "visible"
    after: Annotated[str, option("Only entries whose id is greater than this.", QUERY)] = ""
    results_max: Annotated[int | None, option("Maximum number of entries. Default: all.", QUERY)] = None
    layout: Annotated[
        str,
        choice(
            LAYOUT_NAMES,
            "wide: a column per leaf; nested: one per required path; tables: a table per path.",
            PARTITIONS,
        ),
    ] = "wide"
    units: Annotated[
        str | None,
        option(
            "Units of numbers: atomistic (eV, angstrom, ...), or JSON of units by dimension or path.",
            PARTITIONS,
        ),
    ] = None
    partition_size: Annotated[int | None, option("Entries per partition.", PARTITIONS)] = None
    npartitions: Annotated[int | None, option("Number of partitions.", PARTITIONS)] = None
    max_columns: Annotated[
        int,
        option(
            "Maximum number of columns of a table; the values of others go to the column _more.", PARTITIONS
        ),
    ] = MOST_COLUMNS
    workers: Annotated[
        int | None, option("Number of local worker processes. Default: one per core, at most four.", WORKERS)
    ] = None
    scheduler: Annotated[
        str | None,
        option(
            "Address of a running Dask scheduler: tcp://host:8786, or tls://... (see Dask's settings).",
            WORKERS,
        ),
    ] = None
    retry_failures: Annotated[bool, flag("--retry-failures", "Retry entries that failed.", LIMITS)] = False
    batch_size: Annotated[
        int | None, option("Entries per request. Default: adapted during the harvest.", LIMITS)
    ] = None
    max_requests_per_second: Annotated[
        float, option("Maximum number of requests per second, over all workers; 0 is no limit.", LIMITS)
    ] = 20.0
    max_concurrency: Annotated[
        int, option("Maximum number of concurrent requests, over all workers.", LIMITS)
    ] = 10
    retry: Annotated[int, option("Number of retries of a failed request.", LIMITS)] = 4
    sleep_time: Annotated[float, option("Maximum wait in seconds between two retries.", LIMITS)] = 4.0
    timeout: Annotated[float, option("Timeout of a request in seconds.", LIMITS)] = 300.0
    max_answer_bytes: Annotated[
        int, option("Maximum size of an answer in bytes; an entry with a larger archive fails.", LIMITS)
    ] = 1_000_000_000


_SHARED = get_type_hints(Shared, include_extras=True)
ALL = tuple(_SHARED)
REQUEST_LIMITS = ALL[ALL.index("max_requests_per_second") :]
"""Options of all commands that harvest."""


def takes(*names: str) -> Callable[[Command], Command]:
    """Decorator: the command takes these shared options, as keyword arguments.

    In the help they are between the command's positional and keyword-only parameters.
    """
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(Shared, name), annotation=_SHARED[name])
        for name in names
    ]

    def with_options(command: Command) -> Command:
        own = signature(command, eval_str=True).parameters.values()
        before = [one for one in own if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
        after = [one for one in own if one.kind is Parameter.KEYWORD_ONLY]
        command.__signature__ = Signature([*before, *shared, *after])  # type: ignore[attr-defined]
        return command

    return with_options


def json_value(given: Any, name: str) -> Any:
    """The value of JSON text or of `@file.json`; other values are returned as they are.

    `name` is the name of the option in messages.
    """
    if not isinstance(given, str) or given in ("*", "include", "include-resolved"):
        return given
    from_file = given.startswith("@")
    text = _file_text(Path(given[1:]), name) if from_file else given
    text = text.removeprefix("\ufeff")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f" in {given[1:]}" if from_file else ""
        raise UserError(
            f"{name}: malformed JSON{where}: {error.msg} at line {error.lineno} column {error.colno}; "
            f"{_advice(text, name, from_file=from_file)}"
        ) from error


def units_value(given: Any) -> Any:
    """The value of `--units`: the name of a preset, or units from JSON."""
    return json_value(given, "--units") if isinstance(given, str) and given[:1] in ("{", "@") else given


def _advice(text: str, name: str, *, from_file: bool) -> str:
    """Advice for malformed JSON, from its likely cause."""
    example = _EXAMPLES.get(name, """'{"results": "*"}'""")
    if not from_file and (text.endswith((".json", ".toml")) or Path(text).is_file()):
        return f"to read a file, put @ before its name: {name} @{text}"
    if "'" in text and '"' not in text:
        return f"JSON strings need double quotes, and a shell single quotes around the whole value: {example}"
    if '"' not in text and "{" in text:
        return f"the shell may have removed the quotes: put single quotes around the whole value: {example}"
    return f"expected something like {example}, or @file.json"


_EXAMPLES = {
    "--query": """'{"results.material.n_elements": 2}'""",
    "--required": """'{"results": "*"}', or a list for documents: '["entry_name"]'""",
    "--units": """atomistic, or '{"[energy]": "eV"}'""",
}


def _file_text(path: Path, name: str) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, as Windows' shells write it."""
    try:
        raw = path.read_bytes()
        return raw.decode("utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{name}: cannot read {path}: {reason}; check the path") from error


def job_options(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """The options in a job file, where query and required may be tables, or in the body of an API request."""
    if path.suffix not in (".toml", ".json"):
        raise UserError(
            f"{path}: a job file must end in .toml or .json; for the folder of the dataset use --out"
        )
    text = _file_text(path, "job file")
    if path.suffix == ".toml":
        try:
            options = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{path}: malformed TOML: {error}") from error
    else:
        options = json_value(text, str(path))
    if not isinstance(options, dict):
        raise UserError(f"{path}: a job file must contain a table of options, not {type(options).__name__}")
    if is_body(options):
        body = read_body({key: options.pop(key) for key in [*options] if key in BODY_KEYS})
        if body.note:
            warnings.warn(body.note)
        options |= {name: value for name, value in body.arguments().items() if value is not None}
    options = {key.replace("-", "_"): value for key, value in options.items()}
    for key, value in options.items():
        if key not in known:
            advice = hint(key, near(key, known), f"options are {', '.join(sorted(known))}")
            raise UserError(f"{path}: unknown option {key!r}{advice}")
        kinds, expected = _kinds_of(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UserError(f"{path}: {key} must be {expected}, not {value!r}")
    return options


def _kinds_of(name: str) -> tuple[tuple[type, ...], str]:
    """The types that an option may have in a job file, and their names."""
    if name in ("query", "required"):
        return (str, dict, list), "a table or a JSON string"
    if name == "units":
        return (str, dict), "a table, atomistic, or a JSON string"
    declared = get_type_hints(Shared).get(name, str)
    return _KINDS[(get_args(declared) or (declared,))[0]]


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "a string"),
    list[str]: ((str, list), "a string or a list of strings"),
}
