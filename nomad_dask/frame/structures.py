"""Structures from dataframes and datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from nomad_dask.archive.structures import Library, Which, check_choices, find, library
from nomad_dask.common import paths
from nomad_dask.common.unit_registry import unit_registry
from nomad_dask.errors import StructureError, UserError
from nomad_dask.frame.lazy import open_dataset
from nomad_dask.layouts.schema import MORE
from nomad_dask.layouts.to_pandas import decoded
from nomad_dask.text import shown

if TYPE_CHECKING:
    import dask.dataframe as dd

_READ = (
    ("results", "properties", "structures"),
    ("results", "material", "topology"),
    ("run", "system"),
    ("run", "calculation"),
    ("data", "model_system"),
    ("workflow2", "results", "calculation_result_ref"),
)
"""Where structures and their energies are in archives."""
_LISTS = frozenset(
    [
        ("run",),
        ("run", "system"),
        ("run", "system", "symmetry"),
        ("run", "system", "symmetry", "system_std"),
        ("run", "system", "symmetry", "system_primitive"),
        ("run", "calculation"),
        ("results", "material", "topology"),
        ("results", "properties", "structures", "structure_original", "species"),
        ("results", "properties", "structures", "structure_conventional", "species"),
        ("results", "properties", "structures", "structure_primitive", "species"),
        ("data", "model_system"),
        ("data", "model_system", "cell"),
        ("data", "model_system", "cell", "atoms_state"),
        ("data", "model_system", "particle_states"),
    ]
)
"""The repeating sections on the way."""

_SENT = frozenset({"meter", "joule", "newton"})
_CONVERTED = frozenset({"positions", "lattice_vectors", "cartesian_site_positions", "value", "value_raw"})


def structures(
    data: pd.DataFrame | dd.DataFrame | str | os.PathLike[str],
    to: Library = "ase",
    *,
    which: Which = "original",
    results: bool = False,
    on_missing: Literal["null", "raise"] = "null",
) -> pd.Series | dd.Series:
    """Convert the structures in a dataframe or dataset to ASE or pymatgen, one for each entry.

    The columns are those of the layouts wide and nested for `required_for("structure")`, or any others that
    `Archive.to_ase` reads (such as `run.system`). A lazy dataframe gives a lazy series with the same
    partitions, and only the columns that are needed are requested or read.

    Parameters
    ----------
    data
        A dataframe that nomad-dask made, lazy or not, or the path of a dataset.
    to : {"ase", "pymatgen"}, default "ase"
        The library.
    which : {"original", "conventional", "primitive"}, default "original"
        As in `Archive.to_ase`.
    results : bool, default False
        As in `Archive.to_ase`.
    on_missing : {"null", "raise"}, default "null"
        What an entry without a structure, or with one that the library cannot represent, gives: None, or a
        StructureError that names it.

    Returns
    -------
    pandas.Series or dask.dataframe.Series
        Named `structure`, with the index of the dataframe. The structures are as of `Archive.to_ase` and
        `Archive.to_pymatgen`.

    Raises
    ------
    UserError
        The dataframe has no columns with structures, or is one of the layout `tables`; the library is not
        installed.
    StructureError
        An entry has no structure, with `on_missing="raise"`.
    DatasetError
        There is no dataset at the path.

    Examples
    --------
    >>> query = ArchiveQuery(required=required_for("structure"), results_max=1, progress=False)
    >>> atoms = structures(query.to_dask_dataframe().compute())
    >>> atoms.iloc[0].cell.shape
    (3, 3)
    """
    check_choices(which, to)
    library(to)
    if on_missing not in ("null", "raise"):
        raise UserError(f"on_missing must be 'null' or 'raise' (got {shown(on_missing)})")
    opened: Any = open_dataset(data) if isinstance(data, str | os.PathLike) else data
    if isinstance(opened, Mapping):
        raise UserError("structures reads the layouts wide and nested; this is one of tables")
    meta = getattr(opened, "_meta", opened)
    if not isinstance(meta, pd.DataFrame):
        raise UserError(f"structures takes a dataframe or the path of a dataset (got {shown(data)})")
    columns = [name for name in meta.columns if isinstance(name, str) and _place(name) is not None]
    if not columns:
        raise UserError(
            "the dataframe has no columns with structures: request them with "
            "required=required_for('structure'), and keep their names (no keys_to_filter)"
        )
    columns += [MORE] if MORE in meta.columns else []
    convert = partial(
        _structures,
        to=to,
        which=which,
        results=results,
        raises=on_missing == "raise",
        factors=_factors(meta.attrs.get("units", {})),
        texts=meta.attrs.get("json", ()),
    )
    if meta is opened:
        return convert(opened[columns])
    return opened[columns].map_partitions(convert, meta=pd.Series([], meta.index[:0], object, "structure"))


def _structures(
    frame: pd.DataFrame,
    *,
    to: str,
    which: str,
    results: bool,
    raises: bool,
    factors: Mapping[tuple[str, ...], float],
    texts: Iterable[tuple[str, ...]],
) -> pd.Series:
    convert = library(to)
    made = pd.Series(index=frame.index, dtype=object, name="structure")
    for row, (entry_id, archive) in enumerate(_archives(decoded(frame, texts), factors)):
        try:
            made.iat[row] = convert(find(archive, which, entry_id, results), entry_id)
        except StructureError:
            if raises:
                raise
            made.iat[row] = None
    return made


def _archives(
    frame: pd.DataFrame, factors: Mapping[tuple[str, ...], float]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entry of each row, with what the archive has about structures."""
    more: list[Any] = frame[MORE].tolist() if MORE in frame.columns else [None] * len(frame)
    cells = [(place, frame[name].tolist()) for name in frame.columns if (place := _place(name))]
    for row, key in enumerate(frame.index):
        archive: dict[str, Any] = {}
        values = [(place, column[row]) for place, column in cells]
        others: dict[str, Any] = more[row] if isinstance(more[row], dict) else {}
        values += [(place, value) for name, value in others.items() if (place := _place(name))]
        for place, value in values:
            if not (value is None or value is pd.NA or (isinstance(value, float) and value != value)):
                _put(archive, place, _plain(value, factors, _without_numbers(place)))
        yield str(key), archive


