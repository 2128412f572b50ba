"""Templates of generated archives and of their search documents, with placeholders where entries differ.

A placeholder in a text is `<name>`; one for a number is a number that occurs nowhere else (`slot`), so a
template has the types of a real archive. `TOKEN` finds both in rendered JSON, whole or in part.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import Any, Literal

import orjson

Json = dict[str, Any]
Kind = Literal["mixed", "small", "large"]
Access = Literal["public", "coauthored", "embargo", "staging", "shared"]

TOKEN = re.compile(rb"<([a-z_]+\d*)>|7\.77(\d{4})7e-301")
TOTAL, PER_ATOM, FREE = 0, 100, 200
"""First slots of the energies of the calculations, one each."""
ATOMIC_NUMBER, MASS, MASS_FRACTION = 300, 310, 320
"""First slots of what depends on the elements, one each."""
FERMI, EDGE, VOLUME, ATOMIC_DENSITY, MASS_DENSITY, GAP, DIFFERENCE = range(330, 337)

WITHIN = "reference within the upload"
OUTSIDE = "reference to another upload"
PRIVATE = "reference to a private entry"
ABSENT = "reference to an entry that is not there"
UNRESOLVABLE = "unresolvable reference"
REMOTE = "reference to another installation"
NO_WORKFLOW = "no workflow2"
UNUSUAL = "unusual characters"
NOT_FINITE = "NaN and infinity"
EMPTY = "empty archive"
FAILED = "failed processing"
NO_ARCHIVE = "not in the archive file"

_CALCULATION = "#/run/0/calculation/0"
_RESULT_REFS = {
    WITHIN: f"../upload/archive/<target_entry>{_CALCULATION}",
    OUTSIDE: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    PRIVATE: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    ABSENT: f"../uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    REMOTE: f"https://elsewhere.example/nomad/api/uploads/<target_upload>/archive/<target_entry>{_CALCULATION}",
    UNRESOLVABLE: "#/run/0/calculation/4711",
}

_PROGRAMS = (
    # name, share, versions, parser, basis set, core electrons, main file
    (
        "VASP",
        40,
        ("5.3.2", "5.4.4", "6.3.0"),
        "parsers/vasp",
        "plane waves",
        "pseudopotential",
        "vasprun.xml",
    ),
    (
        "FHI-aims",
        12,
        ("081213", "210716_3"),
        "fhiaims",
        "atom-centered orbitals",
        "full all electron",
        "aims.out",
    ),
    ("Quantum ESPRESSO", 10, ("6.1", "7.2"), "quantumespresso", "plane waves", "pseudopotential", "pw.out"),
    ("exciting", 8, ("CARBON", "NITROGEN-14"), "exciting", "(L)APW+lo", "full all electron", "INFO.OUT"),
    ("ABINIT", 7, ("8.10.3", "9.6.2"), "abinit", "plane waves", "pseudopotential", "abinit.out"),
    ("GPAW", 5, ("1.5.2", "22.8.0"), "gpaw", "real-space grid", "pseudopotential", "relax.gpw"),
    ("CASTEP", 5, ("7.2", "20.11"), "castep", "plane waves", "pseudopotential", "geom.castep"),
    ("WIEN2k", 5, ("14.2", "23.1"), "wien2k", "(L)APW+lo", "full all electron", "case.scf"),
    ("CP2K", 4, ("2.6.2", "2023.1"), "cp2k", "gaussians + plane waves", "pseudopotential", "cp2k.out"),
    ("Gaussian", 4, ("09 revision d.01", "16"), "gaussian", "gaussians", "full all electron", "job.log"),
)
_FUNCTIONALS = (
    ("GGA", ("GGA_C_PBE", "GGA_X_PBE")),
    ("GGA", ("GGA_C_PBE_SOL", "GGA_X_PBE_SOL")),
    ("LDA", ("LDA_C_PW", "LDA_X_PZ")),
    ("hybrid", ("HYB_GGA_XC_HSE06",)),
)
_GROUPS = (
    # symbol, number, Hall number, Hall symbol, Bravais lattice, crystal system, point group
    ("Fd-3m", 227, 525, "F 4d 2 3 -1d", "cF", "cubic", "m-3m"),
    ("Fm-3m", 225, 523, "-F 4 2 3", "cF", "cubic", "m-3m"),
    ("Pm-3m", 221, 517, "-P 4 2 3", "cP", "cubic", "m-3m"),
    ("P6_3/mmc", 194, 488, "-P 6c 2c", "hP", "hexagonal", "6/mmm"),
    ("R-3m", 166, 458, '-R 3 2"', "hR", "trigonal", "-3m"),
    ("P4/mmm", 123, 400, "-P 4 2", "tP", "tetragonal", "4/mmm"),
    ("Pnma", 62, 292, "-P 2ac 2n", "oP", "orthorhombic", "mmm"),
    ("P-1", 2, 2, "-P 1", "aP", "triclinic", "-1"),
)
_WORKFLOWS = {
    "SinglePoint": "simulationworkflowschema.single_point.SinglePoint",
    "GeometryOptimization": "simulationworkflowschema.geometry_optimization.GeometryOptimization",
    "MolecularDynamics": "simulationworkflowschema.molecular_dynamics.MolecularDynamics",
}
_SECTION_NAMES = [
    "nomad.datamodel.datamodel.EntryArchive",
    "nomad.datamodel.datamodel.EntryMetadata",
    "nomad.datamodel.results.Results",
    "nomad.datamodel.results.Material",
    "nomad.datamodel.results.Method",
    "nomad.datamodel.results.Properties",
    "nomad.datamodel.optimade.OptimadeEntry",
    "runschema.run.Run",
    "runschema.run.Program",
    "runschema.method.Method",
    "runschema.method.DFT",
    "runschema.system.System",
    "runschema.system.Atoms",
    "runschema.calculation.Calculation",
    "runschema.calculation.Energy",
    "runschema.calculation.EnergyEntry",
    "nomad.datamodel.metainfo.workflow.Link",
]


def slot(k: int) -> float:
    """The number that stands for number k of an entry, and is written `7.77kkkk7e-301`."""
    return float(f"7.77{k:04d}7e-301")


@dataclass(frozen=True, slots=True)
class Profile:
    """What is decided of a template before it is built; cheap."""

    size: int
    """Bytes that the whole archive should have."""
    program: tuple[str, int, tuple[str, ...], str, str, str, str]
    version: str
    workflow: str
    n_calculations: int
    counts: tuple[int, ...]
    """Atoms of each element in the formula."""
    units: int
    """Formulas in the cell."""
    group: tuple[str, int, int, str, str, str, str]
    functional: tuple[str, tuple[str, ...]]
    hash: str
    """`#` where references within the archive begin with it; the older ones begin with `/`."""
    seed: str

    @property
    def parser_name(self) -> str:
        """The parser's name, of the older or the newer kind."""
        name = self.program[3]
        return name if "/" in name else f"electronicparsers:{name}_parser_entry_point"

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return sum(self.counts) * self.units

    @property
    def detail(self) -> int:
        """0, 1 or 2: how much an archive of this size says beside the necessary."""
        return (self.size >= 7_000) + (self.size >= 18_000)


