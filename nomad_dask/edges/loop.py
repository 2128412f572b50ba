"""Owns the process's event-loop thread: coroutines of any thread run there, and what belongs to the loop is kept there.

Made when first needed, left behind after a fork, closed at the end of the interpreter.
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
    """The thread, its loop, and what is kept for the life of the process (a session, gates, tokens)."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._kept: dict[Hashable, Any] = {}
        self.thread = threading.Thread(target=self.loop.run_forever, name="nomad-dask-http", daemon=True)
        self.thread.start()

    def kept(self, name: Hashable, make: Callable[[], T]) -> T:
        """The one thing of this name, made on first use. To be called on the loop's thread only."""
        if name not in self._kept:
            self._kept[name] = make()
        found: T = self._kept[name]
        return found

    async def close(self) -> None:
        """Close what has a `close`."""
        for thing in self._kept.values():
            if hasattr(thing, "close"):
                await thing.close()


_current: Process | None = None
_lock = threading.Lock()


def process() -> Process:
    """This process's loop thread."""
    global _current
    with _lock:
        if _current is None:
            _current = Process()
        return _current


_inherited: list[Process | None] = []


def _after_fork() -> None:
    """A child has neither the thread nor a right to the parent's sockets: it starts anew.

    The parent's loop is kept, unused: closing it here (as its finalizer would) takes the parent's wake-up pipe out of
    the epoll instance that both share, and the parent sleeps on.
    """
    global _current, _lock
    _inherited.append(_current)
    _current, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close() -> None:
    if _current is not None and _current.thread.is_alive():
        run(_current.close())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop thread and wait for it; also from inside another running event loop."""
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
        # Ctrl-C: what the work must put back in its place, it puts back before the caller goes on.
        if future.cancel():
            ended.wait(5)
        raise


async def arun(work: Coroutine[Any, Any, T]) -> T:
    """Like `run`, for `await`: the caller's event loop goes on while the work is done on the loop thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, process().loop))


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """Items of an async generator, for a plain `for`; what it has under way goes on between the steps."""

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
