"""Special features of generated entries, and their frequencies."""

from collections.abc import Mapping

from nomad_dask.text import hint, near

WITHIN = "reference within the upload"
OUTSIDE = "reference to another upload"
PRIVATE = "reference to a private entry"
ABSENT = "reference to an entry that is not there"
UNRESOLVABLE = "unresolvable reference"
REMOTE = "reference to another installation"
NO_WORKFLOW = "no workflow2"
UNUSUAL = "unusual characters"
NOT_FINITE = "NaN and infinity"
EMPTY = "empty archive"
FAILED = "failed processing"
NO_ARCHIVE = "not in the archive file"
NO_FILES = "upload without files"


FEATURES: Mapping[str, float] = {
    WITHIN: 0.02,
    OUTSIDE: 0.015,
    PRIVATE: 0.005,
    ABSENT: 0.005,
    UNRESOLVABLE: 0.005,
    REMOTE: 0.002,
    NO_WORKFLOW: 0.05,
    UNUSUAL: 0.025,
    NOT_FINITE: 0.005,
    EMPTY: 0.0025,
    FAILED: 0.005,
    NO_ARCHIVE: 0.0025,
    NO_FILES: 0.0,
}
"""The features of public entries, with their default fractions.

`NO_FILES` applies to whole uploads, and is a fraction of uploads: an answer with the archive of one of their
entries is a 500.
"""
PLAIN: Mapping[str, float] = dict.fromkeys(FEATURES, 0.0)
"""The `features` of a corpus without special entries."""


LEADING = (WITHIN, OUTSIDE, PRIVATE)
"""Features with a reference to another existing entry."""


def shares(features: Mapping[str, float] | None) -> tuple[list[str | None], list[float], float]:
    """Return the names, the ends of their parts of [0, 1), and the fraction of uploads without files."""
    shares = dict(FEATURES)
    for name, share in (features or {}).items():
        if name not in FEATURES:
            said = hint(name, near(name, FEATURES, limit=1), f"there are {', '.join(FEATURES)}")
            raise ValueError(f"unknown feature {name!r}{said}")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of {name!r} must be between 0 and 1, not {share:g}")
        shares[name] = share
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError("the shares of all features must not add up to more than 1")
    of_uploads = shares.pop(NO_FILES)
    ends, end = [], 0.0
    for share in shares.values():
        end += share
        ends.append(end)
    return [*shares, None], ends, of_uploads
