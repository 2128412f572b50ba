"""HTTP client of the NOMAD API."""
