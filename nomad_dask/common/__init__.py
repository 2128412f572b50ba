"""Small helpers of every package: paths in archives, column types, urls, JSON rules."""
