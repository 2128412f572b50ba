"""Owns the command line (SPEC 13): its commands, `--version`, and how errors end it.

Each command is a function of its name in the module of its subject::

    asking      count  plan              a few small requests
    harvesting  harvest  resume  update  write datasets
    browsing    schema                   what archives may hold
    looking     status  report           read datasets
    trying      serve  demo              the embedded archive

`options` are what several commands take, `queries` makes a query of them, `jobs` reads trees and job files, `examples`
end the help, `exits` says what an exit code means. What they say has a module each: `plan_table`, `status_drawing`, and of
jobs `telling` (words) and `events` (`--json`).
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..pure.errors import NomadDaskError
from .asking import count, plan
from .browsing import schema
from .events import code_of, tell_error
from .examples import Command, help_of
from .exits import INTERRUPTED, UNFINISHED, WRONG
from .harvesting import harvest, resume, update
from .looking import report, status
from .trying import demo, serve

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Ask the server": (count, schema, plan),
    "Make a dataset": (harvest, resume, update),
    "Look at a dataset": (status, report),
    "Try it out": (serve, demo),
}
for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel, cls=Command, help=help_of(command))(command)


def _version(asked: bool) -> None:
    if asked:
        print(f"nomad-dask {__version__}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, metavar="", help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Get data out of the NOMAD archive in bulk."""


def main() -> None:
    """The entry point: runs a command, and turns errors into one message and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks ends no command
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        raise SystemExit(app(prog_name="nomad-dask", standalone_mode=False))
    except _UsageError as error:
        error.show()
        if "unexpected extra argument" in error.format_message() and any("{" in word for word in sys.argv):
            print(
                "JSON needs single quotes around it, so that the shell leaves it whole: --query '{...}'",
                file=sys.stderr,
            )
        _ended("UsageError", error.format_message(), WRONG)
    except NomadDaskError as error:
        print(f"error: {error}", file=sys.stderr)
        _ended(type(error).__name__, str(error), code_of(error))
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if _JSON in sys.argv:
            tell_error(type(error).__name__, "an error of nomad-dask itself; see stderr", UNFINISHED)
        raise


def _ended(kind: str, message: str, code: int) -> NoReturn:
    """End a command that an error ended; its words stand on stderr already."""
    if _JSON in sys.argv:
        tell_error(kind, message, code)
    raise SystemExit(code) from None


_JSON = "--json"
_UsageError: Any = typer.BadParameter.__base__
"""What is wrong with a command line: typer has the class, under a name that depends on its version."""