def _place(name: str) -> tuple[str, ...] | None:
    """The keys of a column without slices; None if structures are not read from it."""
    keys = tuple(map(paths.without_slice, paths.split(name)))
    plain = _without_numbers(keys)
    return keys if any(plain[: len(read)] == read[: len(plain)] for read in _READ) else None


def _without_numbers(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if not key.isdecimal())


def _factors(units: Mapping[str, str]) -> dict[tuple[str, ...], float]:
    """The factors of values that are in other units than the server's (`units=`), by their keys."""
    factors = {}
    for name, unit in units.items():
        place = _place(name)
        if place and place[-1] in _CONVERTED and unit not in _SENT:
            registry = unit_registry()
            factors[_without_numbers(place)] = float(registry.Quantity(1.0, unit).to_base_units().magnitude)
    return factors


def _plain(value: Any, factors: Mapping[tuple[str, ...], float], keys: tuple[str, ...]) -> Any:
    """A cell as JSON, in the units of the server."""
    if isinstance(value, dict):
        return {key: _plain(one, factors, (*keys, key)) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one, factors, keys) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    factor = factors.get(keys)
    return value if factor is None or not isinstance(value, int | float) else value * factor


def _put(found: Any, keys: tuple[str, ...], value: Any, above: tuple[str, ...] = ()) -> Any:
    """Put a cell into an archive. A number in the keys is a place in a list; without one the cell of a
    repeating section is a list of its values.
    """
    if above in _LISTS:
        numbered = bool(keys) and keys[0].isdecimal()
        cells = {int(keys[0]): value} if numbered else dict(enumerate(value))
        items = found if isinstance(found, list) else []
        items.extend({} for _ in range(1 + max(cells, default=-1) - len(items)))
        for number, cell in cells.items():
            if cell is not None:
                items[number] = _put_below(items[number], keys[numbered:], cell, above)
        return items
    return _put_below(found, keys, value, above)


def _put_below(found: Any, keys: tuple[str, ...], value: Any, above: tuple[str, ...]) -> Any:
    if keys:
        section = found if isinstance(found, dict) else {}
        section[keys[0]] = _put(section.get(keys[0]), keys[1:], value, (*above, keys[0]))
        return section
    if isinstance(found, dict) and isinstance(value, dict):
        for key, one in value.items():
            if one is not None:
                found[key] = _put(found.get(key), (), one, (*above, key))
        return found
    return value