def profile(seed: int, kind: Kind, j: int, of: int) -> Profile:
    """The j-th of so many profiles. Together they have the sizes of `kind`, whatever the seed."""
    name = f"{seed}/{kind}/{j}"
    rng = Random(name)
    size = _size(kind, (j * 0.6180339887498949 + 0.5 / of) % 1.0 if of > 1 else 0.5)
    n_elements = rng.choices((1, 2, 3, 4, 5), (25, 35, 28, 9, 3))[0]
    counts = (
        tuple(rng.choices((1, 2, 3), (60, 25, 15))[0] for _ in range(n_elements)) if n_elements > 1 else (1,)
    )
    units = rng.choice((1, 2, 4)) if sum(counts) < 5 and size > 7_000 else 1
    atoms = sum(counts) * units
    most = (size - 6_000) // (1_100 + 130 * atoms) if size >= 7_000 else (size - 2_600) // (600 + 90 * atoms)
    workflow = rng.choices(list(_WORKFLOWS), (55, 35, 10))[0] if most > 1 else "SinglePoint"
    wanted = {
        "SinglePoint": 1,
        "GeometryOptimization": 2 + int(rng.expovariate(0.15)),
        "MolecularDynamics": 50,
    }
    program = rng.choices(_PROGRAMS, [entry[1] for entry in _PROGRAMS])[0]
    return Profile(
        size=size,
        program=program,
        version=rng.choice(program[2]),
        workflow=workflow,
        n_calculations=max(1, min(wanted[workflow], most, 50)),
        counts=counts,
        units=units,
        group=rng.choice(_GROUPS),
        functional=rng.choices(_FUNCTIONALS, (60, 15, 15, 10))[0],
        hash=rng.choice(("#", "")),
        seed=name,
    )


