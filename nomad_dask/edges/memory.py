"""Owns where Arrow takes its memory from while tables grow: from the system's own allocator.

Arrow's default (mimalloc) gives freed memory back at once and has the system clear it anew: a table that is built of
thousands of small columns takes a seventh more processor time with it, and a sixth more memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

_lock = threading.Lock()
_users = 0
_before: pa.MemoryPool | None = None
_CHOSEN = "ARROW_DEFAULT_MEMORY_POOL"
"""Arrow's own variable; whoever sets it has chosen."""


@contextmanager
def system_memory() -> Iterator[None]:
    """Arrow allocates from the system while the block runs, in all threads; then as before."""
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
