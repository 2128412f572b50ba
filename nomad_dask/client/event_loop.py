"""The event-loop thread of the process: runs coroutines for all threads, and keeps objects bound to the loop.

It starts when first needed, is not used after a fork, and is closed when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """The thread, its event loop, and objects shared by the process (session, limiters, tokens)."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._objects: dict[Hashable, Any] = {}
        self.thread = threading.Thread(target=self.loop.run_forever, name="nomad-dask-http", daemon=True)
        self.thread.start()

    def get_or_create(self, name: Hashable, make: Callable[[], T]) -> T:
        """Get the object with this name, created on first use. Call on the loop's thread only."""
        if name not in self._objects:
            self._objects[name] = make()
        found: T = self._objects[name]
        return found

    def all(self, kind: type[T]) -> list[T]:
        """Get all objects of a type. Call on the loop's thread only."""
        return [found for found in self._objects.values() if isinstance(found, kind)]

    async def close(self) -> None:
        """Close the objects that have a `close`."""
        for found in self._objects.values():
            if hasattr(found, "close"):
                await found.close()


_current: Process | None = None
_lock = threading.Lock()


def process() -> Process:
    """Get the loop thread of this process."""
    global _current
    with _lock:
        if _current is None:
            _current = Process()
        return _current


_inherited: list[Process | None] = []


def _after_fork() -> None:
    """Make the child start its own thread; it has neither the parent's thread nor its sockets."""
    global _current, _lock
    _inherited.append(_current)
    _current, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close() -> None:
    if _current is not None and _current.thread.is_alive():
        run(_current.close())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop thread and wait for it; also works inside another running event loop."""
    ended = threading.Event()

    async def tracked() -> T:
        try:
            return await work
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(tracked(), process().loop)
    try:
        return future.result()
    except BaseException:
        # Ctrl-C: wait for the cleanup of the coroutine.
        if future.cancel():
            ended.wait(5)
        raise


async def arun(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop thread and await it; the caller's event loop is not blocked."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process().loop))


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """Iterate over an async generator with `for`; its tasks also run between the steps."""

    async def step() -> tuple[T] | None:
        try:
            return (await anext(items),)
        except StopAsyncIteration:
            return None

    async def close() -> None:
        await items.aclose()  # type: ignore[attr-defined]

    try:
        while (item := run(step())) is not None:
            yield item[0]
    finally:
        run(close())
