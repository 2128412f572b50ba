"""Generated archives: entries, templates of their archives, and values.

Entries: `population` combines `ids`, `uploads` and `features`, with the random choices of `draws` and the
`positions` of public entries; `entries` are the rows of a listing. Templates: `profiles` choose the content;
`archives` (with `metadata`, `results`, `material`, `run`, `workflow`) and `documents` are templates with
`placeholders`. Values: `values`, with `elements` and `times`.
"""