def _size(kind: Kind, quantile: float) -> int:
    if kind != "mixed":
        return round((5_000 if kind == "small" else 100_000) * (0.85 + 0.3 * quantile))
    z = NormalDist().inv_cdf(min(max(quantile, 0.002), 0.998))
    return round(32_000 * 2.718281828 ** (z * (1.13 if z > 0 else 0.95)))


def archive_template(p: Profile, access: Access, feature: str | None) -> Json:
    """The archive of all entries with this profile, access and feature. Milliseconds for the largest."""
    if feature in (EMPTY, NO_ARCHIVE):
        return {}
    rng = Random(f"{p.seed}/numbers")
    archive: Json = {
        "metadata": _metadata(p, access, feature),
        "results": results(p, feature),
        "run": [_run(p, rng)],
    }
    if feature != NO_WORKFLOW:
        archive["workflow2"] = _workflow(p, feature)
    run = archive["run"][0]
    if feature == NOT_FINITE:
        for calculation in run["calculation"]:
            calculation["energy"]["total"]["value"] = None
    if feature == UNUSUAL:
        run["program"]["version"] += " β-Version – „中文“ 🧬"
        run["method"][0]["x_ams_run_config"] = {
            "Use Symmetry": "yes",
            "Calculate grad. of basis": 1,
            "a.b": [0.5],
        }
    _grow(archive, p, rng)
    return archive


def document_template(p: Profile, access: Access, feature: str | None) -> Json:
    """The search document of the same entries: metadata with people in full, and the results."""
    document = {
        k: v for k, v in _metadata(p, access, feature).items() if k not in ("entry_hash", "embargo_length")
    }
    author = {"name": "<author_name>", "user_id": "<author_id>"}
    coauthor = {"name": "<coauthor_name>", "user_id": "<coauthor_id>"}
    people = [author, coauthor] if document.pop("coauthors") else [author]
    names = [f"{name}.{below}" for name in ("results", "run") for below in _TOLD[name]] + [
        "metadata",
        "results",
        "run",
    ]
    names += (
        ["workflow2", *(f"workflow2.{below}" for below in _TOLD["workflow2"])]
        if feature != NO_WORKFLOW
        else []
    )
    return document | {
        "calc_id": "<entry_id>",
        "origin": "<author_name>",
        "main_author": author,
        "authors": people,
        "writers": people,
        "viewers": people,
        "writer_groups": [],
        "viewer_groups": [],
        "datasets": [],
        "readonly": False,
        "quantities": ["", *sorted(names)] if feature not in (EMPTY, NO_ARCHIVE) else [],
        "optimade": _optimade(p),
        "results": _searched(results(p, feature)),
    }


_TOLD = {
    "results": ("material", "material.elements", "method", "method.simulation", "properties"),
    "run": (
        "program",
        "program.name",
        "calculation",
        "calculation.energy",
        "calculation.energy.total",
        "system",
    ),
    "workflow2": ("results", "results.calculation_result_ref", "results.calculations_ref"),
}
"""What the `quantities` of a document name, of the many that the archive's own name."""


