"""Attribute access to archives: sections, references, units."""
