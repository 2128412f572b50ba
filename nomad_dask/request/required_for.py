"""`required_for`: ready `required` trees for what is requested most."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from nomad_dask.errors import UserError
from nomad_dask.text import hint, near, shown

Tree = dict[str, Any]

_ATOMS = dict.fromkeys(
    ("labels", "species", "concentrations", "positions", "lattice_vectors", "periodic"), "*"
)
_GAP = dict.fromkeys(("index", "value", "type", "energy_highest_occupied", "energy_lowest_unoccupied"), "*")
_SITES = dict.fromkeys(
    ("species", "species_at_sites", "cartesian_site_positions", "lattice_vectors", "dimension_types"), "*"
)


def material() -> Tree:
    """Elements, formulas and symmetry.

    Columns `results.material.elements`, `.chemical_formula_reduced`, `.chemical_formula_hill`,
    `.chemical_formula_anonymous`, `.material_id`, `.structural_type`, `.dimensionality` and, for crystals,
    `.symmetry.crystal_system`, `.symmetry.space_group_number` and `.symmetry.space_group_symbol`.
    """
    names = ("elements", "material_id", "structural_type", "dimensionality")
    formulas = ("chemical_formula_reduced", "chemical_formula_hill", "chemical_formula_anonymous")
    symmetry = dict.fromkeys(("crystal_system", "space_group_number", "space_group_symbol"), "*")
    return {"results": {"material": dict.fromkeys((*names, *formulas), "*") | {"symmetry": symmetry}}}


def structure() -> Tree:
    """The representative structure, for `Archive.to_ase` and `structures`.

    Columns `results.material.topology.0.atoms_ref.labels`, `.species`, `.positions`, `.lattice_vectors`,
    `.periodic` and `.concentrations`, and `results.properties.structures.structure_original` with the same
    as in OPTIMADE (`species_at_sites`, `cartesian_site_positions`, ...). Entries have one of them or both.
    """
    original = {"structures": {"structure_original": dict(_SITES)}}
    topology = {"topology[0]": {"label": "*", "atoms_ref": dict(_ATOMS)}}
    return {"results": {"properties": original, "material": topology}}


def system() -> Tree:
    """All systems of `run`, also of trajectories, in entries without a topology too (large).

    Columns `run.0.system.0.atoms.labels`, `.species`, `.positions`, `.lattice_vectors`, `.periodic` and
    `.concentrations`, and `run.0.system.0.is_representative`, for each system.
    """
    return {"run": {"system": {"is_representative": "*", "atoms": dict(_ATOMS)}}}


def energy() -> Tree:
    """The total energy of the result of the workflow.

    Columns `workflow2.results.calculation_result_ref.energy.total.value` and, where there is one,
    `workflow2.results.calculation_result_ref.energy.free.value`, in joule.
    """
    value = {"value": "*"}
    return {
        "workflow2": {
            "results": {"calculation_result_ref": {"energy": {"total": value, "free": dict(value)}}}
        }
    }


def forces() -> Tree:
    """The forces of the result of the workflow.

    Column `workflow2.results.calculation_result_ref.forces.total.value`, in newton: a list of three numbers
    for each atom.
    """
    return {"workflow2": {"results": {"calculation_result_ref": {"forces": {"total": {"value": "*"}}}}}}


def band_gap() -> Tree:
    """Band gaps, one for each spin channel and method.

    Columns `results.properties.electronic.band_gap.0.value`, `.energy_highest_occupied` and
    `.energy_lowest_unoccupied` in joule, `.type` and `.index`; the same of band structures below
    `results.properties.electronic.band_structure_electronic.0.band_gap.0`.
    """
    structures = {"band_gap": dict(_GAP)}
    return {
        "results": {
            "properties": {"electronic": {"band_gap": dict(_GAP), "band_structure_electronic": structures}}
        }
    }


def dos() -> Tree:
    """Electronic densities of states.

    Columns `results.properties.electronic.dos_electronic_new.0.data.0.energies` in joule and
    `.total.value` in 1/joule (lists of one length), `.energy_fermi`, `.energy_ref` and `.spin_channel`; one
    number for each spin channel. The server follows the references to the energies and values in `run`.
    """
    names = ("energies", "energy_fermi", "energy_ref", "spin_channel")
    data = dict.fromkeys(names, "*") | {"total": {"value": "*"}}
    channels = {"spin_polarized": "*", "data": data}
    return {"results": {"properties": {"electronic": {"dos_electronic_new": channels}}}}


def solar_cell() -> Tree:
    """Solar cells: figures of merit and layers.

    Columns `results.properties.optoelectronic.solar_cell.efficiency` in percent, `.fill_factor`,
    `.open_circuit_voltage` in volt, `.short_circuit_current_density`, `.illumination_intensity`,
    `.device_area`, `.device_architecture`, and lists of names: `.device_stack`, `.absorber`,
    `.electron_transport_layer`, `.hole_transport_layer`, `.substrate`, `.back_contact`.
    """
    return {"results": {"properties": {"optoelectronic": {"solar_cell": "*"}}}}


_RECIPES: dict[str, Callable[[], Tree]] = {
    one.__name__: one for one in (material, structure, system, energy, forces, band_gap, dos, solar_cell)
}


def required_for(*names: str) -> Tree:
    """Return a `required` tree for what is requested most, as a plain dict.

    The names are `"material"`, `"structure"`, `"system"`, `"energy"`, `"forces"`, `"band_gap"`, `"dos"` and
    `"solar_cell"`. ``help("nomad_dask.request.required_for")`` lists the columns that each gives. Add to the
    dict what else you want.

    Returns
    -------
    dict
        The trees of all names, merged; a new dict with each call.

    Raises
    ------
    UserError
        A name is unknown, or there is none.

    Examples
    --------
    >>> required_for("forces")
    {'workflow2': {'results': {'calculation_result_ref': {'forces': {'total': {'value': '*'}}}}}}
    >>> sorted(required_for("energy", "solar_cell"))
    ['results', 'workflow2']
    """
    if not names:
        raise UserError(f"required_for needs a name: {', '.join(_RECIPES)}")
    merged: Tree = {}
    for name in names:
        if not isinstance(name, str) or name not in _RECIPES:
            known = f"there are {', '.join(_RECIPES)}"
            said = hint(name, near(name, _RECIPES), known) if isinstance(name, str) else f"; {known}"
            raise UserError(f"required_for: unknown name {shown(name)}{said}")
        _merge(merged, _RECIPES[name]())
    return deepcopy(merged)


def _merge(into: Tree, tree: Tree) -> None:
    for key, below in tree.items():
        found = into.setdefault(key, below)
        if isinstance(found, dict) and isinstance(below, dict):
            _merge(found, below)
