"""SPEC, "Credentials": password and token are only in memory; workers see what the login may see."""

import logging
import pickle

import pandas as pd
import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.client import auth
from nomad_dask.errors import NomadDaskError
from nomad_dask.report_page.write import write_page
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Rule, Status

REQUIRED = {"metadata": {"main_author": "*"}, "results": {"properties": {"n_calculations": "*"}}}


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


IN_THE_CLEAR = "127.0.0.2"
"""An address of this machine that stands for one in a private network."""


@pytest.fixture
def no_login_around(monkeypatch):
    for name in ("URL", "USER", "PASSWORD", "ACCESS_TOKEN"):
        monkeypatch.delenv(f"NOMAD_CLIENT_{name}", raising=False)
    monkeypatch.delenv("NOMAD_DASK_ALLOW_HTTP", raising=False)
    monkeypatch.setattr(auth, "_warned", set())


def test_plain_http_to_a_named_host_from_workers_and_again_at_each_command(
    no_login_around, on_cluster, tmp_path, monkeypatch
):
    """The host is named for each command: neither it nor a secret is in the dataset."""
    out = tmp_path / "h"
    with serve(n_entries=60, seed=1, private_share=0.5, host=IN_THE_CLEAR) as url:
        for name, value in {"URL": str(url), "USER": "ada", "PASSWORD": "ada-pw"}.items():
            monkeypatch.setenv(f"NOMAD_CLIENT_{name}", value)
        required = ("--required", '{"results": {"material": {"elements": "*"}}}', "--npartitions", "2")
        told = on_cluster("harvest", "--out", out, *required, check=2).stderr
        assert "a login is not sent over plain http" in told and not out.exists() and not url.log.count()
        told = on_cluster("harvest", "--out", out, *required, "--allow-http", IN_THE_CLEAR, check=0).stderr
        assert told.count("note: the login is sent over plain http to 127.0.0.2") == 1
        manifest = (out / "manifest.json").read_text()
        assert len(pd.read_parquet(out / "data")) > 60, "the workers saw the private entries"
        assert "ada" not in manifest and "allow_http" not in manifest
        for command in ("resume", "update"):
            told = on_cluster(command, out, check=2).stderr
            assert f"--allow-http {IN_THE_CLEAR}" in told
            on_cluster(command, out, "--allow-http", IN_THE_CLEAR, check=0)
        job = tmp_path / "job.toml"
        job.write_text(
            f'out = "{out}2"\nallow_http = ["{IN_THE_CLEAR}"]\nresults_max = 5\nsource = "documents"\n'
        )
        on_cluster("harvest", job, "--required", '["entry_name"]', check=0)


def test_a_dataset_from_elsewhere_gets_no_login_of_the_environment(
    no_login_around, on_cluster, tmp_path, monkeypatch
):
    """The url in its manifest is whatever its author wrote."""
    out = tmp_path / "h"
    with serve(n_entries=20, seed=1) as url:
        on_cluster("harvest", "--url", url, "--out", out, "--required", '{"results": "*"}', check=0)
        monkeypatch.setenv("NOMAD_CLIENT_ACCESS_TOKEN", "s3cret-s3cret")
        url.log.clear()
        for command in ("resume", "update"):
            told = on_cluster(command, out, check=0).stderr
            assert ("note: continuing without a login" in told) == (command == "resume"), "it is said once"
        assert url.log.count() and not [seen for seen in url.log if seen.authorization]
