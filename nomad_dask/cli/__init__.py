"""The command line: commands, `--version`, and how errors end a command.

Commands are functions of the same name::

    query_commands    count  schema  plan           a few small requests
    dataset_commands  harvest  resume  update       write datasets
                      status  report                read datasets
    try_commands      serve  demo                   the embedded archive

`options` has the options that several commands share, and reads JSON values and job files. `help_examples`
has the examples of the help, `exit_codes` the exit codes and signal handling, `events` the output of the
commands that write datasets, and `status_drawing` that of `status`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer

from nomad_dask import __version__
from nomad_dask._core import description
from nomad_dask.cli.dataset_commands import harvest, report, resume, status, update
from nomad_dask.cli.events import print_error
from nomad_dask.cli.exit_codes import INTERRUPTED, UNFINISHED, WRONG, Interrupts, code_of
from nomad_dask.cli.help_examples import Command, help_of
from nomad_dask.cli.query_commands import count, plan, schema
from nomad_dask.cli.try_commands import demo, serve
from nomad_dask.errors import NomadDaskError, notes_of
from nomad_dask.text import printable

app = typer.Typer(
    add_completion=True, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
)

_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Explore": (count, schema, plan),
    "Make datasets": (harvest, resume, update),
    "Inspect datasets": (status, report),
    "Try it out": (serve, demo),
}
for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel, cls=Command, help=help_of(command))(command)


def _version(given: bool) -> None:
    if given:
        print(f"nomad-dask {__version__}, core: {description()}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, metavar="", help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Get data out of the NOMAD archive in bulk."""


def main() -> None:
    """Entry point: run a command; an error becomes one message and an exit code."""
    Interrupts().install()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # characters that the terminal cannot show are no error
    warnings.showwarning = lambda message, *_: print(f"note: {printable(str(message))}", file=sys.stderr)
    try:
        raise SystemExit(app(prog_name="nomad-dask", standalone_mode=False))
    except _UsageError as error:
        error.show()
        if "unexpected extra argument" in error.format_message() and any("{" in word for word in sys.argv):
            print("JSON needs single quotes around it in a shell: --query '{...}'", file=sys.stderr)
        _exit("UsageError", error.format_message(), WRONG)
    except NomadDaskError as error:
        print("\n".join([f"error: {error}", *notes_of(error)]), file=sys.stderr)
        _exit(type(error).__name__, str(error), code_of(error))
    except (KeyboardInterrupt, typer.Abort):
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if _JSON in sys.argv:
            print_error(type(error).__name__, "internal error of nomad-dask; see stderr", UNFINISHED)
        raise


def _exit(kind: str, message: str, code: int) -> NoReturn:
    """Exit with an error code. The message is already on stderr."""
    if _JSON in sys.argv:
        print_error(kind, message, code)
    raise SystemExit(code) from None


_JSON = "--json"
_UsageError: Any = typer.BadParameter.__base__
"""Base class of command line errors. Its import path depends on the version of typer."""
