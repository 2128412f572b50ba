"""Owns the pause of Python's garbage collector while many JSON values come to life, or are walked.

The collector looks at all new containers again and again, though decoded JSON has no cycles: it doubles the time of large
answers. It is paused for one answer or one batch at a time, in whichever thread, and goes on between them; where the
pauses of several threads leave no gap, the young garbage is collected now and then all the same.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pauses = 0
_was_on = False
_since = 0.0
_LONG = 10.0
"""Seconds without a gap after which the young garbage is collected."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collection while the block runs, nor while another thread's does; a collector that was off stays off."""
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