def _metadata(p: Profile, access: Access, feature: str | None) -> Json:
    unusual, published = feature == UNUSUAL, access not in ("staging", "shared")
    folder = "Läufe" if unusual else "calc"
    kind = f"{p.program[0]} {'DFT ' if p.workflow == 'SinglePoint' else ''}{p.workflow}"
    metadata: Json = {
        "upload_id": "<upload_id>",
        "upload_name": "<upload_name>",
        "upload_create_time": "<upload_time>",
        "entry_id": "<entry_id>",
        "entry_name": f"<hill> {p.program[0]} {p.workflow} simulation",
        "entry_type": kind,
        "entry_hash": "<entry_hash>",
        "entry_create_time": "<entry_time>",
        "parser_name": p.parser_name,
        "mainfile": f"{folder}/<serial>/{p.program[6]}",
        "published": published,
        **({"publish_time": "<publish_time>"} if published else {}),
        "with_embargo": access == "embargo",
        "embargo_length": 36 if access == "embargo" else 0,
        "license": "CC BY 4.0",
        "processed": feature != FAILED,
        "last_processing_time": "<processing_time>",
        "processing_errors": ["unsupported something"] if feature == FAILED else [],
        "nomad_version": "2.0.0",
        "nomad_commit": "",
        "main_author": "<author_id>",
        "coauthors": ["<coauthor_id>"] if access in ("coauthored", "shared") else [],
        "domain": "dft",
    }
    if unusual:
        metadata["comment"] = 'Übergangszustand, Ångström-Skala 🧪\u2028反応経路の計算\t"&"'
        metadata["references"] = ['https://example.org/ü?q=%20"', "doi:10.0/…"]
    if p.detail:
        metadata["files"] = [metadata["mainfile"], f"{folder}/<serial>/POTCAR.stripped"]
        metadata["text_search_contents"] = ["dft", metadata["entry_name"]]
    return metadata


def _formula(p: Profile) -> str:
    return "".join(f"<s{k}>{n if n > 1 else ''}" for k, n in enumerate(p.counts))


def _anonymous(p: Profile) -> str:
    pairs = zip("ABCDE", sorted(p.counts, reverse=True), strict=False)
    return "".join(f"{letter}{n if n > 1 else ''}" for letter, n in pairs)


def _elements(p: Profile) -> list[str]:
    return [f"<s{k}>" for k in range(len(p.counts))]


def results(p: Profile, feature: str | None = None) -> Json:
    """Section `results`."""
    atoms = sum(p.counts)
    formulas = {
        "elements": _elements(p),
        "n_elements": len(p.counts),
        "chemical_formula_descriptive": _formula(p),
        "chemical_formula_reduced": _formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_iupac": "<iupac>",
        "chemical_formula_anonymous": _anonymous(p),
    }
    composition = [
        {
            "element": f"<s{k}>",
            "mass": slot(MASS + k),
            "atomic_fraction": n / atoms,
            "mass_fraction": slot(MASS_FRACTION + k),
        }
        for k, n in enumerate(p.counts)
    ]
    right, last = 1.5707963267948966, f"{p.hash}/run/0/system/{p.n_calculations - 1}"
    original = {
        "system_id": "results/material/topology/0",
        "label": "original",
        "method": "parser",
        "description": "A representative system chosen from the original simulation.",
        "dimensionality": "3D",
        **formulas,
        "atoms_ref": f"{last}/atoms",
        "n_atoms": p.n_atoms,
        "elemental_composition": composition,
        "system_relation": {"type": "root"},
        "cell": dict(zip("abc", [slot(EDGE)] * 3, strict=True))
        | {"alpha": right, "beta": right, "gamma": right, "volume": slot(VOLUME)}
        | {"atomic_density": slot(ATOMIC_DENSITY), "mass_density": slot(MASS_DENSITY)},
    }
    part = {
        **{k: v for k, v in original.items() if k != "cell"},
        "system_id": "results/material/topology/1",
        "label": "subsystem",
        "method": "matid",
        "description": "Automatically detected subsystem.",
        "structural_type": "bulk",
        "parent_system": "results/material/topology/0",
        "atomic_fraction": 1.0,
        "mass_fraction": 1.0,
        "indices": [list(range(p.n_atoms))],
        "system_relation": {"type": "subsystem"},
    }
    material = {
        "material_id": "<material_id>",
        "structural_type": "bulk",
        "dimensionality": "3D",
        **formulas,
        "chemical_formula_reduced_fragments": [f"<s{k}>{n if n > 1 else ''}" for k, n in enumerate(p.counts)],
        "elemental_composition": composition,
        "symmetry": _symmetry(p) | {"space_group_symbol": p.group[0]},
        "topology": [original | {"child_systems": ["results/material/topology/1"]}, part]
        if p.detail > 1
        else [original],
    }
    if not p.detail:
        for name in ("topology", "elemental_composition", "chemical_formula_reduced_fragments"):
            del material[name]
    if p.size < 3_500:
        del material["symmetry"]
    return {"material": material, "method": _results_method(p), "properties": _properties(p, last, feature)}


