"""The NOMAD materials-science archive in bulk: a query becomes lazy Dask partitions, or a Parquet dataset.

>>> from nomad_dask import ArchiveQuery, open_dataset

Names are imported when they are first used, so `import nomad_dask` costs next to nothing and no Dask.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ArchiveQuery": "nomad_dask.query.archive_query",
    "open_dataset": "nomad_dask.frame",
    "units": "nomad_dask.frame",
    "update": "nomad_dask.query.updating",
    "Archive": "nomad_dask.query.archive",
    "NomadDaskError": "nomad_dask.pure.errors",
    "UserError": "nomad_dask.pure.errors",
}

if TYPE_CHECKING:
    from .frame import open_dataset, units
    from .pure.errors import NomadDaskError, UserError
    from .query.archive import Archive
    from .query.archive_query import ArchiveQuery
    from .query.updating import update

__all__ = [
    "Archive",
    "ArchiveQuery",
    "NomadDaskError",
    "UserError",
    "__version__",
    "open_dataset",
    "units",
    "update",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nomad_dask' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
