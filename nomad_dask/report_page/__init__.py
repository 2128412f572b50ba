"""The HTML page of a harvest."""
