"""The versions of nomad-dask and what it stands on, for bug reports."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from nomad_dask._core import description

_PACKAGES = ("aiohttp", "dask", "distributed", "fsspec", "numpy", "orjson", "pandas", "pint", "pyarrow")


def show_versions() -> None:
    """Print the versions of nomad-dask, its core, Python and the packages that it needs.

    The core, which reads JSON into tables, is `compiled` or `Python`, with the reason.

    Examples
    --------
    >>> import nomad_dask
    >>> nomad_dask.show_versions()  # doctest: +SKIP
    nomad-dask   0.1.0
    core         compiled
    Python       3.13.1 (Linux x86_64)
    ...
    """
    about = {
        "nomad-dask": _version("nomad-dask"),
        "core": description(),
        "Python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        **{name: _version(name) for name in _PACKAGES},
    }
    for name, text in about.items():
        print(f"{name:12} {text}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
