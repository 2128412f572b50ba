"""Quantities of NOMAD's search documents: names for queries and `include`, and how they are indexed.

The table is that of NOMAD 2.0, with the schemas of `run` and `workflow2`: `tests/peers/quantities.py` prints
it from nomad-lab's `entry_type.quantities`, and a test of `make test-peers` compares them. It does not
contain suggestions (`...__suggestion`) and quantities of plugin schemas (`data.name#plugin.Schema`), which
are recognised by their form.

A section is `[name]`, followed by `nested` if a single occurrence must match all conditions on it. Below it
are the kinds with the names of the quantities (see `kinds`). `text`, `phrase`, `words` and `path` are indexed
word by word.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_TABLE = """
[]
boolean: processed published readonly with_embargo
date: entry_create_time last_processing_time publish_time upload_create_time
integer: n_quantities
keyword: calc_id description domain entry_id entry_name entry_type external_db external_id files mainfile
  mainfile_key nomad_commit nomad_distro_commit_url nomad_version origin parser_name pid process_status
  processing_errors quantities raw_id references sections upload_id upload_name viewer_groups
  writer_groups
section: authors datasets main_author viewers writers
text: comment
words: text_search_contents
[authors]
keyword: name
[authors.name]
text: text
[datasets]
date: dataset_create_time dataset_modified_time
keyword: dataset_id dataset_name dataset_type doi
[entry_name]
phrase: prefix
[entry_references] nested
keyword: source_name source_path source_quantity target_entry_id target_mainfile target_name target_path
  target_reference target_upload_id
[files]
path: path
[main_author]
keyword: name user_id
[main_author.name]
text: text
[mainfile]
path: path
[mainfile_key]
path: path
[optimade]
integer: nelements nperiodic_dimensions nsites
keyword: chemical_formula_anonymous chemical_formula_descriptive chemical_formula_hill
  chemical_formula_reduced elements structure_features
nested: elements_ratios
[quantities]
path: path
[results.eln]
keyword: instruments lab_ids methods sections tags
text: descriptions names
[results.material]
integer: n_elements
keyword: building_block chemical_formula_anonymous chemical_formula_descriptive chemical_formula_hill
  chemical_formula_iupac chemical_formula_reduced compound_type dimensionality elements
  elements_exclusive functional_type material_id material_name structural_type
text: chemical_formula_reduced_fragments
[results.material.elemental_composition] nested
double: atomic_fraction mass_fraction
keyword: element
[results.material.symmetry]
integer: hall_number space_group_number
keyword: bravais_lattice crystal_system hall_symbol point_group prototype_aflow_id prototype_formula
  space_group_symbol structure_name strukturbericht_designation
[results.material.topology] nested
double: accessible_surface_area accessible_volume atomic_fraction largest_cavity_diameter
  largest_included_sphere_along_free_sphere_path mass_fraction pore_limiting_diameter void_fraction
integer: n_atoms n_channels n_elements sbu_coordination_number
keyword: building_block chemical_formula_anonymous chemical_formula_descriptive chemical_formula_hill
  chemical_formula_iupac chemical_formula_reduced child_systems compound_type description dimensionality
  elements elements_exclusive functional_type label material_id material_name method parent_system
  sbu_type structural_type system_id
text: chemical_formula_reduced_fragments
[results.material.topology.active_orbitals]
double: j_quantum_number mj_quantum_number n_electrons_excited occupation
integer: degeneracy n_quantum_number
keyword: l_quantum_symbol ml_quantum_symbol ms_quantum_symbol
[results.material.topology.cell]
double: a alpha atomic_density b beta c gamma mass_density volume
[results.material.topology.elemental_composition] nested
double: atomic_fraction mass_fraction
keyword: element
[results.material.topology.symmetry]
integer: hall_number space_group_number
keyword: bravais_lattice crystal_system hall_symbol point_group prototype_label_aflow prototype_name
  space_group_symbol strukturbericht_designation
[results.material.topology.system_relation]
keyword: type
[results.method]
keyword: method_id method_name workflow_name
[results.method.measurement.xrd]
keyword: diffraction_method_name
[results.method.simulation]
keyword: program_name program_version program_version_internal
[results.method.simulation.bse]
keyword: basis_set_type gw_type solver starting_point_names starting_point_type type
[results.method.simulation.dft]
boolean: spin_polarized
double: exact_exchange_mixing_factor scf_threshold_energy_change smearing_width
keyword: basis_set_type core_electron_treatment jacobs_ladder relativity_method smearing_kind
  van_der_Waals_method xc_functional_names xc_functional_type
