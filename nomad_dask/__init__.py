"""The NOMAD materials-science archive in bulk: a query becomes lazy Dask partitions, or a Parquet dataset.

>>> from nomad_dask import ArchiveQuery, open_dataset

Names are imported when they are first used, so `import nomad_dask` costs next to nothing and no Dask.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nomad_dask import errors
    from nomad_dask.archive.archive import Archive
    from nomad_dask.common.versions import show_versions
    from nomad_dask.dataset.report import Report
    from nomad_dask.errors import NomadDaskError, UserError
    from nomad_dask.frame.convert_units import convert_units
    from nomad_dask.frame.lazy import decode, open_dataset, units
    from nomad_dask.frame.structures import structures
    from nomad_dask.query.archive_query import ArchiveQuery
    from nomad_dask.query.update_dataset import update_dataset
    from nomad_dask.request import Failure
    from nomad_dask.request.required_for import required_for
    from nomad_dask.request.segments import Plan


__version__ = "0.1.0"

_HOMES = {
    "ArchiveQuery": "nomad_dask.query.archive_query",
    "open_dataset": "nomad_dask.frame.lazy",
    "decode": "nomad_dask.frame.lazy",
    "convert_units": "nomad_dask.frame.convert_units",
    "units": "nomad_dask.frame.lazy",
    "show_versions": "nomad_dask.common.versions",
    "structures": "nomad_dask.frame.structures",
    "required_for": "nomad_dask.request.required_for",
    "update_dataset": "nomad_dask.query.update_dataset",
    "Plan": "nomad_dask.request.segments",
    "Report": "nomad_dask.dataset.report",
    "Failure": "nomad_dask.request",
    "Archive": "nomad_dask.archive.archive",
    "NomadDaskError": "nomad_dask.errors",
    "UserError": "nomad_dask.errors",
}

__all__ = [
    "Archive",
    "ArchiveQuery",
    "Failure",
    "NomadDaskError",
    "Plan",
    "Report",
    "UserError",
    "__version__",
    "convert_units",
    "decode",
    "errors",
    "open_dataset",
    "required_for",
    "show_versions",
    "structures",
    "units",
    "update_dataset",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("nomad_dask.errors")
    if name == "update":
        warnings.warn("nomad_dask.update is now nomad_dask.update_dataset", DeprecationWarning, stacklevel=2)
        name = "update_dataset"
    if name not in _HOMES:
        raise AttributeError(f"module 'nomad_dask' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
