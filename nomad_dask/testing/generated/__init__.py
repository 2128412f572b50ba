"""The parts of generated archives: what an entry is, the templates of its archive and document, and its values.

What an entry is: `ids`, `uploads` and `features` are put together in `population`, from `draws`.
What it looks like: `profiles` decide; `archives` and `documents` build, out of the sections `metadata`, `results`,
`run` and `workflow`, templates with `placeholders`. What it says: `values`, of `elements` and `times`.
"""
