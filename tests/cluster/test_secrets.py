"""SPEC 11: the password and the token occur nowhere but in memory, and workers still see what the login may see."""

import logging
import pickle

import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.harvest_page import write_page
from nomad_dask.pure.errors import NomadDaskError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

REQUIRED = {"metadata": {"main_author": "*"}, "results": {"material": {"n_elements": "*"}}}


@pytest.fixture
def tokens_of(monkeypatch):
    """All tokens that a server gives away, as they are given."""

    def watch(url):
        given, login = [], url.server.users.login

        def noted(username, password):
            answer = login(username, password)
            given.append(answer["access_token"])
            return answer

        monkeypatch.setattr(url.server.users, "login", noted)
        return given

    return watch


def test_the_password_and_the_token_occur_nowhere(cluster, tmp_path, caplog, capfd, tokens_of):
    caplog.set_level(logging.DEBUG)
    with serve(n_entries=150, seed=1) as url:
        given = tokens_of(url)
        query = ArchiveQuery(
            required=REQUIRED,
            url=url,
            results_max=None,
            username="ada",
            password="ada-pw",
            sleep_time=0.01,
            retry=1,
        )
        query.download(20)
        report = query.to_parquet(tmp_path / "h", client=cluster, npartitions=3)
        write_page(tmp_path / "h")
        lazy = query.to_delayed(npartitions=2)
        frame = lazy[0].compute(scheduler="sync")
        url.faults = Faults([Rule(Status(500))])
        with pytest.raises(NomadDaskError) as caught:
            query.count()
    assert report.rows > 150 and len(frame), "the workers saw the private entries"
    private = pd.read_parquet(tmp_path / "h" / "data")
    assert len(private) == report.rows
    printed = capfd.readouterr()
    places = {
        "repr": repr(query).encode(),
        "vars": repr(vars(query)).encode(),
        "pickle": pickle.dumps(query),
        "graph and keys": b"".join(pickle.dumps((d.key, dict(d.dask))) for d in lazy) + repr(lazy).encode(),
        "an error": repr(caught.value).encode() + pickle.dumps(caught.value),
        "logs": caplog.text.encode(),
        "what was printed": (printed.out + printed.err).encode(),
        "workers' logs": repr(cluster.get_worker_logs()).encode()
        + repr(cluster.get_scheduler_logs()).encode(),
        **{str(p): p.read_bytes() for p in (tmp_path / "h").rglob("*") if p.is_file()},
    }
    assert len(given) >= 2, "the client and the workers each asked for a token"
    for secret in (b"ada-pw", *(token.encode() for token in given)):
        assert not [place for place, content in places.items() if secret in content]
