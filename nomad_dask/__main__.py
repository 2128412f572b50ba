"""`python -m nomad_dask` is `nomad-dask`."""

from .cli import main

if __name__ == "__main__":
    main()
