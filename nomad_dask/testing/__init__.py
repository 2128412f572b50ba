"""The embedded archive."""
