"""What the schema of generated archives says, as tables; `schema` makes JSON of them.

    [runschema.calculation]                             the Python module of the sections below
    EnergyEntry(Atomic): An energy of the system.       a section, what it inherits from, what it is
      value: float64 in joule: The energy.              a quantity

A name without a dot is one of the same module. What stands between a member's name and its description:

    one Energy                       a sub section; `many` of them; `one A or B`, if B may stand in A's place
    float64[*,3] in meter            NOMAD's type, lengths of its lists (`*` any, `0..` at least so many), unit
    enum dft | ems                   one of these words; `@symbols` stands for all chemical elements
    Reference[*] runschema.run.Run   where a string leads
    bool = false                     what is meant where there is none, as JSON

Sections, quantities, types, units and words are NOMAD's own; the descriptions are not.
"""

from nomad_dask.testing.generated.definitions import metadata, results, run, workflow

TABLES = (metadata.TABLE, results.TABLE, run.TABLE, workflow.TABLE)

_SYMBOLS = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
    Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
    Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
    Mc Lv Ts Og
"""
SYMBOLS = tuple(_SYMBOLS.split())
