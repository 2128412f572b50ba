"""Definitions of section `workflow2`: workflows and the sections of each kind of them."""

TABLE = """
[nomad.datamodel.metainfo.workflow]
Link(nomad.datamodel.data.ArchiveSection): Something that goes into a task or comes out of it.
  name: str: What to call it.
  section: Reference nomad.datamodel.data.ArchiveSection: What it is.
Task(nomad.datamodel.data.ArchiveSection): One thing that was done.
  name: str: What to call it.
  inputs: many Link: What it needs.
  outputs: many Link: What comes out of it.
Workflow(Task, nomad.datamodel.data.EntryData): Things that were done one after another.
  tasks: many Task or Workflow or simulationworkflowschema.general.SimulationWorkflow \
or simulationworkflowschema.single_point.SinglePoint \
or simulationworkflowschema.geometry_optimization.GeometryOptimization \
or simulationworkflowschema.molecular_dynamics.MolecularDynamics: Those things.

[simulationworkflowschema.general]
SimulationWorkflow(nomad.datamodel.metainfo.workflow.Workflow): A workflow of computations.
  method: one SimulationWorkflowMethod or simulationworkflowschema.single_point.SinglePointMethod \
or simulationworkflowschema.geometry_optimization.GeometryOptimizationMethod \
or simulationworkflowschema.molecular_dynamics.MolecularDynamicsMethod: How it was done.
  results: one SimulationWorkflowResults or simulationworkflowschema.single_point.SinglePointResults \
or simulationworkflowschema.geometry_optimization.GeometryOptimizationResults \
or simulationworkflowschema.thermodynamics.ThermodynamicsResults \
or simulationworkflowschema.molecular_dynamics.MolecularDynamicsResults: What came out.
SerialSimulation(SimulationWorkflow): A workflow in which each step needs the one before it.
SimulationWorkflowMethod(nomad.datamodel.data.ArchiveSection): How a workflow was done.
SimulationWorkflowResults(nomad.datamodel.data.ArchiveSection): What came out of a workflow.
  n_calculations: int32: How many calculations.
  calculation_result_ref: Reference runschema.calculation.Calculation: The one with the result.
  calculations_ref: Reference[*] runschema.calculation.Calculation: All of them.

[simulationworkflowschema.single_point]
SinglePoint(simulationworkflowschema.general.SimulationWorkflow): One calculation of one system.
  method: one SinglePointMethod: How it was done.
  results: one SinglePointResults: What came out.
SinglePointMethod(simulationworkflowschema.general.SimulationWorkflowMethod): How one calculation was done.
  method: str: The theory.
SinglePointResults(simulationworkflowschema.general.SimulationWorkflowResults): What came out of one calculation.
  n_scf_steps: int32: How many steps it took.
  final_scf_energy_difference: float64 in joule: The last change of the energy.
  is_converged: bool: Whether it reached what it aimed at.

[simulationworkflowschema.geometry_optimization]
GeometryOptimization(simulationworkflowschema.general.SerialSimulation): Atoms moved to where they rest.
  method: one GeometryOptimizationMethod: How it was done.
  results: one GeometryOptimizationResults: What came out.
GeometryOptimizationMethod(simulationworkflowschema.general.SimulationWorkflowMethod): How atoms were moved.
  type: enum static | atomic | cell_shape | cell_volume: What was free to move.
  method: str: The algorithm.
  convergence_tolerance_energy_difference: float64 in joule: The change of energy that was aimed at.
  convergence_tolerance_force_maximum: float64 in newton: The force that was aimed at.
  optimization_steps_maximum: int32: How many steps at most.
GeometryOptimizationResults(simulationworkflowschema.general.SimulationWorkflowResults): Where atoms rest.
  optimization_steps: int32: How many steps it took.
  energies: float64[*] in joule: The energy of each step.
  final_energy_difference: float64 in joule: The last change of the energy.
  final_force_maximum: float64 in newton: The largest force at the end.
  is_converged_geometry: bool: Whether it reached what it aimed at.

[simulationworkflowschema.molecular_dynamics]
MolecularDynamics(simulationworkflowschema.general.SerialSimulation): Atoms that move as time goes.
  method: one MolecularDynamicsMethod: How it was done.
  results: one MolecularDynamicsResults: What came out.
MolecularDynamicsMethod(simulationworkflowschema.general.SimulationWorkflowMethod): How motion was computed.
  thermodynamic_ensemble: enum NVE | NVT | NPT | NPH: What was held constant.
  integration_timestep: float64 in second: The time from step to step.
  n_steps: int32: How many steps.
  coordinate_save_frequency: int32: After how many steps positions are kept.
MolecularDynamicsResults(simulationworkflowschema.thermodynamics.ThermodynamicsResults): What came of motion.
  finished_normally: bool: Whether it came to its end.
  n_steps: int32: How many steps.
  trajectory: Reference[*] runschema.system.System: The systems.

[simulationworkflowschema.thermodynamics]
ThermodynamicsResults(simulationworkflowschema.general.SimulationWorkflowResults): Heat and work.
  n_values: int32: How many values.
  temperature: float64[*] in kelvin: Temperatures.
  pressure: float64[*] in pascal: The pressure at each.
  entropy: float64[*] in joule / kelvin: The entropy at each.
"""  # noqa: E501
