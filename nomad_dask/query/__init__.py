"""The query layer: the object that a user asks with, and what it gives back without Dask."""
