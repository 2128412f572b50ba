"""SPEC, "Datasets", "Errors": a full or read-only disk is an error with the path; receipts stay correct."""

import json
import os
import subprocess

import pandas as pd
import pytest

from nomad_dask.dataset.store import Store
from nomad_dask.testing import serve

REQUIRED = {"results": "*", "workflow2": "*"}
PARTS = 20


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, 400 kB large, and a way to mount it otherwise."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)], capture_output=True
        )
        if done.returncode:
            pytest.skip("only root can mount a disk of its own")

    def remount(*options):
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(place)], check=True)

    mount("size=400k")
    try:
        yield place, remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def options(url, out):
    return [
        *("harvest", "--url", url, "--out", out, "--required", json.dumps(REQUIRED)),
        *("--npartitions", PARTS, "--max-requests-per-second", 0),
    ]


def test_a_full_disk_is_told_and_a_harvest_goes_on_when_there_is_space(disk, command, on_cluster, tmp_path):
    place, remount = disk
    with serve(n_entries=1000, seed=4) as url:
        full = command(*options(url, place / "h"), "--workers", 1, check=1)
        last = full.stderr.strip().splitlines()[-1]
        assert str(place / "h") in last and "No space left on device" in last
        assert "free some space" in last and "run the same command again" in last
        assert "Traceback" not in full.stderr

        store = Store.at(place / "h")
        manifest = store.manifest()
        written = {int(p.stem) for p in (place / "h" / "segments").iterdir() if p.stat().st_size}
        receipts = store.receipts(manifest.id)
        assert set(receipts) == written and len(receipts) < PARTS, "a receipt without its part, or none"
        for number, receipt in receipts.items():
            assert len(store.read_part(number)) == receipt.rows

        remount("size=64m")
        url.log.clear()
        on_cluster(*options(url, place / "h"), check=0)
        assert url.log.count("entries/archive/query") > 0
        on_cluster(*options(url, tmp_path / "calm"), check=0)
        mine, calm = (
            pd.read_parquet(p / "data", dtype_backend="pyarrow") for p in (place / "h", tmp_path / "calm")
        )
        pd.testing.assert_frame_equal(mine, calm)
        assert not list((place / "h" / ".aside").iterdir()), "what was begun and not finished is left over"


@pytest.mark.parametrize("begun", [False, True])
def test_a_read_only_target_is_told_before_anything_is_asked(disk, command, on_cluster, begun):
    place, remount = disk
    with serve(n_entries=40, seed=4) as url:
        if begun:
            remount("size=64m")
            on_cluster(*options(url, place / "h"), check=0)
            next((place / "h" / "segments").iterdir()).unlink()
        remount("ro")
        url.log.clear()
        refused = command(*options(url, place / "h"))
        assert refused.returncode in (1, 2)
        assert str(place / "h") in refused.stderr and os.strerror(30) in refused.stderr
        assert "Traceback" not in refused.stderr
        assert url.log.count() == 0
        remount("rw")
