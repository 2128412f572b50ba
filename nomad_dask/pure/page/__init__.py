"""The harvest page: one self-contained HTML page that tells what a dataset holds and how its harvest went."""
