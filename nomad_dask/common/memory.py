"""Memory: the limit of this process, Arrow's allocator, and pauses of Python's garbage collector."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pyarrow as pa

_lock = threading.Lock()
_users = 0
_before: pa.MemoryPool | None = None
_CHOSEN = "ARROW_DEFAULT_MEMORY_POOL"  # Arrow's environment variable; an allocator set there is kept


@contextmanager
def system_memory() -> Iterator[None]:
    """Use the system allocator for Arrow in all threads while the block runs."""
    global _users, _before
    with _lock:
        _users += 1
        if _users == 1 and _CHOSEN not in os.environ:
            _before = pa.default_memory_pool()
            pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _before is not None:
                pa.set_memory_pool(_before)
                _before = None


_of_worker: int | None = None


def set_worker_memory(n_bytes: int | None) -> None:
    """Set the limit at which Dask kills this process if it is a worker; None: no limit."""
    global _of_worker
    _of_worker = n_bytes or None


def memory_limit() -> int:
    """Bytes that this process may use: the smallest limit of Dask worker, container and machine."""
    return min(_of_machine(), _of_worker) if _of_worker else _of_machine()


@cache
def _of_machine() -> int:
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in (*_cgroup_files(), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with suppress(OSError, ValueError):  # no such file, or `max`
            limits.append(int(name.read_text()))
    return min(limit for limit in limits if limit > 0)


def _cgroup_files() -> Iterator[Path]:
    """The files with the memory limits of this process's control group and its ancestors."""
    root = Path("/sys/fs/cgroup")
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                group = root / line.removeprefix("0::/")
                yield from (
                    above / "memory.max"
                    for above in (group, *group.parents)
                    if root in (above, *above.parents)
                )


_pauses = 0
_was_on = False
_since = 0.0
_LONG = 10.0  # seconds of uninterrupted pauses after which young garbage is collected


@contextmanager
def collector_paused() -> Iterator[None]:
    """Disable collection in the block; a collector that was disabled before stays disabled."""
    global _pauses, _was_on, _since
    with _lock:
        _pauses += 1
        if _pauses == 1:
            _was_on, _since = gc.isenabled(), time.monotonic()
            gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            overdue = _pauses and _was_on and time.monotonic() > _since + _LONG
            if overdue:
                _since = time.monotonic()
            if not _pauses and _was_on:
                gc.enable()
        if overdue:
            gc.collect(1)
