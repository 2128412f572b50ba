"""The query object."""
