"""Profiles of generated archives: programs, cells and sizes."""

from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import Literal, NamedTuple

N_PROFILES, N_SPECIAL = 240, 16
"""Number of profiles of plain entries, and of those that special entries share."""
Kind = Literal["mixed", "small", "large", "results"]
_MEAN = {"small": 5_000, "results": 25_000, "large": 100_000}
Access = Literal["public", "coauthored", "embargo", "staging", "shared"]


class Program(NamedTuple):
    """A program, with the values that its parser sets."""

    name: str
    share: int
    versions: tuple[str, ...]
    parser: str
    basis_set_type: str
    """As in `results.method.simulation.dft`; `precision` uses other names."""
    basis_set: str
    core_electrons: str
    mainfile: str


_LAPW, _LOCAL, _WAVES, _GRID = "(L)APW+lo", "atom-centered orbitals", "plane waves", "real-space grid"
_PSEUDO, _FULL = "pseudopotential", "full all electron"
_PROGRAMS = (
    Program("VASP", 40, ("5.3.2", "5.4.4", "6.3.0"), "parsers/vasp", _WAVES, _WAVES, _PSEUDO, "vasprun.xml"),
    Program("FHI-aims", 12, ("081213", "210716_3"), "fhiaims", "numeric AOs", _LOCAL, _FULL, "aims.out"),
    Program("Quantum ESPRESSO", 10, ("6.1", "7.2"), "quantumespresso", _WAVES, _WAVES, _PSEUDO, "pw.out"),
    Program("exciting", 8, ("CARBON", "NITROGEN-14"), "exciting", _LAPW, _LAPW, _FULL, "INFO.OUT"),
    Program("ABINIT", 7, ("8.10.3", "9.6.2"), "abinit", _WAVES, _WAVES, _PSEUDO, "abinit.out"),
    Program("GPAW", 5, ("1.5.2", "22.8.0"), "gpaw", _GRID, _GRID, _PSEUDO, "relax.gpw"),
    Program("CASTEP", 5, ("7.2", "20.11"), "castep", _WAVES, _WAVES, _PSEUDO, "geom.castep"),
    Program("WIEN2k", 5, ("14.2", "23.1"), "wien2k", _LAPW, _LAPW, _FULL, "case.scf"),
    Program("CP2K", 4, ("2.6.2", "2023.1"), "cp2k", _WAVES, "gaussians + plane waves", _PSEUDO, "cp2k.out"),
    Program("Gaussian", 4, ("09 revision d.01", "16"), "gaussian", "gaussians", _LOCAL, _FULL, "job.log"),
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
WORKFLOWS = {
    "SinglePoint": "simulationworkflowschema.single_point.SinglePoint",
    "GeometryOptimization": "simulationworkflowschema.geometry_optimization.GeometryOptimization",
    "MolecularDynamics": "simulationworkflowschema.molecular_dynamics.MolecularDynamics",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """The choices for a template, made before it is built."""

    size: int
    """Intended size of the whole archive in bytes."""
    program: Program
    version: str
    workflow: str
    n_calculations: int
    counts: tuple[int, ...]
    """Number of atoms of each element in the formula."""
    units: int
    """Number of formula units in the cell."""
    group: tuple[str, int, int, str, str, str, str]
    functional: tuple[str, tuple[str, ...]]
    hash: str
    """`#` if local references start with it; older ones start with `/`."""
    seed: str
    conventional: bool = False
    """True if the topology includes the conventional cell, as in two of three recorded archives."""

    @property
    def parser_name(self) -> str:
        """The name of the parser, in the older or the newer form."""
        name = self.program.parser
        return name if "/" in name else f"electronicparsers:{name}_parser_entry_point"

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return sum(self.counts) * self.units

    @property
    def detail(self) -> int:
        """Amount of optional content for this size: 0, 1 or 2."""
        return (self.size >= 7_000) + (self.size >= 18_000)


def profile(seed: int, kind: Kind, j: int, of: int = N_PROFILES) -> Profile:
    """Return profile j. Together, the profiles have the size distribution of `kind`, for any seed."""
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
    workflow = rng.choices(list(WORKFLOWS), (55, 35, 10))[0] if most > 1 else "SinglePoint"
    wanted = {
        "SinglePoint": 1,
        "GeometryOptimization": 2 + int(rng.expovariate(0.15)),
        "MolecularDynamics": 50,
    }
    program = rng.choices(_PROGRAMS, [program.share for program in _PROGRAMS])[0]
    return Profile(
        size=size,
        program=program,
        version=rng.choice(program.versions),
        workflow=workflow,
        n_calculations=max(1, min(wanted[workflow], most, 50)),
        counts=counts,
        units=units,
        group=rng.choice(_GROUPS),
        functional=rng.choices(_FUNCTIONALS, (60, 15, 15, 10))[0],
        hash=rng.choice(("#", "")),
        seed=name,
        conventional=kind == "results",
    )


def _size(kind: Kind, quantile: float) -> int:
    if kind != "mixed":
        return round(_MEAN[kind] * (0.85 + 0.3 * quantile))
    z = NormalDist().inv_cdf(min(max(quantile, 0.002), 0.998))
    return round(32_000 * 2.718281828 ** (z * (1.13 if z > 0 else 0.95)))
