"""Progress of a job, in a terminal and in a notebook."""