def _symmetry(p: Profile) -> Json:
    names = (
        "space_group_number",
        "hall_number",
        "hall_symbol",
        "bravais_lattice",
        "crystal_system",
        "point_group",
    )
    return dict(zip(names, p.group[1:], strict=True))


def _results_method(p: Profile) -> Json:
    family, names = p.functional
    dft = {
        "basis_set_type": p.program[4],
        "core_electron_treatment": p.program[5],
        "jacobs_ladder": family,
        "xc_functional_type": family,
        "xc_functional_names": list(names),
    }
    simulation: Json = {"program_name": p.program[0], "program_version": p.version, "dft": dft}
    if p.detail:
        simulation["precision"] = {"basis_set": p.program[4], "k_line_density": 1.995574700145356e-10}
    return {"method_name": "DFT", "workflow_name": p.workflow, "simulation": simulation}


def _properties(p: Profile, system: str, feature: str | None) -> Json:
    properties: Json = {"n_calculations": p.n_calculations}
    if p.workflow == "SinglePoint" and p.detail:
        gap = {"index": 0, "value": slot(GAP), "type": "indirect"}
        properties["electronic"] = {
            "band_structure_electronic": [{"spin_polarized": False, "band_gap": [gap]}]
        }
    if p.workflow == "GeometryOptimization" and feature != NO_WORKFLOW:
        properties["geometry_optimization"] = {
            "trajectory": [f"{p.hash}/run/0/calculation/{k}" for k in range(p.n_calculations)],
            "system_optimized": system,
            "energies": f"{p.hash}/workflow2/results/energies",
            "type": "atomic",
            "final_energy_difference": slot(DIFFERENCE),
        }
    return properties


def _searched(part: Any) -> Any:
    """What the search index holds of `results`: no references, no masses."""
    left_out = ("atoms_ref", "mass", "trajectory", "system_optimized", "energies", "indices")
    if isinstance(part, dict):
        kept = {name: _searched(below) for name, below in part.items() if name not in left_out}
        return kept | {"elements_exclusive": " ".join(kept["elements"])} if "elements" in kept else kept
    return [_searched(below) for below in part] if isinstance(part, list) else part


def _optimade(p: Profile) -> Json:
    return {
        "elements": _elements(p),
        "nelements": len(p.counts),
        "elements_ratios": [n / sum(p.counts) for n in p.counts],
        "chemical_formula_descriptive": "<hill>",
        "chemical_formula_reduced": _formula(p),
        "chemical_formula_hill": "<hill>",
        "chemical_formula_anonymous": _anonymous(p),
        "nperiodic_dimensions": 3,
        "nsites": p.n_atoms,
        "structure_features": [],
    }


