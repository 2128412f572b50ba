"""`python -m nomad_dask` is `nomad-dask`."""

from __future__ import annotations

from nomad_dask.cli import main

if __name__ == "__main__":
    main()
