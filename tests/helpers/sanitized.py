"""The compiled core built with sanitizers, in place of the installed one (`make fuzz-core`)."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

NAME = "nomad_dask._core.native"


def use(folder: str) -> None:
    """Load the core that was built into a folder. Before anything of nomad_dask is imported."""
    assert not any(name.startswith("nomad_dask") for name in sys.modules)
    (path,) = Path(folder).glob("nomad_dask/_core/native*")
    spec = spec_from_file_location(NAME, path)
    assert spec is not None and spec.loader is not None
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