def _run(p: Profile, rng: Random) -> Json:
    names = p.functional[1]
    method: Json = {
        "dft": {
            "xc_functional": {
                "name": "+".join(names),
                "exchange": [{"name": name} for name in names if "_X" in name],
                "correlation": [{"name": name} for name in names if "_C_" in name],
            }
        },
        "electronic": {
            "method": "DFT",
            "n_spin_channels": 1,
            "smearing": {"kind": "gaussian", "width": 4.3e-21},
        },
    }
    if p.detail:
        method["k_mesh"] = {"dimensionality": 3, "n_points": 64, "grid": [4, 4, 4], "offset": [0.0, 0.0, 0.0]}
        method["scf"] = {"threshold_energy_change": 4.359744722207169e-24}
    return {
        "program": {"name": p.program[0], "version": p.version},
        "method": [method],
        "system": [_system(p, k, rng) for k in range(p.n_calculations)],
        "calculation": [_calculation(p, k, rng) for k in range(p.n_calculations)],
    }


def _system(p: Profile, k: int, rng: Random) -> Json:
    kinds = [j for j, n in enumerate(p.counts) for _ in range(n * p.units)]
    edge, flat = slot(EDGE), 0.0
    atoms: Json = {
        "labels": [f"<s{j}>" for j in kinds],
        "positions": [[rng.random() * 5e-10 for _ in "xyz"] for _ in kinds],
        "lattice_vectors": [[edge, flat, flat], [flat, edge, flat], [flat, flat, edge]],
        "periodic": [True, True, True],
    }
    system: Json = {
        "is_representative": k == p.n_calculations - 1,
        "chemical_composition_reduced": _formula(p),
    }
    if p.detail:
        atoms["species"] = [slot(ATOMIC_NUMBER + j) for j in kinds]
        system |= {"chemical_composition": _formula(p), "chemical_composition_hill": "<hill>"}
    if system["is_representative"]:
        system["type"] = "bulk"
        if p.detail > 1:
            symmetry = {
                "international_short_symbol": p.group[0],
                **_symmetry(p),
                "symmetry_method": "MatID (spg)",
            }
            system["symmetry"] = [symmetry]
            system["descriptors"] = {"soap": {"n_max": 8, "l_max": 4, "r_cut": 5.0, "atom_sigma": 0.4}}
    return system | {"atoms": atoms}


def _calculation(p: Profile, k: int, rng: Random) -> Json:
    total: Json = {"value": slot(TOTAL + k)}
    calculation: Json = {
        "system_ref": f"{p.hash}/run/0/system/{k}",
        "method_ref": f"{p.hash}/run/0/method/0",
        "energy": {"total": total, "free": {"value": slot(FREE + k)}, "fermi": slot(FERMI)},
    }
    if p.detail:
        total["value_per_atom"] = slot(PER_ATOM + k)
        calculation["calculation_converged"] = True
    if p.workflow != "SinglePoint" and p.detail > 1:
        calculation["forces"] = {
            "total": {"value": [[rng.gauss(0, 1e-11) for _ in "xyz"] for _ in range(p.n_atoms)]}
        }
    if p.workflow == "MolecularDynamics":
        calculation |= {"step": k, "time_physical": k * 1e-15, "temperature": 300.0 + rng.gauss(0, 10)}
    return calculation


def _workflow(p: Profile, feature: str | None) -> Json:
    run, n = f"{p.hash}/run/0", p.n_calculations
    found: Json = {
        "calculation_result_ref": _RESULT_REFS.get(feature or "", f"{run}/calculation/{n - 1}"),
        "calculations_ref": [f"{run}/calculation/{k}" for k in range(n)],
    }
    workflow: Json = {
        "m_def": _WORKFLOWS[p.workflow],
        "inputs": [{"name": "Input system", "section": f"{run}/system/0"}],
        "outputs": [
            {"name": "Output calculation", "section": f"{run}/calculation/{n - 1}"},
            {"name": "Workflow results", "section": f"{p.hash}/workflow2/results"},
        ],
        "method": {"method": "DFT"} if p.workflow == "SinglePoint" else {"type": "atomic"},
        "results": found,
    }
    if p.workflow == "GeometryOptimization":
        found |= {"optimization_steps": n, "energies": [slot(TOTAL + k) for k in range(n)]}
        found |= {"final_energy_difference": slot(DIFFERENCE), "is_converged_geometry": True}
    elif p.workflow == "SinglePoint":
        found |= {"n_scf_steps": 11, "is_converged": True}
    else:
        workflow["method"] = {"thermodynamic_ensemble": "NVT", "integration_timestep": 1e-15}
        found["trajectory"] = [f"{run}/calculation/{k}" for k in range(n)]
    if p.detail:
        workflow["tasks"] = [_task(run, k) for k in range(n)]
    return workflow


