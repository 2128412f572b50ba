"""Definitions of section `results`."""

_FORMULAS = """\
  elements: enum[0..] @symbols | X = []: Elements, by symbol.
  n_elements: int32 = 0: How many elements.
  elements_exclusive: str: The elements in one text, to search for them and no others.
  chemical_formula_descriptive: str: The formula as people write it.
  chemical_formula_reduced: str: The smallest formula.
  chemical_formula_hill: str: The formula in Hill's order.
  chemical_formula_iupac: str: The formula in IUPAC's order.
  chemical_formula_anonymous: str: The smallest formula, letters instead of elements.
  chemical_formula_reduced_fragments: str[*]: Elements with their numbers, one by one.
  elemental_composition: many ElementalComposition: The share of each element.
"""

_XC = "LDA | GGA | meta-GGA | hybrid | hyper-GGA | unavailable | not processed"

TABLE = f"""
[nomad.datamodel.results]
Results: The entry in short, for searches.
  material: one Material: What it is about.
  method: one Method: How it was computed.
  properties: one Properties: What was found.
Material: A material.
  material_id: str: The same for entries about the same material.
  material_name: str: A name that people use.
  structural_type: enum 1D | 2D | atom | bulk | molecule / cluster | surface | unavailable | not processed \
= "not processed": What kind of structure it has.
  dimensionality: enum 0D | 1D | 2D | 3D: In how many directions it goes on.
{_FORMULAS}\
  symmetry: one Symmetry: Its symmetry.
  topology: many System: The system and its parts.
ElementalComposition: The share of one element.
  element: enum @symbols: Its symbol.
  atomic_fraction: float64: Its share of the atoms.
  mass_fraction: float64: Its share of the mass.
  mass: float64 in kilogram: The mass of one atom.
Symmetry: The symmetry of a crystal.
  bravais_lattice: enum aP | cF | cI | cP | hP | hR | mP | mS | oF | oI | oP | oS | tI | tP: The lattice.
  crystal_system: enum cubic | hexagonal | monoclinic | orthorhombic | tetragonal | triclinic | trigonal: \
The crystal system.
  hall_number: int32: Number of the setting.
  hall_symbol: str: Symbol of the setting.
  point_group: str: The point group.
  space_group_number: int32: Number of the space group.
  space_group_symbol: str: Symbol of the space group.
  prototype_formula: str: Formula of the prototype.
  strukturbericht_designation: str: Name of the structure in the Strukturbericht.
System: The system, or a part of it.
  system_id: str: Its path in the results.
  label: str: What to call it.
  method: enum parser | user | matid | porosity: What found it.
  description: str: What it is.
  material_id: str: The material that it is of.
  structural_type: enum 1D | 2D | active orbitals | atom | bulk | group | molecule | molecule / cluster | monomer \
| surface | unavailable | not processed: What kind of structure it has.
  dimensionality: enum 0D | 1D | 2D | 3D: In how many directions it goes on.
{_FORMULAS}\
  parent_system: str: What it is a part of.
  child_systems: str[*]: Its parts.
  atomic_fraction: float64: Its share of the parent's atoms.
  mass_fraction: float64: Its share of the parent's mass.
  atoms_ref: Reference runschema.system.Atoms: Its atoms.
  n_atoms: int32: How many atoms.
  indices: int64[*,*]: Which of the parent's atoms are its.
  void_fraction: float64: The empty share of its volume.
  system_relation: one Relation: How it belongs to the parent.
  atoms: one runschema.system.Atoms: Its atoms, where no other section has them.
  cell: one Cell: Its cell.
  symmetry: one SymmetryNew: Its symmetry.
SymmetryNew: The symmetry of a conventional cell.
  bravais_lattice: enum aP | cF | cI | cP | hP | hR | mP | mS | oF | oI | oP | oS | tI | tP: The lattice.
  crystal_system: enum cubic | hexagonal | monoclinic | orthorhombic | tetragonal | triclinic | trigonal: \
The crystal system.
  hall_number: int32: Number of the setting.
  hall_symbol: str: Symbol of the setting.
  point_group: str: The point group.
  space_group_number: int32: Number of the space group.
  space_group_symbol: str: Symbol of the space group.
  symmetry_method: str: What found it.
  origin_shift: float64[3]: From the cell's origin to that of the setting.
  transformation_matrix: float64[3,3]: From the cell's axes to those of the setting.
  wyckoff_sets: many WyckoffSet: Atoms that the symmetry makes of one.
WyckoffSet: Atoms that the symmetry makes of one.
  wyckoff_letter: str: Letter of their position.
  indices: int32[1..]: Which atoms they are.
  element: str: What they are.
  x: float64: Where the first is, along the first axis.
  y: float64: Along the second axis.
  z: float64: Along the third axis.
Relation: How one system belongs to another.
  type: enum root | subsystem | group | primitive_cell | conventional_cell: In which way.
Cell: Edges and angles of a cell.
  a: float64 in meter: Length of the first edge.
  b: float64 in meter: Length of the second edge.
  c: float64 in meter: Length of the third edge.
  alpha: float64 in radian: Angle between the second and the third edge.
  beta: float64 in radian: Angle between the first and the third edge.
  gamma: float64 in radian: Angle between the first and the second edge.
  volume: float64 in meter ** 3: Its volume.
  atomic_density: float64 in 1 / meter ** 3: Atoms by volume.
  mass_density: float64 in kilogram / meter ** 3: Mass by volume.
Method: How something was computed or measured.
  method_id: str: The same for equal methods.
  method_name: enum BSE | CoreHole | DFT | DMFT | EELS | GW | NMR | TB | XPS | XRD | kMC | quantum cms \
| unavailable: The method.
  workflow_name: str: What was done with it.
  simulation: one Simulation: How it was computed.
Simulation: How something was computed.
  program_name: str = "not processed": The program.
  program_version: str = "not processed": Its version.
  program_version_internal: str = "not processed": What its authors call the version.
  dft: one DFT: How density functional theory was used.
  precision: one Precision: How fine it was.
DFT: How density functional theory was used.
  basis_set_type: enum (L)APW+lo | gaussians | numeric AOs | plane waves | psinc functions | real-space grid \
| unavailable | not processed = "unavailable": What the wave functions are made of.
  core_electron_treatment: enum full all electron | all electron frozen core | pseudopotential | unavailable \
= "unavailable": What was done with the core electrons.
  spin_polarized: bool: True if spins were distinguished.
  scf_threshold_energy_change: float64 in joule: Below which change of the energy it had converged.
  jacobs_ladder: enum {_XC} = "not processed": The functional's rung on Jacob's ladder.
  xc_functional_type: enum {_XC} = "not processed": The same in other words.
  xc_functional_names: str[*] = []: Names of the functionals, as libxc has them.
Precision: How fine a computation was.
  k_line_density: float64 in meter: Points by length of the reciprocal cell.
  basis_set: enum (L)APW | (L)APW+lo | APW | APW+lo | LAPW | LAPW+lo | atom-centered orbitals \
| gaussians + plane waves | plane waves | real-space grid | support functions | unavailable | not processed \
= "unavailable": What the wave functions are made of.
  planewave_cutoff: float64 in joule: Energy of the highest plane wave.
Properties: What was found.
  n_calculations: int32: How many calculations there are.
  available_properties: str[0..] = []: Names of the properties that there are.
  structures: one Structures: The atoms, in several representations.
  electronic: one ElectronicProperties: Of the electrons.
  optoelectronic: one OptoelectronicProperties: Of electrons and light.
  geometry_optimization: one GeometryOptimization: How the geometry was optimised.
ElectronicProperties: Properties of the electrons.
  band_gap: many BandGap: Gaps of the bands.
  band_structure_electronic: many BandStructureElectronic: Bands.
  dos_electronic_new: many DOSElectronicNew: Densities of states.
BandStructure: Bands.
  label: str: What to call them.
  segment: Reference[*] runschema.calculation.BandEnergies: Energies along the parts of the path.
  path_standard: str: The convention for the path.
BandStructureElectronic(BandStructure): Bands of electrons.
  spin_polarized: bool: True if spins are distinguished.
  energy_fermi: float64 in joule: The Fermi energy.
  band_gap: many BandGapDeprecated: Gaps, one for each spin.
BandGapDeprecated(nomad.datamodel.metainfo.common.PropertySection): A gap between bands.
  index: int32: The spin that it is of.
  value: float64 in joule: How wide it is.
  type: enum direct | indirect: Whether it is between states of one momentum.
  energy_highest_occupied: float64 in joule: Where it begins.
  energy_lowest_unoccupied: float64 in joule: Where it ends.
BandGap(BandGapDeprecated): A gap between bands.
GeometryOptimization: How the geometry was optimised.
  trajectory: Reference[0..] runschema.calculation.Calculation: The steps.
  system_optimized: Reference runschema.system.System: What was reached.
  energies: QuantityReference simulationworkflowschema.geometry_optimization.GeometryOptimizationResults: \
The energy of each step.
  type: str: What was free to move.
  convergence_tolerance_energy_difference: float64 in joule: The change of energy that was aimed at.
  convergence_tolerance_force_maximum: float64 in newton: The force that was aimed at.
  final_force_maximum: float64 in newton: The largest force at the end.
  final_energy_difference: float64 in joule: The last change of energy.
  final_displacement_maximum: float64 in meter: The last change of a position.
Structures: The atoms, in several representations.
  structure_original: one Structure: As they were computed.
  structure_conventional: one Structure: In the conventional cell.
  structure_primitive: one Structure: In the smallest cell.
Structure: Atoms at the sites of a cell.
  dimension_types: int32[3] = [0, 0, 0]: 1 for directions in which it goes on.
  nperiodic_dimensions: int32: How many of them there are.
  lattice_vectors: float64[3,3] in meter: The cell.
  cartesian_site_positions: float64[*,3] in meter: Where the sites are.
  n_sites: int32 = 0: How many sites.
  species_at_sites: str[*]: What is at each site, by name.
  cell_volume: float64 in meter ** 3: Volume of the cell.
  atomic_density: float64 in 1 / meter ** 3: Atoms by volume.
  mass_density: float64 in kilogram / meter ** 3: Mass by volume.
  species: many nomad.datamodel.optimade.Species: What may be at a site.
DOSElectronicNew: Densities of states of electrons.
  label: str: The method.
  spin_polarized: bool: True if spins are distinguished.
  has_projected: bool: True if there are parts of atoms or orbitals.
  data: many DOSNew: One for each spin.
DOSNew: A density of states.
  energies: QuantityReference runschema.calculation.Dos: The energies.
  total: Reference runschema.calculation.DosValues: All states together.
  spin_channel: int32: The spin that it is of.
  energy_fermi: float64 in joule: The Fermi energy.
  energy_ref: float64 in joule: The energy that is shown as zero.
OptoelectronicProperties: Properties of electrons and light.
  solar_cell: one SolarCell: A solar cell.
SolarCell: A solar cell.
  efficiency: float64: Its efficiency in percent.
  fill_factor: float64: Its fill factor, from 0 to 1.
  open_circuit_voltage: float64 in volt: The voltage without a current.
  short_circuit_current_density: float64 in ampere / meter ** 2: The current without a voltage.
  illumination_intensity: float64 in watt / meter ** 2: How bright the light was.
  device_area: float64 in meter ** 2: The area in the light.
  device_architecture: str: The order of layers, such as pin.
  device_stack: str[0..]: All layers.
  absorber: str[0..]: Layers that absorb light.
  absorber_fabrication: str[0..]: How they were made.
  electron_transport_layer: str[0..]: Layers for electrons.
  hole_transport_layer: str[0..]: Layers for holes.
  substrate: str[0..]: What it is on.
  back_contact: str[0..]: The contact at the back.

[nomad.datamodel.metainfo.common]
PropertySection: What sections of properties inherit from.
"""  # noqa: E501
