"""Owns the commands to try things out with: `serve`, `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .exits import exit_code
from .options import KINDS, choice, flag


def serve(
    n_entries: Annotated[int, typer.Option(help="Generated public entries.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same archive.")] = 0,
    kind: Annotated[
        str,
        choice(KINDS, "Archives of 3 to 800 kB, of 5, of 100, or with 5 kB of results.", "Options"),
    ] = "mixed",
    private_share: Annotated[float, typer.Option(help="Private entries for each public one.")] = 0.05,
    features: Annotated[
        str | None, typer.Option(help="Shares of what is special, as JSON; or 'plain' for nothing.")
    ] = None,
    archives: Annotated[
        Path | None, typer.Option(help="Serve a folder of archive JSON files instead, all public.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free.")] = 8000,
    faults: Annotated[
        str | None, typer.Option(help="Misbehave: 'status=503,rate=0.1; latency=0.2; limit=20'.")
    ] = None,
    gzip: Annotated[bool, flag("--gzip", "Compress answers when asked to.", "Options")] = False,
) -> None:
    """Run the embedded archive: a NOMAD-compatible server for tests and trials."""
    from ..testing.command import run

    made: dict[str, Any] = {"n_entries": n_entries, "seed": seed, "kind": kind}
    where: dict[str, Any] = {"archives": archives, "host": host, "port": port, "gzip": gzip}
    run(**where, faults=faults, features=features, private_share=private_share, **made)


def demo(
    out: Annotated[
        Path, typer.Option(help="Where the dataset goes; an earlier demo there is replaced.")
    ] = Path("demo"),
    n_entries: Annotated[int, typer.Option(help="Entries in the embedded archive.")] = 2000,
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 2,
) -> None:
    """The main job, whole: start the embedded archive, harvest it into a dataset, show it."""
    from ..demonstration import demonstrate

    raise typer.Exit(exit_code(demonstrate(out, n_entries, workers)))
