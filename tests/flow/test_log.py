"""The logger `nomad_dask`: retries, refusals and halvings, and never a secret."""

import logging

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.errors import RefusedError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

SILENT = {"progress": False, "sleep_time": 0.01, "max_requests_per_second": None}


def lines(caplog, level):
    return [r.getMessage() for r in caplog.records if r.name == "nomad_dask" and r.levelno == level]


def test_retries_and_halvings_are_logged(caplog):
    caplog.set_level(logging.DEBUG, logger="nomad_dask")
    with serve(n_entries=40) as url:
        poison = next(iter(ArchiveQuery(url=str(url), **SILENT).download(1))).entry_id
        url.faults = Faults(
            [
                Rule(Status(503), path="entries/query", nth=(1,)),
                Rule(Status(500), path="archive/query", match=lambda body: poison in str(body)),
            ]
        )
        query = ArchiveQuery(url=str(url), retry=1, **SILENT)
        query.download(20)
    assert [failure.entry_id for failure in query.failures] == [poison]
    info, debug = lines(caplog, logging.INFO), lines(caplog, logging.DEBUG)
    assert any(line.startswith("/api/v1/entries/query: ") and "retry 1 in" in line for line in info)
    assert any("archive/query: " in line and "given up after 2 tries" in line for line in info)
    assert any("failed; requesting them in 2 parts" in line for line in debug)


def test_a_refusal_is_logged_without_the_login(caplog):
    caplog.set_level(logging.DEBUG, logger="nomad_dask")
    with serve(n_entries=10) as url, pytest.raises(RefusedError):
        ArchiveQuery(url=str(url), username="ada", password="s3cret-word", owner="user", **SILENT).count()
    text = "\n".join(lines(caplog, logging.INFO) + lines(caplog, logging.DEBUG))
    assert "/api/v1/auth/token: refused: " in text
    assert "s3cret-word" not in text


def test_no_line_is_printed_unless_it_is_asked_for(capfd):
    with serve(n_entries=10) as url:
        url.faults = Faults([Rule(Status(503), nth=(1,))])
        assert ArchiveQuery(url=str(url), **SILENT).count() == 10
    assert capfd.readouterr() == ("", "")
