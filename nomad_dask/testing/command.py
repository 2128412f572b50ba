"""`nomad-dask serve`: run the embedded archive until Ctrl-C."""

import errno
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from nomad_dask.errors import UserError
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
    """Serve until Ctrl-C, and print the URL. `generated` holds arguments of `generate`.

    Raises UserError for invalid options.
    """
    try:
        script = Faults.parse(faults) if faults else None
        corpus = None if archives else generate(**generated, features=_shares(features))
    except ValueError as error:
        raise UserError(str(error)) from error
    with ExitStack() as running:
        try:
            url = running.enter_context(
                serve(corpus, archives=archives, host=host, port=port, faults=script, gzip=gzip)
            )
        except (OSError, OverflowError, ValueError, KeyError) as error:
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = "the port is in use; choose another --port, or 0 for a free one" if in_use else error
            raise UserError(
                f"cannot serve {archives or 'generated archives'} at {host}:{port}: {reason}"
            ) from error
        print(f"serving {url} (Ctrl-C stops)", flush=True)
        while True:
            time.sleep(3600)


def _shares(text: str | None) -> Mapping[str, float] | None:
    """Parse `plain`, or a JSON object with fractions of some of `FEATURES`."""
    if not text or text == "plain":
        return PLAIN if text else None
    try:
        shares = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"features: malformed JSON: {error.msg} at column {error.colno}") from error
    if not isinstance(shares, dict) or not all(type(share) in (int, float) for share in shares.values()):
        raise ValueError(f"features must be a JSON object of numbers, not {text}")
    return shares
