"""SPEC, "Structures": dataframes of each layout give the structures that the archives have."""

import numpy as np
import pandas as pd
import pytest

from nomad_dask import ArchiveQuery, required_for, structures
from nomad_dask.errors import StructureError, UserError
from nomad_dask.testing import serve

REQUIRED = required_for("structure", "energy", "forces")
POSITIONS = "results.material.topology.0.atoms_ref.positions"


@pytest.fixture(scope="module")
def url():
    with serve(n_entries=80, seed=3) as url:
        yield url


def query(url, required=REQUIRED):
    return ArchiveQuery(url=url, required=required, results_max=None, progress=False)


@pytest.fixture(scope="module")
def expected(url):
    """The structure of each entry by `Archive.to_ase`, None where it has none."""
    found = {}
    for archive in query(url).download(80):
        try:
            found[archive.entry_id] = archive.to_ase(results=True)
        except StructureError:
            found[archive.entry_id] = None
    assert sum(one is not None for one in found.values()) > 40
    assert sum(one is not None and one.calc is not None for one in found.values()) > 20
    return found


def assert_same(made, expected):
    assert made.name == "structure" and set(made.index) >= set(expected)
    for entry_id, one in made.items():
        other = expected.get(entry_id)
        assert (one is None) == (other is None), entry_id
        if one is not None:
            assert one == other  # symbols, positions, cell and periodic directions
            ours, theirs = (atoms.calc.results if atoms.calc else {} for atoms in (one, other))
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("layout", ["wide", "nested"])
@pytest.mark.parametrize("backend", ["pyarrow", "numpy"])
def test_lazy_dataframes(url, expected, layout, backend):
    lazy = query(url).to_dask_dataframe(layout=layout, npartitions=3, dtype_backend=backend)
    made = structures(lazy, results=True)
    assert made.divisions == lazy.divisions
    assert_same(made.compute(), expected)


def test_whole_sections_and_slices(url, expected):
    """`run.system` as one nested column, and a slice of it."""
    for required in ({"run": {"system": "*"}}, {"run[0]": {"system[-1]": {"atoms": "*"}}}):
        made = structures(query(url, required).to_dask_dataframe(layout="nested", npartitions=2)).compute()
        both = [(made[entry_id], one) for entry_id, one in expected.items() if one is not None]
        assert all(ours == theirs for ours, theirs in both)


def test_dataframes_of_downloads(url, expected):
    done = query(url)
    done.download(80)
    frame = done.entries_to_dataframe()
    assert_same(structures(frame, results=True), expected)
    in_angstrom = frame.assign(**{POSITIONS: _scaled(frame[POSITIONS])})
    in_angstrom.attrs = frame.attrs | {"units": {**frame.attrs["units"], POSITIONS: "angstrom"}}
    for one, other in zip(structures(in_angstrom), structures(frame), strict=True):
        assert one is None or np.allclose(one.positions, other.positions, rtol=1e-12)
    to_more = frame.drop(columns=POSITIONS).assign(_more=[_text(cell) for cell in frame[POSITIONS]])
    to_more.attrs["json"] = (("_more",),)
    assert_same(structures(to_more, results=True), expected)
    without = next(entry_id for entry_id, one in expected.items() if one is None)
    with pytest.raises(StructureError, match=without):
        structures(frame.loc[[without]], on_missing="raise")


def _scaled(cells):
    scaled = [None if _null(cell) else (np.array([*map(list, cell)]) * 1e10).tolist() for cell in cells]
    return pd.Series(scaled, cells.index, dtype=cells.dtype)


def _null(cell):
    return cell is None or cell is pd.NA


def _text(cell):
    return None if _null(cell) else f'{{"{POSITIONS}": {[[*row] for row in cell]}}}'


def test_what_cannot_be_converted_is_refused(url):
    lazy = query(url, {"results": {"material": {"elements": "*"}}}).to_dask_dataframe(npartitions=1)
    with pytest.raises(UserError, match=r"required_for\('structure'\)"):
        structures(lazy)
    with pytest.raises(UserError, match="wide and nested"):
        structures(query(url).to_dask_dataframe(layout="tables", npartitions=1))
    with pytest.raises(UserError, match="to must be one of 'ase', 'pymatgen'"):
        structures(lazy, to="openbabel")
    with pytest.raises(UserError, match="on_missing"):
        structures(lazy, on_missing="drop")
    with pytest.raises(UserError, match="takes a dataframe"):
        structures(7)
