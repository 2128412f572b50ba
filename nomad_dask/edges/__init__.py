"""The edges: the only modules that touch the network and files."""
