"""Lazy Dask dataframes."""
