"""The embedded archive as a command: its options in words, and a server that runs until it is interrupted."""

import errno
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from nomad_dask.pure.errors import UserError
from nomad_dask.testing.faults import Faults
from nomad_dask.testing.generate import PLAIN, generate
from nomad_dask.testing.serve import serve


def run(
    *,
    archives: Path | None,
    host: str,
    port: int,
    faults: str | None,
    gzip: bool,
    features: str | None,
    **generated: Any,
) -> None:
    """Serves until Ctrl-C, and prints where. `faults` and `features` are text, `generated` is for `generate`.

    Raises UserError for options that cannot be.
    """
    try:
        misbehave = Faults.parse(faults) if faults else None
        corpus = None if archives else generate(**generated, features=_shares(features))
    except ValueError as error:
        raise UserError(str(error)) from error
    with ExitStack() as running:
        try:
            url = running.enter_context(
                serve(corpus, archives=archives, host=host, port=port, faults=misbehave, gzip=gzip)
            )
        except (OSError, OverflowError, ValueError, KeyError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = (
                "another program listens there; choose another --port, or 0 for a free one"
                if taken
                else error
            )
            raise UserError(
                f"cannot serve {archives or 'generated archives'} at {host}:{port}: {why}"
            ) from error
        print(f"serving {url} (Ctrl-C stops)", flush=True)
        while True:
            time.sleep(3600)


def _shares(text: str | None) -> Mapping[str, float] | None:
    """`plain`, or a JSON object with some of `FEATURES`."""
    if not text or text == "plain":
        return PLAIN if text else None
    try:
        shares = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"features: malformed JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(shares, dict) or not all(type(share) in (int, float) for share in shares.values()):
        raise ValueError(f"features are an object of names and shares, not {text}")
    return shares
