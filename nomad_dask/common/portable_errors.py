"""Errors raised by tasks, made picklable: always a NomadDaskError, limited in size, with plain values only.

Dask pickles an exception with its causes, their attributes and their tracebacks. One that cannot be pickled
or unpickled loses its class, or ends the client's connection. `call` wraps every task to prevent this.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import is_dataclass
from typing import Any, ParamSpec, TypeVar

from nomad_dask.errors import CauseError, InternalError, NomadDaskError, error_summary

P = ParamSpec("P")
T = TypeVar("T")

_MAX_CAUSES = 10  # maximum number of causes: the nearest ones, and the root cause
_MAX_CHARACTERS = 4_000
"""Maximum length of a string. Dask replaces an error whose message is longer than 10,000."""
_MAX_ITEMS = 10_000  # maximum number of items in the attributes of one error
_MAX_LEVELS = 6  # maximum nesting of an attribute
_CALLS = 20  # number of calls kept of a traceback, the last ones
_PACKAGE = __name__.partition(".")[0]


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function as a task and make the exception that it raises portable.

    BaseExceptions such as KeyboardInterrupt and asyncio.CancelledError are raised unchanged.
    """
    try:
        return function(*args, **kwargs)
    except CancelledError:
        failure: Exception = CancelledError()
    except Exception as error:
        failure = portable(error)
    raise failure  # not inside `except`, which would set the original as its context


def portable(error: BaseException) -> NomadDaskError:
    """A copy of a NomadDaskError, or an InternalError for any other; with its causes, without tracebacks."""
    chain = _chain(error)
    first, *causes = [_copied(one) or _described(one, is_cause=n > 0) for n, (one, _) in enumerate(chain)]
    above: BaseException = first
    for cause, (_, is_explicit) in zip(causes, chain[1:], strict=True):
        if is_explicit:
            above.__cause__ = cause
        else:
            above.__context__ = cause
        above = cause
    return first


def _chain(error: BaseException) -> list[tuple[BaseException, bool]]:
    """An error and up to `_MAX_CAUSES` causes, each with True if it was raised `from`."""
    found, visited = [(error, True)], {id(error)}
    while True:
        last, _ = found[-1]
        below = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if below is None or id(below) in visited:
            return found
        visited.add(id(below))
        if len(found) > _MAX_CAUSES:
            found.pop()
        found.append((below, below is last.__cause__))


def _copied(error: BaseException) -> NomadDaskError | None:
    """A copy of a NomadDaskError with plain values; None for any other."""
    kind = type(error)
    if not isinstance(error, NomadDaskError) or kind.__module__.partition(".")[0] != _PACKAGE:
        return None
    copy: NomadDaskError = type(error).__new__(type(error))
    plain = _Plain()
    copy.args = plain.of(error.args)
    copy.__dict__.update(plain.of(error.__dict__))
    words = str(copy)
    if len(words) > _MAX_CHARACTERS:
        copy.args = (f"{words[: _MAX_CHARACTERS - 1]}…",)
    return copy


def _described(error: BaseException, *, is_cause: bool) -> NomadDaskError:
    """A CauseError or InternalError that describes a foreign exception."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    words = error_summary(error)
    if is_cause:
        return CauseError(kind, words)
    return InternalError(kind, words, _trace(error), out_of_memory=isinstance(error, MemoryError))


def _trace(error: BaseException) -> str:
    try:
        calls = traceback.format_tb(error.__traceback__, limit=-_CALLS)
    except Exception:  # such as a source line that cannot be read
        return ""
    return "".join(calls)[-_MAX_CHARACTERS:].rstrip()


class _Plain:
    """Converts to plain values, with a limit on the total number of items."""

    def __init__(self) -> None:
        self._left = _MAX_ITEMS

    def of(self, value: Any, level: int = 0) -> Any:
        """A value of builtin classes or of this package's plain ones; anything else as its `repr`."""
        kind = type(value)
        if value is None or kind in (bool, float) or (kind is int and value.bit_length() < 1_000):
            return value
        if kind in (str, bytes):
            return value[:_MAX_CHARACTERS]
        if level < _MAX_LEVELS:
            if kind in (tuple, list, set, frozenset):
                return kind(self.of(item, level + 1) for item in self._some(value))
            if kind is dict:
                items = self._some(value.items())
                return {self.of(key, level + 1): self.of(item, level + 1) for key, item in items}
            if kind.__module__.partition(".")[0] == _PACKAGE:
                if isinstance(value, tuple):
                    return kind(*(self.of(item, level + 1) for item in value))
                if is_dataclass(value) and self.of(_fields(value), level + 1) == _fields(value):
                    return value
        return _shown(value)

    def _some(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if self._left <= 0:
                return
            self._left -= 1
            yield item


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _shown(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:
        return f"<{type(value).__name__}>"