[results.method.simulation.dft.hubbard_kanamori_model] nested
double: j u u_effective
[results.method.simulation.dmft]
double: inverse_temperature jh u
keyword: analytical_continuation impurity_solver_type magnetic_state
[results.method.simulation.gw]
keyword: basis_set_type starting_point_names starting_point_type type
[results.method.simulation.precision]
double: apw_cutoff k_line_density planewave_cutoff
keyword: basis_set native_tier
[results.method.simulation.tb]
keyword: localization_type type
[results.properties]
integer: n_calculations
keyword: available_properties
[results.properties.catalytic.catalyst]
double: surface_area
keyword: catalyst_name catalyst_type characterization_methods preparation_method support
[results.properties.catalytic.reaction]
keyword: name type
[results.properties.catalytic.reaction.products] nested
double: faradaic_efficiency mole_fraction_in mole_fraction_out selectivity space_time_yield
keyword: name
[results.properties.catalytic.reaction.rates] nested
double: reaction_rate specific_mass_rate specific_surface_area_rate turnover_frequency
keyword: name
[results.properties.catalytic.reaction.reactants] nested
double: conversion mole_fraction_in mole_fraction_out
keyword: name
[results.properties.catalytic.reaction.reaction_conditions]
double: current_density electrical_potential flow_rate gas_hourly_space_velocity pressure temperature
  time_on_stream weight_hourly_space_velocity
[results.properties.catalytic.reaction.reaction_mechanism]
double: activation_energy reaction_enthalpy
keyword: final_states initial_states
[results.properties.dynamical.mean_squared_displacement] nested
keyword: label type
[results.properties.dynamical.mean_squared_displacement.provenance]
keyword: label
[results.properties.dynamical.mean_squared_displacement.provenance.molecular_dynamics]
double: time_step
keyword: ensemble_type
[results.properties.electronic.band_gap] nested
double: value
integer: index
keyword: type
[results.properties.electronic.band_gap.provenance]
keyword: label
[results.properties.electronic.band_structure_electronic]
boolean: spin_polarized
[results.properties.electronic.band_structure_electronic.band_gap] nested
double: value
integer: index
keyword: type
[results.properties.electronic.band_structure_electronic.band_gap.provenance]
keyword: label
[results.properties.electronic.dos_electronic]
boolean: spin_polarized
[results.properties.electronic.dos_electronic.band_gap] nested
double: value
integer: index
keyword: type
[results.properties.electronic.dos_electronic.band_gap.provenance]
keyword: label
[results.properties.electronic.dos_electronic_new]
boolean: has_projected spin_polarized
[results.properties.electronic.dos_electronic_new.data.band_gap] nested
double: value
integer: index
keyword: type
[results.properties.electronic.dos_electronic_new.data.band_gap.provenance]
keyword: label
[results.properties.geometry_optimization]
double: convergence_tolerance_energy_difference convergence_tolerance_force_maximum
  final_displacement_maximum final_energy_difference final_force_maximum
[results.properties.magnetic.magnetic_susceptibility]
keyword: source
[results.properties.magnetic.spin_spin_coupling]
keyword: source
[results.properties.mechanical.bulk_modulus] nested
double: value
keyword: type
[results.properties.mechanical.energy_volume_curve]
keyword: type
[results.properties.mechanical.shear_modulus] nested
double: value
keyword: type
[results.properties.optoelectronic.solar_cell]
double: device_area efficiency fill_factor illumination_intensity open_circuit_voltage
  short_circuit_current_density
keyword: absorber absorber_fabrication back_contact device_architecture device_stack
  electron_transport_layer hole_transport_layer substrate
