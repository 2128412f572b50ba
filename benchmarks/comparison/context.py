"""Context of measurements: versions, cores, date. No machine names or paths."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_ASK = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
print(json.dumps({"python": platform.python_version()} | {name: of(name) for name in sys.argv[1:] if of(name)}))
"""  # noqa: E501
_NAMES = {
    "": ["nomad-dask", "aiohttp", "orjson", "pyarrow", "pandas", "numpy", "dask", "distributed"],
    "peers": ["nomad-lab", "nomad-schema-plugin-run", "pandas", "numpy", "httpx2"],
    "dlt": ["dlt", "pyarrow", "orjson", "requests"],
}


def context(environments: dict[str, Path], **more: Any) -> dict[str, Any]:
    """Return the context to store with results. `environments` are interpreters by name."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "python": sys.version.split()[0],
        "versions": {name or "ours": versions(name, python) for name, python in environments.items()},
        "load_before": round(os.getloadavg()[0], 1),
        **more,
    }


def versions(name: str, python: Path) -> dict[str, str]:
    """Return the versions of the packages of an interpreter."""
    import json

    done = subprocess.run(
        [str(python), "-c", _ASK, *_NAMES[name]], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
