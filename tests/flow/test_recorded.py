"""The embedded archive gives the answers that were recorded of NOMAD (`data/recorded.jsonl`)."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomad_dask.testing import Served, serve

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NOMAD_DASK_SHARED_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "recorded.jsonl"
RECORDED = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


@pytest.fixture(scope="module")
def url(shared_data: Path) -> Iterator[Served]:
    with serve(archives=shared_data) as url:
        yield url


def ask(
    url: str, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}/{path}", data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def cut(answer: Any) -> Any:
    """An answer with the tokens cut to `...`, as they are where it was recorded."""
    secret = {"access_token", "refresh_token"}
    return {k: "..." if k in secret else v for k, v in answer.items()} if isinstance(answer, dict) else answer


@pytest.mark.parametrize("recorded", [pytest.param(r, id=r["name"]) for r in RECORDED])
def test_the_answer_is_the_recorded_one(url: Served, recorded: dict[str, Any]) -> None:
    """Status and JSON are equal, whatever the order of keys.

    Aside are only what was cut from the recording too: tokens, and the tracebacks of 500s.
    """
    headers = {"Content-Type": "application/json"}
    given = recorded["request"]
    data = None if given is None else given.encode() if isinstance(given, str) else json.dumps(given).encode()
    if recorded["path"] == "auth/token":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        data = urllib.parse.urlencode(given).encode()
    if recorded["user"]:
        headers["Authorization"] = f"Bearer {login(url, recorded['user'])}"
    if recorded["name"] == "bad token":
        headers["Authorization"] = "Bearer not-a-token"
    status, answer = ask(url, recorded["method"], recorded["path"], data, headers)
    assert (status, cut(answer)) == (recorded["status"], recorded["answer"])


def login(url: str, user: str) -> str:
    form = {"grant_type": "password", "username": user, "password": f"{user}-pw"}
    status, answer = ask(url, "POST", "auth/token", urllib.parse.urlencode(form).encode())
    assert status == 200
    return str(answer["access_token"])


def test_whole_archives_come_back_as_they_are_in_their_files(url: Served, shared_data: Path) -> None:
    """`required: "*"` gives the archive of each file that a user may see, and nothing of the others."""
    headers = {"Authorization": f"Bearer {login(url, 'bo')}"}
    body = {"owner": "visible", "required": "*", "pagination": {"page_size": 1000}}
    status, answer = ask(url, "POST", "entries/archive/query", json.dumps(body).encode(), headers)
    assert status == 200
    files = {path.stem: json.loads(path.read_bytes()) for path in (shared_data / "archives").glob("*.json")}
    rows = {row["entry_id"]: row for row in answer["data"]}
    assert rows == {entry_id: files[entry_id] for entry_id in rows}
    states = {row["entry_id"]: row for row in map(json.loads, (shared_data / "entries.jsonl").open())}
    seen = {
        i
        for i, row in states.items()
        if row["state"] == "public" or "bo" in (row["main_author"], *row["coauthors"])
    }
    assert rows.keys() == seen & files.keys()
    assert answer["pagination"]["total"] == len(seen)


def test_the_schema_is_served_as_recorded(url: Served, shared_data: Path) -> None:
    path = "schemas/nomad.datamodel.datamodel.EntryArchive?property_subtypes=true"
    assert ask(url, "GET", path) == (200, json.loads((shared_data / "schema.json").read_bytes()))


def test_info_is_served_as_recorded(url: Served, shared_data: Path) -> None:
    assert ask(url, "GET", "info") == (200, json.loads((shared_data / "info.json").read_bytes()))
