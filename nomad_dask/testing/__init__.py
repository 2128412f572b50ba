"""The embedded archive: a NOMAD-compatible server for tests, benchmarks, examples and the command line.

`serve` runs it in this process, `nomad-dask serve` on the command line. It serves generated archives or a
folder of real ones, and can simulate faults (see `nomad_dask.testing.faults`).
"""

from nomad_dask.testing.changing import Changing
from nomad_dask.testing.corpus import Corpus, Entry
from nomad_dask.testing.faults import Faults, Rule
from nomad_dask.testing.recorded import Recorded
from nomad_dask.testing.serve import Served, serve

__all__ = ["Changing", "Corpus", "Entry", "Faults", "Recorded", "Rule", "Served", "serve"]
