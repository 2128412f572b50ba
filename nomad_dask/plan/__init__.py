"""Plans: segments of the entry list and what they cost."""
