"""NOMAD's schema: definitions of sections and quantities."""
