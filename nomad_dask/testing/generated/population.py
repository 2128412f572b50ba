"""The entries of a generated corpus: their uploads, features and references."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import lru_cache
from random import Random
from typing import NamedTuple

from nomad_dask.testing.generated.draws import FULL, STEP, mixed, strata
from nomad_dask.testing.generated.features import (
    EMPTY,
    LEADING,
    NO_ARCHIVE,
    NO_FILES,
    OUTSIDE,
    PRIVATE,
    WITHIN,
    shares,
)
from nomad_dask.testing.generated.positions import AllBut
from nomad_dask.testing.generated.profiles import N_PROFILES, N_SPECIAL, Access
from nomad_dask.testing.generated.uploads import Upload, Uploads, private_upload, public_upload

Shape = tuple[int, Access, str | None]
"""Profile, access and feature. Entries with the same shape have the same template."""


class Facts(NamedTuple):
    """The basic properties of an entry."""

    shape: Shape
    upload: Upload
    place: int
    """Position in the sequence of the entries of all uploads."""


class Population:
    """The public and private entries, by their position in id order."""

    def __init__(
        self, n_public: int, n_private: int, *, seed: int, features: Mapping[str, float] | None
    ) -> None:
        self.n_public, self.n = n_public, n_public + n_private
        self._names, self._ends, self._gone = shares(features)
        rng = Random(f"{seed}/corpus")
        self._salts = {
            name: rng.getrandbits(64) for name in ("values", "elements", "features", "targets", "profile")
        }
        self._salts["files"] = Random(f"{seed}/files").getrandbits(64)
        self.hidden = array("q", strata(self.n, n_private, rng))
        """Positions of the private entries."""
        self.shown = AllBut(self.n, self.hidden)
        """Positions of the public ones."""
        self._public = Uploads(n_public, Random(f"{seed}/public"), public_upload)
        self._private = Uploads(n_private, Random(f"{seed}/private"), private_upload)
        self.facts = lru_cache(maxsize=1 << 16)(self._make_facts)

    def _make_facts(self, i: int) -> Facts:
        before = bisect_left(self.hidden, i)
        private = before < len(self.hidden) and self.hidden[before] == i
        uploads, rank = (self._private, before) if private else (self._public, i - before)
        place = uploads.place(rank)
        upload = uploads.at(place)
        feature = None if private else self._feature(i, self._drawn(rank), upload, place)
        access: Access = "coauthored" if upload.state == "public" and upload.coauthors else upload.state
        j = self.hash(i, "profile") % (N_PROFILES if access == "public" and feature is None else N_SPECIAL)
        return Facts((j, access, feature), upload, place)

    def feature(self, i: int) -> str | None:
        """Return the name in `FEATURES` of the feature of entry i, or None."""
        return self.facts(i).shape[2]

    def target(self, i: int) -> int | None:
        """Return the position of the entry that entry i refers to, or None."""
        (_, _, feature), upload, place = self.facts(i)
        return self._target(i, feature, upload, place) if feature in LEADING else None

    def _drawn(self, rank: int) -> str | None:
        """Return the intended feature of the public entry with this rank."""
        point = (rank * 0x6A09E667F3BCC909 + self._salts["features"] & FULL) / (1 << 64)
        return self._names[bisect_right(self._ends, point)]

    def _feature(self, i: int, drawn: str | None, upload: Upload, place: int) -> str | None:
        """Return its actual feature: in an upload with one entry, there is no other to refer to."""
        if self._without_files(upload):
            return NO_FILES
        if drawn == WITHIN and upload.size == 1:
            drawn = OUTSIDE
        return None if drawn in LEADING and self._target(i, drawn, upload, place) is None else drawn

    def _target(self, i: int, feature: str | None, upload: Upload, place: int) -> int | None:
        """Return an entry with an archive to refer to."""
        draw = self.hash(i, "targets")
        if feature == PRIVATE:
            return self.hidden[draw % len(self.hidden)] if self.hidden else None
        within, outside = upload.size, self.n_public - upload.size
        if not (within - 1 if feature == WITHIN else outside):
            return None
        for k in range(64):
            if feature == WITHIN:
                at = upload.start + (place - upload.start + 1 + (draw + k) % (within - 1)) % within
            else:
                at = (upload.start + within + (draw + k) % outside) % self.n_public
            rank = self._public.rank(at)
            has_archive = self._drawn(rank) not in (EMPTY, NO_ARCHIVE)
            has_archive = has_archive and not self._without_files(self._public.at(at))
            if at != place and has_archive:
                return self.shown[rank]
        return None

    def _without_files(self, upload: Upload) -> bool:
        return self._gone > 0 and self.hash(upload.start, "files") / (1 << 64) < self._gone

    def hash(self, i: int, salt: str) -> int:
        """Return 64 bits that depend only on the seed and the position."""
        return mixed(i * STEP + self._salts[salt])
