"""The parts of generated archives: what an entry is, what its archive looks like, and what it says.

What an entry is: `ids`, `uploads` and `features` come together in `population`, with the choices of `draws`
and the `positions` that are public; `entries` are its rows in a listing. What it looks like: `profiles`
decide; `archives` (of `metadata`, `results` with its `material`, `run`, `workflow`) and `documents` are
templates with `placeholders`. What it says: `values`, of `elements` and `times`.
"""
