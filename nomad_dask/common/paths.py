"""Paths in archives: joining keys to dotted names, and splitting names into keys.

Keys are joined with dots. A dot inside a key is written `\\.`, a backslash `\\\\`, so names are unambiguous::

    >>> join(["run", "0", "No. of atoms"])
    'run.0.No\\\\. of atoms'
    >>> split(join(["run", "0", "No. of atoms"]))
    ('run', '0', 'No. of atoms')
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from nomad_dask.text import near

_PIECE = re.compile(r"(?:[^\\.]|\\.)*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def escape(key: str) -> str:
    r"""A key as written in a name: `a.b` becomes `a\.b`."""
    if "." not in key and "\\" not in key:
        return key
    return key.replace("\\", "\\\\").replace(".", "\\.")


def join(keys: Iterable[str]) -> str:
    """The dotted name of one or more keys; the inverse of `split`."""
    return ".".join(map(escape, keys))


def split(name: str) -> tuple[str, ...]:
    """The keys of a dotted name. A lone backslash at the end, which `join` never writes, is kept."""
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


def without_slice(key: str) -> str:
    """The key of a required path without its slice: `run[0:3]` becomes `run`."""
    return key.partition("[")[0]


def is_below(name: str, prefix: str) -> bool:
    """True if `name` is `prefix` or below it: `run.0` contains `run.0.energy`, not `run.01`."""
    return name == prefix or name.startswith(prefix + ".")


def folder(name: str) -> str:
    """A path as the name of a folder.

    Characters that are special to file systems or in globs are percent-encoded: `run[-1].calculation` becomes
    `run%5B-1%5D.calculation`.
    """
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)
    if len(safe.encode()) <= _LONGEST:
        return safe
    begin = safe.encode()[: _LONGEST - 9].decode(errors="ignore")
    return f"{begin}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


_UNSAFE = re.compile(r"^[._]|[\x00-\x1f%/\\*?\[\]{}=<>:\"|]")
"""Separators, special characters of globs and `key=value` folders, first character of hidden files."""
_LONGEST = 200  # maximum bytes of a folder's name; file systems allow 255


_NUMBERS = re.compile(r"\.\d+(?=\.|$)")
_MAX_COMPARED = 5_000  # maximum number of paths to compare; more would delay the message


def near_paths(path: str, names: Iterable[str]) -> tuple[str, ...]:
    """Up to three existing paths similar to `path`.

    Those that end with it come first, then those with a similar spelling. Of paths that differ only in
    numbers, the first is returned.
    """
    depth = len(split(path))
    ends: dict[str, str] = {}
    alike: dict[str, str] = {}
    tail = "." + path
    for name in names:
        if name.endswith(tail) or tail + "." in name:
            ends.setdefault(_unnumbered(name), name[: name.index(tail) + len(tail)])
        if len(alike) < _MAX_COMPARED:
            # The name and its parents that are about as deep: numbers may have been left out of the path.
            keys = split(name)
            deepest = depth + 1 + sum(key.isdecimal() for key in keys)
            for n in range(max(1, depth - 1), min(len(keys), deepest) + 1):
                stem = join(keys[:n])
                alike.setdefault(_unnumbered(stem), stem)
    return tuple(dict.fromkeys([*ends.values(), *near(path, alike.values())]))[:3]


def _unnumbered(name: str) -> str:
    return _NUMBERS.sub("", name)
