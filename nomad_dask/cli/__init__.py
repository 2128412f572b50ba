"""Owns the command line (SPEC 13): its commands, `--version`, and how errors end it.

Each command is a function of its name in the module of its subject::

    asking      count  plan              a few small requests
    harvesting  harvest  resume  update  write datasets
    looking     status  report           read datasets
    trying      serve  demo              the embedded archive

`options` are what several commands take, `queries` makes a query of them, `jobs` reads trees and job files, `exits` says
what an exit code means.
"""

from __future__ import annotations

import signal
import sys
import warnings
from typing import Annotated

import typer

from .. import __version__
from ..pure.errors import NomadDaskError, UserError
from .asking import count, plan
from .exits import UNFINISHED, WRONG
from .harvesting import harvest, resume, update
from .looking import report, status
from .trying import demo, serve

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for command in (count, plan, harvest, resume, update, status, report, serve, demo):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        print(f"nomad-dask {__version__}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Get data out of the NOMAD archive in bulk."""


def main() -> None:
    """The entry point: runs a command, and turns errors into one message and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        app()
    except NomadDaskError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(WRONG if isinstance(error, UserError) else UNFINISHED) from None
