"""SPEC, "Credentials": tokens come from the query's server and are renewed in time; secrets by reference."""

import pickle
import traceback

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.client import auth
from nomad_dask.client.answers import Token
from nomad_dask.client.auth import Credentials, Tokens, credentials_of, login_of, remember
from nomad_dask.client.event_loop import run
from nomad_dask.client.server import Login
from nomad_dask.errors import NomadDaskError, RefusedError, UserError
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults, Reset, Rule, Status, Truncate

SILENT = {"progress": False, "sleep_time": 0.01, "max_requests_per_second": None}


@pytest.fixture
def served():
    with serve(n_entries=100, seed=1) as url:
        yield url


@pytest.fixture(autouse=True)
def no_login_around(monkeypatch):
    for name in ("URL", "USER", "PASSWORD", "ACCESS_TOKEN"):
        monkeypatch.delenv(f"NOMAD_CLIENT_{name}", raising=False)
    monkeypatch.delenv("NOMAD_DASK_ALLOW_HTTP", raising=False)
    monkeypatch.setattr(auth, "_warned", set())


def private_of(url, user):
    return sum(1 for e in url.corpus.entries if e.state != "public" and user in (e.main_author, *e.coauthors))


@pytest.mark.parametrize("version", ["2.0", "1.3"])
@pytest.mark.parametrize("user", ["ada", "bo"])
def test_a_user_sees_their_private_entries_with_either_kind_of_server(version, user):
    with serve(n_entries=100, seed=1, version=version) as url:
        query = ArchiveQuery(url=url, username=user, password=f"{user}-pw", **SILENT)
        assert query.count() == 100 + private_of(url, user) > 100
        assert ArchiveQuery(url=url, **SILENT).count() == 100


def test_one_token_for_many_requests(served):
    query = ArchiveQuery(url=served, username="ada", password="ada-pw", page_size=10, **SILENT)
    query.fetch()
    assert served.log.count("auth/token") == 1 and served.log.count("entries/query") > 5


def test_a_token_is_replaced_before_its_end():
    now, asked = [0.0], []

    async def ask(method, fields):
        asked.append((method, now[0]))
        return Token(f"t{len(asked)}", 100.0)

    tokens, login = Tokens(clock=lambda: now[0]), login_of("https://x", "ada", "ada-pw")

    def token_at(when):
        now[0] = when
        return run(tokens.get("https://x", login, ask))

    assert [token_at(t) for t in (0, 50, 69, 71, 140, 142)] == ["t1", "t1", "t1", "t2", "t2", "t3"]


def test_a_token_that_is_not_taken_is_replaced_once(served):
    query = ArchiveQuery(url=served, username="ada", password="ada-pw", **SILENT)
    served.faults = Faults([Rule(Status(401), path="entries/query", nth=(1,))])
    assert query.count() > 100
    assert served.log.count("auth/token") == 2
    served.faults = Faults([Rule(Status(401), path="entries/query")])
    with pytest.raises(RefusedError) as caught:
        query.count()
    assert caught.value.status == 401


def test_an_access_token_is_used_as_it_is(served):
    token = served.server.users.token("ada")
    assert ArchiveQuery(url=served, access_token=token, **SILENT).count() > 100
    assert served.log.count("auth/token") == 0


def test_a_bad_access_token_is_the_users_error(served):
    with pytest.raises(RefusedError, match="credentials") as caught:
        ArchiveQuery(url=served, access_token="nope-nope", **SILENT).count()
    assert "nope-nope" not in str(caught.value)


def test_a_wrong_password_is_said_with_the_servers_words(served):
    with pytest.raises(RefusedError, match="Incorrect username or password") as caught:
        ArchiveQuery(url=served, username="ada", password="S3CRET-S3CRET", **SILENT).count()
    assert "S3CRET" not in str(caught.value) and served.log.count("entries/query") == 0


def test_the_environments_login(served, monkeypatch):
    monkeypatch.setenv("NOMAD_CLIENT_URL", str(served))
    monkeypatch.setenv("NOMAD_CLIENT_USER", "bo")
    monkeypatch.setenv("NOMAD_CLIENT_PASSWORD", "bo-pw")
    assert ArchiveQuery(url=served, **SILENT).count() == 100 + private_of(served, "bo")


def test_a_username_alone_is_looked_up_in_the_keyring(served, monkeypatch):
    class Keyring:
        @staticmethod
        def get_password(service, username):
            return {"ada": "ada-pw"}.get(username) if service == "nomad-dask" else None

    monkeypatch.setitem(__import__("sys").modules, "keyring", Keyring)
    assert ArchiveQuery(url=served, username="ada", **SILENT).count() > 100
    with pytest.raises(UserError, match="no password for 'cy'"):
        ArchiveQuery(url=served, username="cy", **SILENT)


def test_no_login_over_plain_http_but_to_loopback():
    with pytest.raises(UserError, match="plain http"):
        ArchiveQuery(url="http://nomad.example/api/v1", username="ada", password="ada-pw")
    ArchiveQuery(url="https://nomad.example/api/v1", username="ada", password="ada-pw")
    ArchiveQuery(url="http://nomad.example/api/v1")


def test_a_redirect_is_not_followed_with_the_login(served):
    """A second server records what it gets: nothing."""
    with serve(n_entries=5) as other:
        served.faults = Faults([Rule(Status(307), path="entries/query")])
        with pytest.raises(RefusedError):
            ArchiveQuery(url=served, username="ada", password="ada-pw", **SILENT).count()
        assert other.log.count() == 0


