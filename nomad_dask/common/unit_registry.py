"""pint's registry of units, which other libraries of the process share."""

from __future__ import annotations

import threading
from typing import Any

_lock = threading.Lock()


def unit_registry() -> Any:
    """The application's registry. Costs half a second the first time."""
    import pint

    with _lock:  # the first access builds it, which two threads must not do at once
        registry = pint.get_application_registry()
        registry.get_dimensionality("meter")
    return registry
