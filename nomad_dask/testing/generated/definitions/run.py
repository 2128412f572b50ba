"""Definitions of section `run`: program, methods, systems, calculations."""

TABLE = """
[runschema.run]
Run(nomad.datamodel.data.ArchiveSection): One call of a program.
  calculation_file_uri: str: Where the files are.
  clean_end: bool: Whether the program came to its end.
  raw_id: str: An id that the files hold.
  starting_run_ref: Reference Run: The run that this one goes on from.
  n_references: int32: How many runs it refers to.
  runs_ref: Reference[*] Run: Those runs.
  program: one Program: The program.
  time_run: one TimeRun: When it ran.
  method: many runschema.method.Method: Theory and parameters.
  system: many runschema.system.System: Atoms.
  calculation: many runschema.calculation.Calculation: What was computed for one system by one method each.
Program: A program.
  name: str: Its name.
  version: str: Its version.
  version_internal: str: What its authors call the version.
  compilation_datetime: float64 in second: When it was compiled, since 1970.
  compilation_host: str: On which machine.
TimeRun: When a program ran.
  date_start: float64 in second: When it began, since 1970.
  date_end: float64 in second: When it ended, since 1970.

[runschema.method]
Method(nomad.datamodel.data.ArchiveSection): Theory and parameters.
  stress_tensor_method: str: How stress was computed.
  starting_method_ref: Reference Method: The method that this one goes on from.
  dft: one DFT: Density functional theory.
  k_mesh: one KMesh: Points in reciprocal space.
  electronic: one Electronic: How electrons are treated.
  scf: one Scf: How it goes on until it is consistent with itself.
  electrons_representation: many BasisSetContainer: What wave functions are made of.
BasisSetContainer: What wave functions are made of.
  type: enum (L)APW | (L)APW+lo | APW | APW+lo | LAPW | LAPW+lo | atom-centered orbitals \
| gaussians + plane waves | plane waves | real-space grid | support functions | unavailable | not processed \
= "unavailable": The kind of functions.
  scope: str[*]: Of what.
DFT: Density functional theory.
  self_interaction_correction_method: str: How an electron's action on itself is mended.
  xc_functional: one XCFunctional: Exchange and correlation.
Model: A model by its name.
  name: str: Its name.
  reference: str: Where it is described.
XCFunctional(Model): A functional of exchange and correlation.
  exchange: many Functional: Parts for exchange.
  correlation: many Functional: Parts for correlation.
  hybrid: many Functional: Parts that mix in exact exchange.
Functional: A part of a functional.
  name: str: Its name, as libxc has it.
  parameters: any: Numbers in it.
  weight: float64: Its share.
Electronic: How electrons are treated.
  spin_target: int32: The multiplicity that was aimed at.
  charge: float64 in coulomb: The charge of the system.
  n_bands: int32: How many bands.
  n_electrons: float64: How many electrons.
  n_spin_channels: int32: 2 if spins are distinguished.
  method: str: The theory.
  smearing: one Smearing: How occupations are spread.
Smearing: How occupations are spread.
  kind: str: By which function.
  width: float64: How far.
Mesh: Points of a grid.
  dimensionality: int32: How many directions it has.
  n_points: int32: How many points.
  grid: int32[*]: How many in each direction.
  multiplicities: float64[*]: How many equal points each stands for.
  weights: float64[*]: What each counts.
KMesh(Mesh): Points in reciprocal space.
  offset: float64[3]: Where the grid begins.
  all_points: float64[*,3]: Each point.
Scf: How it goes on until it is consistent with itself.
  n_max_iteration: int32: How many steps at most.
  threshold_energy_change: float64 in joule: Below which change of the energy it ends.
  threshold_density_change: float64: Below which change of the density it ends.
  minimization_algorithm: str: How it gets there.

[runschema.system]
System(nomad.datamodel.data.ArchiveSection): Atoms, and what they make.
  name: str: What to call it.
  type: str: What kind of structure it is.
  is_representative: bool: Whether it stands for all systems of the entry.
  configuration_raw_gid: str: A checksum of the atoms.
  sub_system_ref: Reference System: The system that it has its atoms from.
  chemical_composition: str: The formula, atom by atom.
  chemical_composition_hill: str: The formula in Hill's order.
  chemical_composition_reduced: str: The smallest formula.
  chemical_composition_anonymous: str: The smallest formula, letters instead of elements.
  atoms: one Atoms: The atoms.
  symmetry: many Symmetry: The symmetry.
  descriptors: one Descriptors: Numbers for machine learning.
Atoms: Atoms in a cell.
  n_atoms: int32: How many.
  atomic_numbers: int32[*]: Their atomic numbers.
  species: int32[*]: The same, for those that are no plain atoms too.
  labels: str[*]: Their symbols.
  concentrations: float64[*]: How many atoms are at each site.
  positions: float64[*,3] in meter: Where they are.
  velocities: float64[*,3] in meter / second: Where they go.
  lattice_vectors: float64[3,3] in meter: The cell.
  lattice_vectors_reciprocal: float64[3,3] in 1 / meter: The reciprocal cell.
  periodic: bool[3]: In which directions it goes on.
  equivalent_atoms: int32[*]: For each the first that the symmetry makes it of.
  wyckoff_letters: str[*]: Letters of their positions.
Symmetry: The symmetry of a system.
  bravais_lattice: str: The lattice.
  crystal_system: str: The crystal system.
  hall_number: int32: Number of the setting.
  hall_symbol: str: Symbol of the setting.
  international_short_symbol: str: Symbol of the space group.
  point_group: str: The point group.
  space_group_number: int32: Number of the space group.
  symmetry_method: str: What found it.
  choice: str: The choice of axes.
  origin_shift: float64[3]: From the cell's origin to that of the setting.
  transformation_matrix: float64[3,3]: From the cell's axes to those of the setting.
  system_original: many Atoms: The atoms as they are.
  system_primitive: many Atoms: The smallest cell.
  system_std: many Atoms: The conventional cell.
Descriptors: Numbers for machine learning.
  soap: one SOAP: Neighbourhoods, smoothly.
SOAP: How neighbourhoods are described.
  n_max: int32: How many radial functions.
  l_max: int32: The highest degree of spherical harmonics.
  r_cut: float64: How far it looks.
  atom_sigma: float64: How wide atoms are.
  radial_basis: str: Which radial functions.

[runschema.calculation]
BaseCalculation(nomad.datamodel.data.ArchiveSection): What calculations and their steps have in common.
  system_ref: Reference runschema.system.System: The system.
  method_ref: Reference runschema.method.Method: The method.
  starting_calculation_ref: Reference Calculation: The calculation that this one goes on from.
  calculations_ref: Reference[*] Calculation: Others that it needs.
  calculation_converged: bool: Whether it reached what it aimed at.
  spin_S2: float64: The square of the spin.
  time_calculation: float64 in second: How long it took.
  time_physical: float64 in second: The time at its end.
  volume: float64 in meter ** 3: The volume.
  density: float64 in kilogram / meter ** 3: The density.
  pressure: float64 in pascal: The pressure.
  temperature: float64 in kelvin: The temperature.
  step: int32: Its place in a row.
  energy: one Energy: Energies.
  forces: one Forces: Forces on atoms.
  dos_electronic: many Dos: Densities of states of electrons.
  eigenvalues: many BandEnergies: Energies of single states.
Calculation(BaseCalculation): What was computed for one system by one method.
  n_scf_iterations: int32: How many steps.
  scf_iteration: many ScfIteration: The steps.
ScfIteration(BaseCalculation): One step on the way to consistency.
Atomic: Values of individual atoms.
  kind: str: What kind it is of.
  n_orbitals: int32: How many orbitals.
  n_atoms: int32: How many atoms.
  n_spin_channels: int32: 2 if spins are distinguished.
AtomicValues(nomad.datamodel.data.ArchiveSection): Values of one atom, orbital or spin.
  spin: int32: The spin.
  atom_label: str: The atom's symbol.
  atom_index: int32: The atom's place.
Energy: Energies of one calculation.
  enthalpy: float64 in joule: The enthalpy.
  entropy: float64 in joule / kelvin: The entropy.
  internal: float64 in joule: The internal energy.
  change: float64 in joule: The change since the last step.
  fermi: float64 in joule: The Fermi energy.
  highest_occupied: float64 in joule: The highest state with an electron.
  lowest_unoccupied: float64 in joule: The lowest state without.
  total: one EnergyEntry: The total energy.
  free: one EnergyEntry: The free energy.
  total_t0: one EnergyEntry: The total energy at zero temperature.
  zero_point: one EnergyEntry: The energy of vibrations at zero temperature.
EnergyEntry(Atomic): One energy, whole and in parts.
  value: float64 in joule: The energy.
  value_per_atom: float64 in joule: The energy by atom.
  values_per_atom: float64[*] in joule: The energy of each atom.
  kinetic: float64 in joule: The part of motion.
  potential: float64 in joule: The part of position.
Forces: Forces on atoms.
  total: one ForcesEntry: All together.
  free: one ForcesEntry: Those of the free energy.
ForcesEntry(Atomic): Forces of one kind.
  value: float64[*,3] in newton: The force on each atom.
  value_raw: float64[*,3] in newton: The same before it is made to sum up to zero.
Dos(Atomic): A density of states.
  n_energies: int32: How many energies.
  energies: float64[*] in joule: The energies.
  energy_fermi: float64 in joule: The Fermi energy.
  spin_channel: int32: The spin that it is of.
  total: many DosValues: All states together.
DosValues(AtomicValues): Values of a density of states.
  value: float64[*] in 1 / joule: How many states by energy.
  value_integrated: float64[*]: How many up to each energy.
BandEnergies: Energies of single states.
  n_bands: int32: How many bands.
  n_kpoints: int32: How many points in reciprocal space.
  kpoints: float64[*,3]: Those points.
  kpoints_weights: float64[*]: What each counts.
  occupations: float64[*,*,*]: How many electrons, by spin, point and band.
  energies: float64[*,*,*] in joule: Energies, by spin, point and band.
"""