def test_a_login_is_only_a_name():
    login = login_of("https://x", "ada", "S3CRET-S3CRET")
    everything = b"".join(
        [
            repr(login).encode(),
            pickle.dumps(login),
            repr(credentials_of(login, "https://x")).encode(),
            pickle.dumps(ArchiveQuery(url="https://x/api/v1", username="ada", password="S3CRET-S3CRET")),
            repr(
                vars(ArchiveQuery(url="https://x/api/v1", username="ada", password="S3CRET-S3CRET"))
            ).encode(),
            repr(ArchiveQuery(url="https://x/api/v1", access_token="S3CRET-S3CRET")).encode(),
        ]
    )
    assert b"S3CRET" not in everything


def test_a_process_without_the_login_says_what_to_set(monkeypatch):
    with pytest.raises(UserError, match="NOMAD_CLIENT_USER"):
        credentials_of(Login("nobody here"), "https://x")
    remember(Login("somebody"), Credentials("https://x", "ada", "x"))
    assert credentials_of(Login("somebody"), "https://x/api/v1").username == "ada"
    with pytest.raises(UserError, match="is for https://x, and is not sent to https://y"):
        credentials_of(Login("somebody"), "https://y/api/v1")
    monkeypatch.setenv("NOMAD_CLIENT_URL", "https://x/api")
    monkeypatch.setenv("NOMAD_CLIENT_USER", "bo")
    monkeypatch.setenv("NOMAD_CLIENT_PASSWORD", "bo-pw")
    with pytest.raises(UserError, match="does not have the login 'ada'"):
        credentials_of(Login("gone", "ada"), "https://x")
    assert credentials_of(Login("gone", "bo"), "https://x").password == "bo-pw"
    with pytest.raises(
        UserError, match="does not have the login 'bo'.*and NOMAD_CLIENT_URL=https://y/api/v1"
    ):
        credentials_of(Login("gone", "bo"), "https://y/api/v1")


def test_equal_tokens_have_equal_names():
    one = login_of("https://x", access_token="t1")
    assert one == login_of("https://x/api/v1", access_token="t1\n")
    assert one != login_of("https://x", access_token="t2")
    assert one != login_of("https://y", access_token="t1")
    assert auth.login_of("https://x") is None
    with pytest.raises(UserError, match="username"):
        login_of("https://x", password="x")
    for empty in ("", "  ", "a\nb"):
        with pytest.raises(UserError, match="access_token is empty"):
            login_of("https://x", access_token=empty)


def test_secrets_go_to_their_own_server_whatever_else_is_made_meanwhile():
    with serve(n_entries=20, seed=1) as one, serve(n_entries=20, seed=1) as other:
        first = ArchiveQuery(url=one, username="ada", password="ada-pw", **SILENT)
        ArchiveQuery(url=other, username="ada", password="S3CRET-OF-THE-OTHER", **SILENT)
        assert first.count() > 20
        assert other.log.count() == 0
        with pytest.raises(RefusedError, match="Incorrect"):
            ArchiveQuery(url=one, username="ada", password="wrong", **SILENT).count()


def test_the_environments_login_is_read_when_the_query_is_made(served, monkeypatch):
    counts = []
    monkeypatch.setenv("NOMAD_CLIENT_URL", str(served))
    for user in ("ada", "bo"):
        monkeypatch.setenv("NOMAD_CLIENT_USER", user)
        monkeypatch.setenv("NOMAD_CLIENT_PASSWORD", f"{user}-pw")
        counts.append(ArchiveQuery(url=served, **SILENT).count())
    assert counts == [100 + private_of(served, "ada"), 100 + private_of(served, "bo")]


@pytest.mark.parametrize("version", ["2.0", "1.3"])
@pytest.mark.parametrize(
    "fault", [Status(302), Status(404), Status(500, html=True), Reset(), Truncate(0.5)], ids=str
)
@pytest.mark.parametrize("path", ["auth/token", "entries/query"])
def test_no_error_repeats_a_secret(version, fault, path, monkeypatch):
    """Neither its message, nor its causes and contexts, nor what a traceback prints."""
    password = "ada-pw"
    with serve(n_entries=10, version=version) as url:
        given, login = [], url.server.users.login

        def noted(username, secret):
            answer = login(username, secret)
            given.append(answer["access_token"])
            return answer

        monkeypatch.setattr(url.server.users, "login", noted)
        url.faults = Faults([Rule(fault, path=path)])
        with pytest.raises(NomadDaskError) as caught:
            ArchiveQuery(url=url, username="ada", password=password, retry=1, **SILENT).count()
    told, error = [], caught.value
    while error is not None:
        told += [str(error), repr(error), *traceback.format_exception_only(error)]
        error = error.__cause__ or error.__context__
    for secret in (password, *given):
        assert not [words for words in told if secret in words]


@pytest.mark.parametrize(
    "url", ["ada:PASSW0RD@host/api/v1", "ftp://ada:PASSW0RD@host", "https://ada:PASSW0RD@host"]
)
def test_a_url_with_a_login_is_not_repeated(url):
    with pytest.raises(UserError, match="must not contain a login") as caught:
        ArchiveQuery(url=url)
    assert "PASSW0RD" not in str(caught.value)
