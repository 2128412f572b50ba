"""Owns the spelling of paths: how keys become one dotted name, and how a name is taken apart again (SPEC 6).

Keys join with dots. A dot inside a key is written `\\.`, a backslash `\\\\`, so every name has one reading::

    >>> join(["run", "0", "No. of atoms"])
    'run.0.No\\\\. of atoms'
    >>> split(join(["run", "0", "No. of atoms"]))
    ('run', '0', 'No. of atoms')
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_PIECE = re.compile(r"(?:[^\\.]|\\.)*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def escape(key: str) -> str:
    r"""One key as it stands in a name: `a.b` becomes `a\.b`."""
    if "." not in key and "\\" not in key:
        return key
    return key.replace("\\", "\\\\").replace(".", "\\.")


def join(keys: Iterable[str]) -> str:
    """The dotted name of a path of at least one key; `split` undoes it."""
    return ".".join(map(escape, keys))


def split(name: str) -> tuple[str, ...]:
    """The keys of a dotted name. A lone backslash at its end, which `join` never writes, is kept."""
    if "\\" not in name:
        return tuple(name.split("."))
    keys: list[str] = []
    start = 0
    while start <= len(name):
        piece = _PIECE.match(name, start)
        assert piece is not None
        end = piece.end()
        if end < len(name) and name[end] == "\\":
            end = len(name)
        keys.append(_ESCAPED.sub(r"\1", name[start:end]))
        start = end + 1
    return tuple(keys)


def below(name: str, prefix: str) -> bool:
    """True where `name` is `prefix` or lies below it: matches end at a dot or the end (SPEC 6)."""
    return name == prefix or name.startswith(prefix + ".")


def folder(name: str) -> str:
    """A path as the name of a folder: as it is, but for what file systems and the globs of Parquet readers take amiss.

    That is percent-encoded, as in urls: `run[-1].calculation` is `run%5B-1%5D.calculation`.
    """
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
    if len(safe.encode()) <= _LONGEST:
        return safe
    return f"{safe.encode()[: _LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_UNSAFE = re.compile(r"^[._]|[\x00-\x1f%/\\*?\[\]{}=<>:\"|]")
"""Separators, what globs and `key=value` folders mean something by, and a hidden file's first letter."""
_LONGEST = 200
"""Characters of a folder's name; file systems allow 255 bytes."""
