"""Harvests and updates of datasets."""
