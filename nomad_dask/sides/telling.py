"""Owns how a task's reading tells what it has done to whoever runs the task, and listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..pure.progress import Done

_listener: ContextVar[Callable[[Done], None] | None] = ContextVar("nomad_dask_listener", default=None)


@contextmanager
def listening(listener: Callable[[Done], None]) -> Iterator[None]:
    """What is read in this block, by this thread, is told to the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(done: Done) -> None:
    """Say what was read, if anybody listens."""
    if (listener := _listener.get()) is not None:
        listener(done)