[results.properties.spectroscopic.spectra] nested
keyword: label type
[results.properties.spectroscopic.spectra.provenance]
keyword: label
[results.properties.spectroscopic.spectra.provenance.eels]
double: max_energy min_energy resolution
keyword: detector_type
[results.properties.spectroscopic.spectra.provenance.electronic_structure]
keyword: label
[results.properties.structural.diffraction_pattern] nested
double: incident_beam_wavelength
[results.properties.structural.radial_distribution_function] nested
keyword: label type
[results.properties.structural.radial_distribution_function.provenance]
keyword: label
[results.properties.structural.radial_distribution_function.provenance.molecular_dynamics]
double: time_step
keyword: ensemble_type
[results.properties.structural.radius_of_gyration] nested
keyword: kind label
[results.properties.structural.radius_of_gyration.provenance]
keyword: label
[results.properties.structural.radius_of_gyration.provenance.molecular_dynamics]
double: time_step
keyword: ensemble_type
[results.properties.structures.structure_conventional]
double: cell_volume
integer: n_sites nperiodic_dimensions
[results.properties.structures.structure_conventional.lattice_parameters]
double: a alpha b beta c gamma
[results.properties.structures.structure_original]
double: cell_volume
integer: n_sites nperiodic_dimensions
[results.properties.structures.structure_original.lattice_parameters]
double: a alpha b beta c gamma
[results.properties.structures.structure_primitive]
double: cell_volume
integer: n_sites nperiodic_dimensions
[results.properties.structures.structure_primitive.lattice_parameters]
double: a alpha b beta c gamma
[results.properties.thermodynamic.trajectory] nested
keyword: available_properties
[results.properties.thermodynamic.trajectory.provenance]
keyword: label
[results.properties.thermodynamic.trajectory.provenance.molecular_dynamics]
double: time_step
keyword: ensemble_type
[search_quantities] nested
boolean: bool_value
date: datetime_value
double: float_value
integer: int_value
keyword: definition id path_archive
object: segments
text: str_value
[search_quantities.str_value]
keyword: keyword
[section_defs] nested
boolean: used_directly
keyword: definition_id definition_qualified_name
[viewers]
keyword: name user_id
[viewers.name]
text: text
[writers]
keyword: name user_id
[writers.name]
text: text
"""


def _read(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, kind and name of each quantity."""
    for part in re.split(r"^\[", table, flags=re.MULTILINE)[1:]:
        head, _, below = part.partition("\n")
        section = head.partition("]")[0]
        for kind, names in re.findall(r"^(\w+):((?:.|\n )*)", below, flags=re.MULTILINE):
            for name in names.split():
                yield section, kind, f"{section}.{name}" if section else name


QUANTITIES: Mapping[str, str] = {name: kind for _, kind, name in _read(_TABLE)}
"""The kind of each quantity, by its dotted name."""
NESTED = frozenset(re.findall(r"^\[(.+)\] nested$", _TABLE, flags=re.MULTILINE))
"""Sections of which a single occurrence must match all conditions."""
_SCHEMA = "#"
"""The separator of path and schema in the name of a plugin's quantity: `data.name#plugin.Schema`."""
_TYPES = {"int": "integer", "float": "double", "str": "keyword", "bool": "boolean", "datetime": "date"}
"""Kinds by the type that such a name may end with: `data.amount#plugin.Schema#float`."""
ANY = "any"
"""The kind of a quantity whose type is unknown."""


@dataclass(frozen=True)
class Quantities:
    """The quantities that the search of an archive knows."""

    kinds: Mapping[str, str] = field(default_factory=lambda: QUANTITIES)

    @classmethod
    def of(cls, more: Iterable[str]) -> "Quantities":
        """Return the quantities of NOMAD, and more names."""
        return cls({**dict.fromkeys(more, ANY), **QUANTITIES})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.kind(name) is not None

    def kind(self, name: str) -> str | None:
        """Return the kind of a quantity; None if the name is unknown.

        A plugin's quantity is recognised by the form of its name, whether or not any entry has it.
        """
        if _SCHEMA not in name:
            return self.kinds.get(name)
        path, schema, *kind = name.split(_SCHEMA)
        known = path.startswith("data.") and schema and len(kind) < 2
        return _TYPES.get(kind[0] if kind else "", ANY) if known else None


def field_of(name: str) -> str:
    """Return the path of a quantity's values in documents: `entry_name` for its second index
    `entry_name.prefix`."""
    above = name.rpartition(".")[0]
    return above if QUANTITIES.get(above, "section") != "section" else name


def plugin_path(name: str) -> tuple[str, str] | None:
    """Return path and schema of a plugin's quantity; None for other quantities."""
    path, separator, schema = name.partition(_SCHEMA)
    return (path, schema.partition(_SCHEMA)[0]) if separator else None
