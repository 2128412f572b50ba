"""Owns how progress is shown: as a card in a notebook, a bar on a terminal, lines on a pipe. Knows `pure` alone."""
