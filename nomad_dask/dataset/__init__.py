"""Parquet datasets on disks and object stores."""
