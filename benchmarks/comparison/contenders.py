"""The contenders and workloads of the comparison."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class Workload:
    """A `required` tree, and the generated archives to read."""

    name: str
    kind: str
    required: dict[str, Any]
    entries: int
    said: str
    archives: Path | None = None
    """A folder of archives to serve instead."""
    only: tuple[str, ...] = ()
    """Its contenders; empty for all."""


WORKLOADS = {
    w.name: w
    for w in (
        Workload("small", "results", {"results": "*"}, 20_000, "`results`"),
        Workload("large", "large", {"run": "*", "results": "*"}, 2_000, "`run` and `results`"),
        Workload(
            "mixed",
            "mixed",
            {"run": "*", "results": "*", "workflow2": "*"},
            3_000,
            "`run`, `results`, `workflow2`",
        ),
        Workload(
            "recorded",
            "",
            {"run": "*", "results": "*", "workflow2": "*"},
            157,
            "`run`, `results`, `workflow2` of archives that NOMAD served",
            ROOT.parent / "shared" / "data" / "archives",
            ("bytes", "decode", "decode-quiet", "wide", "nested", "tables"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One tool that turns archives into a table."""

    name: str
    title: str
    program: str
    """A script in this folder."""
    job: str
    environment: str = ""
    """Its folder below `.venvs`; empty for the environment of this process."""
    share: float = 1.0
    """Fraction of the entries to process. Below 1 for slow contenders, because rates are compared."""
    searched: tuple[int, ...] = ()
    """Batch sizes to try first; the best is used."""

    @property
    def python(self) -> Path:
        """The interpreter."""
        return (
            ROOT / ".venvs" / self.environment / "bin" / "python"
            if self.environment
            else Path(sys.executable)
        )

    def command(self, order: str) -> list[str]:
        """The process that does an order."""
        return [str(self.python), str(HERE / self.program), order]


SEARCHED = (30, 100, 300, 1_000)

CONTENDERS = {
    c.name: c
    for c in (
        Contender("bytes", "floor: bytes read and dropped", "floors.py", "bytes"),
        Contender("decode", "floor: bytes read and decoded (orjson)", "floors.py", "decode"),
        Contender(
            "decode-quiet", "floor: the same while Python's collector rests", "floors.py", "decode-quiet"
        ),
        Contender("wide", "nomad-dask: one process, wide, to Arrow", "ours.py", "arrow-wide"),
        Contender("nested", "nomad-dask: one process, nested, to Arrow", "ours.py", "arrow-nested"),
        Contender("tables", "nomad-dask: one process, tables, to Arrow", "ours.py", "arrow-tables"),
        Contender("dataframe", "nomad-dask: dask.dataframe on threads, to pandas", "ours.py", "dataframe"),
        Contender("cluster", "nomad-dask: two processes, wide, to Parquet", "ours.py", "cluster"),
        Contender("download", "nomad-dask: download and entries_to_dataframe", "ours.py", "download"),
        Contender(
            "nomad", "nomad-lab: as its guide documents it", "nomad_job.py", "documented", "peers", 0.02
        ),
        Contender(
            "nomad-tuned",
            "nomad-lab: tuned, plain dicts",
            "nomad_job.py",
            "tuned",
            "peers",
            searched=SEARCHED,
        ),
        Contender("dlt", "dlt: tuned, arrays in cells, to Parquet", "dlt_job.py", "tuned", "dlt", 0.25),
        Contender(
            "dlt-full", "dlt: tuned, a table of each list, to Parquet", "dlt_job.py", "full", "dlt", 0.05
        ),
        Contender("script", "script of an afternoon, json_normalize", "script.py", "afternoon"),
    )
}
