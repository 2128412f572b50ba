"""The two sides of a job: what the client plans, what a task does. Both run without Dask."""
