"""Definitions of the archive itself and of its section `metadata`."""

TABLE = """
[nomad.datamodel.datamodel]
EntryArchive(nomad.datamodel.data.ArchiveSection): All that is known of an entry.
  entry_id: str: Tells the entry from all others.
  processing_logs: any[0..]: What the processing had to say.
  run: many runschema.run.Run: One call of a program each.
  workflow2: one nomad.datamodel.metainfo.workflow.Workflow or simulationworkflowschema.general.SimulationWorkflow \
or simulationworkflowschema.general.SerialSimulation or simulationworkflowschema.single_point.SinglePoint \
or simulationworkflowschema.geometry_optimization.GeometryOptimization \
or simulationworkflowschema.molecular_dynamics.MolecularDynamics: What was done, step by step.
  metadata: one EntryMetadata: Whose the entry is, and where it comes from.
  results: one nomad.datamodel.results.Results: The entry in short, for searches.
EntryMetadata: Whose the entry is, and where it comes from.
  upload_id: str: The upload that the entry is part of.
  upload_name: str: What the user calls the upload.
  upload_create_time: datetime: When the upload was begun.
  description: str: More about the upload.
  entry_id: str: Tells the entry from all others.
  entry_name: str: A short name for people.
  entry_type: str: What kind of entry it is.
  calc_id: str: The older name of `entry_id`.
  entry_hash: str: A checksum of the raw files.
  entry_create_time: datetime: When the entry was made.
  last_edit_time: datetime: When a user last changed the metadata.
  parser_name: str: Who read the files last.
  mainfile: str: Path of the main file in the upload.
  mainfile_key: str: Tells entries of one main file apart.
  text_search_contents: str[*]: Texts that free searches look into.
  files: str[0..]: Paths of the files that belong to the entry.
  external_id: str: The id that another database has for it.
  published: bool = false: Whether the upload is closed and published.
  publish_time: datetime: When it was published.
  with_embargo: bool = false: Whether it is published and not yet open.
  embargo_length: int32: For how many months it is not.
  license: str = "CC BY 4.0": What may be done with the data.
  processed: bool = false: Whether the last processing went well.
  last_processing_time: datetime: When that was.
  processing_errors: str[*]: What went wrong in it.
  nomad_version: str: Which NOMAD did it.
  nomad_commit: str: The commit of that NOMAD.
  comment: str: What a user says of the entry.
  references: str[0..]: Addresses of papers and pages about it.
  origin: str: Who or what it comes from.
  main_author: UserReference nomad.datamodel.data.User: Who uploaded it.
  coauthors: AuthorReference[0..] nomad.datamodel.data.Author = []: Who else made it.
  reviewers: UserReference[0..] nomad.datamodel.data.User = []: Who may read it before it is published.
  authors: AuthorReference[0..] nomad.datamodel.data.Author: All who made it.
  writers: UserReference[0..] nomad.datamodel.data.User: Who may change it.
  writer_groups: str[0..]: Groups that may change it.
  viewers: UserReference[0..] nomad.datamodel.data.User: Who may read it.
  viewer_groups: str[0..]: Groups that may read it.
  datasets: DatasetReference[0..] Dataset = []: Sets of entries that users put it in.
  readonly: bool = false: Whether nothing of it can be changed.
  domain: enum dft | ems | nexus: The field of science.
  n_quantities: int32 = 0: How many names are in `quantities`.
  quantities: str[0..]: Names of all that the archive holds.
  sections: str[*]: Definitions of the sections that it holds.
  optimade: one nomad.datamodel.optimade.OptimadeEntry: The material in OPTIMADE's words.
  section_defs: many CompatibleSectionDef: Definitions that its sections comply with.
CompatibleSectionDef: A definition that a section of the entry complies with.
  definition_qualified_name: str: Its name.
  definition_id: str: Its hash.
  used_directly: bool: Whether a section names it, and not one that inherits from it.

[nomad.datamodel.data]
ArchiveSection: What most sections inherit from.
EntryData(ArchiveSection): What an entry can be about.

[nomad.datamodel.optimade]
OptimadeEntry: The material in OPTIMADE's words.
  elements: enum[1..] @symbols | X: Elements, by symbol.
  nelements: int32 = 0: How many elements.
  elements_ratios: float64[*]: The share of each element.
  chemical_formula_descriptive: str: The formula as the authors write it.
  chemical_formula_reduced: str: The smallest formula.
  chemical_formula_hill: str: The formula in Hill's order.
  chemical_formula_anonymous: str: The smallest formula, letters instead of elements.
  dimension_types: int32[3] = [0, 0, 0]: 1 for each direction that is periodic.
  nperiodic_dimensions: int32: How many directions are.
  lattice_vectors: float64[3,3] in angstrom: The cell.
  cartesian_site_positions: float64[*,3] in angstrom: Where the atoms are.
  nsites: int32 = 0: How many there are.
  species_at_sites: str[*]: What each of them is.
  structure_features: enum[1..] assemblies | disorder | unknown_positions = []: What is special about it.
  species: many Species: What may be at a site.
Species: What may be at a site.
  name: str: What to call it.
  chemical_symbols: enum[1..] @symbols | X | vacancy | x: Elements, by symbol.
  concentration: float64[1..]: How much of each.
"""  # noqa: E501
