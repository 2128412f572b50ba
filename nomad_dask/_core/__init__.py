"""The compiled core: JSON text to Arrow columns in one pass (`native`, in C++), where it is installed.

`native` is None where the package was installed without a compiler, or where the environment variable
NOMAD_DASK_CORE is `0`. Then the Python walks of `layouts`, which define the rules, do everything.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("NOMAD_DASK_CORE") == "0":
        return None, "NOMAD_DASK_CORE=0"
    try:
        return import_module("nomad_dask._core.native"), ""
    except ModuleNotFoundError:
        return None, "it was installed without a compiler"
    except ImportError as error:
        return None, str(error)


native, reason = _load()


def description() -> str:
    """Return `compiled`, or `Python` with the reason."""
    return "compiled" if native is not None else f"Python: {reason}"
