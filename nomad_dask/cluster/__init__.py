"""Dask clusters: local workers, shared limits, credentials."""
