"""Tables of the schema of generated archives; `schema` converts them to JSON.

    [runschema.calculation]                             the Python module of the sections below
    EnergyEntry(Atomic): An energy of the system.       a section, its base, and its description
      value: float64 in joule: The energy.              a quantity

A name without a dot is in the same module. Between the name and the description of a member:

    one Energy                       a sub section; `many` of them; `one A or B` if B may replace A
    float64[*,3] in meter            NOMAD's type, lengths of its lists (`*` any, `0..` at least that), unit
    enum dft | ems                   one of these words; `@symbols` stands for all chemical elements
    Reference[*] runschema.run.Run   the target of a reference
    bool = false                     the default, as JSON

Sections, quantities, types, units and terms are those of NOMAD; the descriptions are not.
"""

from nomad_dask.testing.generated.definitions import metadata, results, run, workflow

TABLES = (metadata.TABLE, results.TABLE, run.TABLE, workflow.TABLE)

_SYMBOLS = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
    Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
    Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
    Mc Lv Ts Og
"""  # noqa: E501
SYMBOLS = tuple(_SYMBOLS.split())
