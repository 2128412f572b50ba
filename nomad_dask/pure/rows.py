"""Owns the rows of a large answer while they are still JSON text: cut into pieces of whole rows, decoded one by one.

A piece that is decoded, used and forgotten before the next stays in the processor's cache and costs a tenth of the
memory of the whole. The text is cut where a row begins as the server writes it, `},{"entry_id":`. Inside of a text that
cannot stand (its quotes are escaped), and a cut inside of a row leaves a piece with open brackets, which is no JSON: a
wrong cut is never taken for a right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .words import decoded

PIECE = 200_000
"""Bytes of a piece: small enough for the cache, large enough that its own costs vanish."""
_HEAD, _TAIL = b'"data":[', b"]"
_ROW = b'},{"entry_id":'


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one answer, not decoded yet."""

    body: bytes
    bounds: tuple[int, ...]
    """Where each piece begins, and where the last one ends."""

    def pieces(self) -> Iterator[tuple[list[Any], bytes]]:
        """The rows, piece by piece, each with the JSON that it was decoded of. Raises ValueError at one that is none.

        Pieces that were cut inside of a row are put together again: all that is left is decoded at once.
        """
        end = self.bounds[-1]
        for begin, until in zip(self.bounds, self.bounds[1:], strict=False):
            text = self._text(begin, until)
            try:
                rows = decoded(text)
            except ValueError:
                if until == end:
                    raise
                text = self._text(begin, end)
                yield decoded(text), text
                return
            yield rows, text

    def _text(self, begin: int, until: int) -> bytes:
        """A list of the rows that begin and end there."""
        comma = until != self.bounds[-1]
        return b"".join((b"[", memoryview(self.body)[begin : until - comma], b"]"))


def undecoded(body: bytes, size: int = PIECE) -> tuple[Any, Rows | None]:
    """An answer with no rows, and its rows; an answer that cannot be cut is decoded whole, and has None.

    Raises ValueError where the body is no JSON, as far as that can be seen without its rows.
    """
    begin, end = body.find(_HEAD) + len(_HEAD), body.rfind(_TAIL)
    if len(body) < 2 * size or not len(_HEAD) <= begin < end:
        return decoded(body), None
    try:
        bare = decoded(body[:begin] + body[end:])
    except ValueError:
        return decoded(body), None
    if not isinstance(bare, dict) or bare.get("data") != []:
        return decoded(body), None
    bounds = [begin]
    while (at := body.find(_ROW, bounds[-1] + size, end)) >= 0:
        bounds.append(at + 2)
    return bare, Rows(body, (*bounds, end))