def _task(run: str, k: int) -> Json:
    return {
        "name": f"Step {k}",
        "inputs": [
            {"name": "Input system", "section": f"{run}/system/{max(k - 1, 0)}"},
            {"name": "Input method", "section": f"{run}/method/0"},
        ],
        "outputs": [
            {"name": "Output calculation", "section": f"{run}/calculation/{k}"},
            {"name": "Output system", "section": f"{run}/system/{k}"},
        ],
    }


def _grow(archive: Json, p: Profile, rng: Random) -> None:
    """Adds what makes real archives large to metadata and last calculation, up to the profile's size."""
    metadata, calculation = archive["metadata"], archive["run"][0]["calculation"][-1]
    if p.detail:
        metadata["optimade"] = _optimade(p)
        metadata["sections"] = list(_SECTION_NAMES)
    if p.detail > 1:
        metadata["quantities"] = ["", *sorted(set(paths(archive)))]
        metadata["n_quantities"] = len(metadata["quantities"])
    left = p.size - len(orjson.dumps(archive))
    if p.detail > 1 and left > 2_000:
        metadata["section_defs"] = [_definition(k, rng) for k in range(min(60, left // 170))]
        left -= 170 * len(metadata["section_defs"])
    if left > 1_000:
        steps = min(40, left // 300)
        calculation["scf_iteration"] = [_iteration(rng) for _ in range(steps)]
        left -= 105 * steps
    if left > 40_000:
        n = left // 2 // 44
        calculation["dos_electronic"] = [
            {"energies": _numbers(n, rng), "total": [{"value": _numbers(n, rng)}]}
        ]
        left //= 2
    if left > 500:
        n_bands, n_kpoints = 12, max(1, left // (12 * 27 + 70))
        bands = [_numbers(n_bands, rng) for _ in range(n_kpoints)]
        kpoints = [[rng.random() for _ in "xyz"] for _ in range(n_kpoints)]
        occupations = [[2.0] * 4 + [0.0] * (n_bands - 4)] * n_kpoints
        calculation["eigenvalues"] = [{"kpoints": kpoints, "energies": [bands], "occupations": [occupations]}]


def _numbers(n: int, rng: Random) -> list[float]:
    return [rng.random() * 1e-18 for _ in range(n)]


def _iteration(rng: Random) -> Json:
    energy = rng.gauss(-2e-15, 1e-18)
    return {
        "time_calculation": round(rng.random() * 9, 2),
        "energy": {"total": {"value": energy}, "change": energy / 1e5},
    }


def _definition(k: int, rng: Random) -> Json:
    name = (
        _SECTION_NAMES[k]
        if k < len(_SECTION_NAMES)
        else f"nomad.datamodel.metainfo.simulation.part_{k}.Section{k}"
    )
    return {
        "definition_qualified_name": name,
        "definition_id": f"{rng.getrandbits(160):040x}",
        "used_directly": k % 2 == 0,
    }


def paths(part: Any, above: str = "") -> Iterator[str]:
    """Names of everything in an archive, without the numbers of lists."""
    for below in part if isinstance(part, list) else (part,):
        if isinstance(below, dict):
            for name, value in below.items():
                path = f"{above}.{name}" if above else name
                yield path
                yield from paths(value, path)
