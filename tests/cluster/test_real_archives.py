"""The main job on real archives: every energy in the dataset equals the one in the JSON file it came from."""

import json
import math

import pandas as pd
import pytest

from nomad_dask.testing import serve

REQUIRED = {
    "run": {"program": "*", "calculation[-1]": {"energy": "*"}},
    "workflow2": {
        "results": {
            "calculation_result_ref": {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
        }
    },
}


def energies_of(section, name):
    """Columns of an energy section as the JSON has them: numbers, texts and lists at their dotted names."""
    if isinstance(section, dict):
        for key, value in section.items():
            yield from energies_of(value, f"{name}.{key}")
    elif isinstance(section, list) and section and all(isinstance(item, dict) for item in section):
        for k, item in enumerate(section):
            yield from energies_of(item, f"{name}.{k}")
    else:
        yield name, section


def target_of(archive, reference, archives):
    """The section that a reference points to: in this archive or in another of the folder; None where it is
    in none.
    """
    place, _, path = reference.rpartition("#")
    if place.startswith("http"):
        return None
    if place:
        archive = archives.get(place.rsplit("/", 1)[-1], {})
    for step in path.strip("/").split("/"):
        try:
            archive = archive[int(step)] if isinstance(archive, list) else archive[step]
        except (KeyError, IndexError):
            return None
    return archive


def expected_row(archive, archives):
    """What the dataset should hold of one archive, worked out from its JSON alone."""
    row = {}
    for k, run in enumerate(archive.get("run", [])):
        row |= energies_of(run.get("program", {}), f"run.{k}.program")
        if run.get("calculation"):
            row |= energies_of(run["calculation"][-1].get("energy", {}), f"run.{k}.calculation.0.energy")
    name = "workflow2.results.calculation_result_ref"
    reference = archive.get("workflow2", {}).get("results", {}).get("calculation_result_ref")
    if reference is not None:
        calculation = target_of(archive, reference, archives)
        if calculation is None:
            return row | ({name: reference} if "archive/" in reference else {})
        row |= energies_of(calculation.get("energy", {}), f"{name}.energy")
        home = (
            archives[reference.rpartition("#")[0].rsplit("/", 1)[-1]] if "archive/" in reference else archive
        )
        system = target_of(home, calculation.get("system_ref", "#/nowhere"), archives) or {}
        if "chemical_composition_reduced" in system:
            row[f"{name}.system_ref.chemical_composition_reduced"] = system["chemical_composition_reduced"]
    return row


@pytest.fixture(scope="module")
def real(shared_data):
    files = {p.stem: json.loads(p.read_text()) for p in (shared_data / "archives").glob("*.json")}
    return {entry_id: tree["archive"] for entry_id, tree in files.items()}


def test_every_energy_equals_the_one_in_its_file(real, shared_data, on_cluster, tmp_path):
    with serve(archives=shared_data / "archives") as url:
        line = ("harvest", "--url", url, "--required", json.dumps(REQUIRED), "--out", tmp_path / "real")
        done = on_cluster(*line, check=0)
    frame = pd.read_parquet(tmp_path / "real" / "data", dtype_backend="pyarrow")
    assert done.stdout.startswith(f"{len(real)} entries in")
    assert set(frame.index) == set(real), "one row per archive"
    compared = 0
    for entry_id, archive in real.items():
        row = frame.loc[entry_id].drop("upload_id").dropna().to_dict()
        more = json.loads(row.pop("_more", "{}"))
        row |= more
        want = {
            k: v
            for k, v in expected_row(archive, real).items()
            if v is not None and not (isinstance(v, float) and not math.isfinite(v))
        }
        got = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in row.items()}
        assert got == want, entry_id
        compared += sum("energy" in name for name in want)
    assert compared > 500
