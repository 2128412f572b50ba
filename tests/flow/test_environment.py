"""SPEC, "Credentials": `NOMAD_CLIENT_URL` is the default url; the environment's login is for it alone."""

import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery, cli
from nomad_dask.client import auth
from nomad_dask.client.auth import login_of
from nomad_dask.client.server import PUBLIC, same_server
from nomad_dask.errors import UserError
from nomad_dask.testing import serve

SILENT = {"progress": False, "sleep_time": 0.01, "max_requests_per_second": None}
LOGINS = {
    "password": {"USER": "ada", "PASSWORD": "ada-pw"},
    "token": {"ACCESS_TOKEN": "TOKEN"},
    "as NOMAD's notebook servers set it": {"USER": "ada", "ACCESS_TOKEN": "TOKEN"},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Sets the variables of NOMAD's client by the ends of their names; nothing else is set."""
    for name in ("NOMAD_CLIENT_URL", *(f"NOMAD_CLIENT_{x}" for x in ("USER", "PASSWORD", "ACCESS_TOKEN"))):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NOMAD_DASK_ALLOW_HTTP", raising=False)
    monkeypatch.setattr(auth, "_warned", set())

    def set_them(**values):
        for name, value in values.items():
            monkeypatch.setenv(f"NOMAD_CLIENT_{name}", value)

    return set_them


@pytest.fixture
def served():
    with serve(n_entries=20, seed=1, private_share=0.5) as url:
        yield url


def login_at(url, kind):
    return {
        name: url.server.users.token("ada") if value == "TOKEN" else value
        for name, value in LOGINS[kind].items()
    }


def user_of(url):
    return {seen.user for seen in url.log if seen.path == "entries/query"}


@pytest.mark.parametrize("ending", ["/api", "/api/", "/api/v1", "/api/v1/", ""])
@pytest.mark.parametrize("kind", LOGINS)
def test_the_environments_server_is_asked_with_its_login(served, environment, kind, ending):
    environment(URL=str(served).removesuffix("/api/v1") + ending, **login_at(served, kind))
    query = ArchiveQuery(**SILENT)
    assert query.url == str(served) and query.count() > 20
    assert user_of(served) == {"ada"}


@pytest.mark.parametrize("kind", LOGINS)
@pytest.mark.parametrize("named", [True, False])
def test_another_server_gets_nothing_of_it_and_a_warning_says_so(served, environment, kind, named):
    """Where no server is named the login is for the public one, as NOMAD's own client has it."""
    with serve(n_entries=5, seed=2) as own:
        environment(**login_at(served, kind), **({"URL": str(own)} if named else {}))
        with pytest.warns(UserWarning) as warned:
            query = ArchiveQuery(url=served, **SILENT)
        assert query.count() == 20
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ArchiveQuery(url=served, **SILENT)
    (note,) = (str(one.message) for one in warned)
    assert f"without a login at {served}" in note and f"set NOMAD_CLIENT_URL={served}" in note
    assert (
        f"is for {own} (NOMAD_CLIENT_URL)" if named else "the public server, because NOMAD_CLIENT_URL"
    ) in note
    assert warned[0].filename == __file__
    assert not [seen for seen in served.log if seen.authorization or seen.user or "token" in seen.path]


def test_the_public_server_is_the_default_and_has_the_login_where_no_server_is_named(environment):
    environment(USER="ada", PASSWORD="ada-pw")
    assert ArchiveQuery().url == PUBLIC
    assert login_of(PUBLIC) is not None and login_of("https://nomad-lab.eu/prod/v1/api") is not None
    environment(URL="https://oasis.example/nomad-oasis/api")
    with pytest.warns(UserWarning, match="without a login"):
        assert login_of(PUBLIC) is None


def test_no_login_in_the_environment_no_warning(environment):
    environment(URL="https://oasis.example/nomad-oasis/api")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert login_of(PUBLIC) is None
        assert ArchiveQuery().url == "https://oasis.example/nomad-oasis/api/v1"


def test_a_keyring_is_not_asked_for_another_server(environment, monkeypatch):
    class Keyring:
        @staticmethod
        def get_password(service, username):
            raise AssertionError("asked")

    monkeypatch.setitem(__import__("sys").modules, "keyring", Keyring)
    environment(URL="https://oasis.example/api", USER="ada")
    with pytest.warns(UserWarning):
        assert login_of("https://other.example/api/v1") is None


def test_a_login_given_by_hand_goes_where_it_is_given(served, environment):
    environment(URL="https://oasis.example/api", USER="bo", PASSWORD="S3CRET")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query = ArchiveQuery(url=served, username="ada", password="ada-pw", **SILENT)
    assert query.count() > 20 and user_of(served) == {"ada"}


@pytest.mark.parametrize(
    "wrong",
    [
        "oasis.example/api",
        "https://me:S3CRET@oasis.example/api",
        "https://[::1/api",
        "https://oasis.example:99999/api",
    ],
)
def test_a_malformed_url_of_the_environment_is_named(wrong, environment):
    environment(URL=wrong, USER="ada", PASSWORD="ada-pw")
    with pytest.raises(UserError, match="NOMAD_CLIENT_URL") as caught:
        ArchiveQuery()
    assert "S3CRET" not in str(caught.value)
    with pytest.warns(UserWarning) as warned:
        assert ArchiveQuery(url="https://other.example/api")._server.login is None
    assert "S3CRET" not in str(warned[0].message)


def test_the_command_line_has_the_same_default(served, environment, monkeypatch, capsys):
    environment(URL=f"{served}/", **login_at(served, "token"))
    monkeypatch.setattr("sys.argv", ["nomad-dask", "count"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code and int(capsys.readouterr().out) > 20


PLACES = st.tuples(
    st.sampled_from(["http", "https"]),
    st.sampled_from(["nomad-lab.eu", "nomad-lab.eu.evil.example", "10.0.0.1", "[fd00::1]"]),
    st.sampled_from([80, 443, 8000]),
    st.sampled_from(["", "/prod/v1", "/prod/v1/staging", "/nomad-oasis"]),
)


@st.composite
def spellings(draw, place):
    """One of the ways to write a server's url."""
    scheme, host, port, prefix = place
    usual = port == {"http": 80, "https": 443}[scheme]
    shown = "" if usual and draw(st.booleans()) else f":{port}"
    host = draw(st.sampled_from([host, host.upper()]))
    ending = draw(st.sampled_from(["", "/", "/api", "/api/", "/api/v1", "/api/v1/"]))
    return f"{draw(st.sampled_from([scheme, scheme.upper()]))}://{host}{shown}{prefix}{ending}"


@given(data=st.data(), one=PLACES, other=PLACES)
def test_servers_are_the_same_if_scheme_host_port_and_path_are(data, one, other):
    """However each is written."""
    url = data.draw(spellings(one))
    assert same_server(url, data.draw(spellings(other))) == (one == other)
    assert same_server(url, data.draw(spellings(one)))


IN_THE_CLEAR = "127.0.0.2"
"""An address of this machine that is not one of those that count as such: it stands for a private
network's.
"""


@pytest.fixture
def private_network():
    with serve(n_entries=20, seed=1, private_share=0.5, host=IN_THE_CLEAR) as url:
        yield url


def test_plain_http_takes_no_login_unless_its_host_is_named(private_network):
    ada = {"username": "ada", "password": "ada-pw", **SILENT}
    for hosts in ((), "127.0.0.3", ["nomad.example", "127.0.0.1"]):
        with pytest.raises(UserError, match="plain http to 127.0.0.2.*allow_http='127.0.0.2', --allow-http"):
            ArchiveQuery(url=private_network, allow_http=hosts, **ada)
    assert private_network.log.count() == 0
    with pytest.warns(UserWarning, match="sent over plain http to 127.0.0.2") as warned:
        query = ArchiveQuery(url=private_network, allow_http=IN_THE_CLEAR, **ada)
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ArchiveQuery(url=private_network, allow_http=["nomad.example", IN_THE_CLEAR], **ada)
    assert query.count() > 20
    assert pickle.loads(pickle.dumps(query._server)).allow_http == (IN_THE_CLEAR,)


def test_without_a_login_plain_http_is_as_it_was(private_network):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ArchiveQuery(url=private_network, allow_http=IN_THE_CLEAR, **SILENT).count() == 20
        assert ArchiveQuery(url=private_network, **SILENT).count() == 20


def test_the_environment_may_name_the_hosts(private_network, environment, monkeypatch):
    """As on a notebook server of an Oasis inside a private network."""
    environment(URL=str(private_network).removesuffix("/v1"), **login_at(private_network, "token"))
    with pytest.raises(UserError, match="NOMAD_DASK_ALLOW_HTTP=127.0.0.2"):
        ArchiveQuery(**SILENT)
    monkeypatch.setenv("NOMAD_DASK_ALLOW_HTTP", f"nomad.example, {IN_THE_CLEAR}")
    with pytest.warns(UserWarning, match="plain http"):
        assert ArchiveQuery(**SILENT).count() > 20


@pytest.mark.parametrize(
    "hosts", ["http://10.0.0.1", "10.0.0.1:8000", "10.0.0.1/api", "*", "", ["ok", 7], 7, "me:S3CRET@10.0.0.1"]
)
def test_what_is_no_host_is_refused(hosts, monkeypatch):
    with pytest.raises(UserError, match="allow_http must be hosts such as '172.17.0.1'") as caught:
        ArchiveQuery(url="https://nomad.example/api", allow_http=hosts)
    assert "S3CRET" not in str(caught.value)
    if isinstance(hosts, str) and hosts:
        monkeypatch.setenv("NOMAD_DASK_ALLOW_HTTP", hosts)
        with pytest.raises(UserError, match="NOMAD_DASK_ALLOW_HTTP must be hosts"):
            ArchiveQuery(url="https://nomad.example/api")


@pytest.mark.parametrize("written", ["fd00::1", "[FD00:0:0::1]", "fd00:0:0:0:0:0:0:1"])
def test_an_address_may_be_written_in_any_way(written):
    with pytest.warns(UserWarning, match="plain http to fd00::1"):
        ArchiveQuery(url="http://[fd00::1]:8000/api", access_token="t", allow_http=written)
