"""The NOMAD materials archive in bulk."""

__version__ = "0.1.0"
