"""Issue 7: the first mistakes of a newcomer. Each message says what is wrong and what to do, and nothing is
left behind.
"""

import http.server
import os
import threading

import pytest
from datasets import write

from nomad_dask import ArchiveQuery, open_dataset, units, update_dataset
from nomad_dask.errors import DatasetError
from nomad_dask.testing import serve

REQUIRED = '{"results": {"material": {"elements": "*"}}}'


class Page(http.server.BaseHTTPRequestHandler):
    """A web server that shows a page, whatever it is asked."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<!doctype html><html><title>Welcome to our group</title></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def places():
    """Where the mistakes are made: `{url}` a server, `{host}` its host, `{page}` a web page that is no
    server.
    """
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    with serve(n_entries=30, seed=4) as url:
        host = url.removeprefix("http://").removesuffix("/api/v1")
        port = host.rpartition(":")[2]
        yield {"url": url, "host": host, "port": port, "page": f"http://127.0.0.1:{page.server_port}"}
    page.shutdown()
    page.server_close()


TYPED = {
    "no such host": (
        "count --url http://no-such-host.invalid/api/v1",
        "no NOMAD server answers at http://no-such-host.invalid/api/v1",
        "check the url and the network connection",
    ),
    "a web page": (
        "count --url {page}",
        "no NOMAD server answers at {page}/api/v1: a web page, 'Welcome to our group'",
        "give the API base, such as https://nomad-lab.eu/prod/v1/api/v1",
    ),
    "the pages for people": (
        "count --url https://nomad-lab.eu/prod/v1/gui/search/entries",
        "is the web interface",
        "the API base is https://nomad-lab.eu/prod/v1/api/v1",
    ),
    "another path": (
        "count --url http://{host}/nomad",
        "refused (404): Not Found [http://{host}/nomad/api/v1/entries/query]",
        "is the url the API base, ending in /api/v1?",
    ),
    "a place in the api": (
        "count --url {url}/entries/query",
        "{url}/entries/query is an endpoint of the API",
        "use the API base {url}",
    ),
    "a port that is taken": (
        "serve --n-entries 5 --port {port}",
        "the port is in use",
        "choose another --port",
    ),
    "https for http": (
        "count --url https://{host}",
        "no NOMAD server answers at https://{host}/api/v1",
        "the server does not seem to use https: try http://{host}/api/v1",
    ),
    "no scheme": (
        "count --url {host}",
        "the url has no scheme: '{host}'",
        "use https://{host} or http://{host}",
    ),
    "a wrong path in required": (
        """harvest --required {{"results":{{"materal":"*"}}}} --out h --url {url}""",
        "required: the server's schema has no 'results.materal'",
        "did you mean 'results.material'?",
    ),
    "a wrong name in documents": (
        """harvest --source documents --required ["results.material.symmetry.space_grup"] --out h --url {url}""",  # noqa: E501
        "the server's schema has no 'results.material.symmetry.space_grup'",
        "did you mean 'results.material.symmetry.space_group_symbol'",
    ),
    "a wrong quantity in the query": (
        """count --query {{"results.material.elemnts":"Ti"}} --url {url}""",
        "results.material.elemnts is not a doc quantity",
        "did you mean 'results.material.elements'",
    ),
    "a wrong path of the schema": (
        "schema run.calculation.enrgy --url {url}",
        "has no 'run.calculation.enrgy'",
        "did you mean 'run.calculation.energy'?",
    ),
    "a typo in an option": ("harvest --requird * --out h", "--requird", "--required"),
    "a typo in a command": ("harvset --out h", "'harvset'", "'harvest'"),
    "a typo in a choice": ("harvest --layout wde --out h", "'wde' is not one of", "did you mean 'wide'?"),
    "a typo in a job file": ("harvest job.toml", "job.toml: unknown option 'qurey'", "did you mean 'query'"),
    "a folder for a job file": ("harvest other", "other", "for the folder of the dataset use --out"),
    "no such job file": ("harvest nowhere.toml", "cannot read nowhere.toml", "check the path"),
    "nowhere to write": ("harvest --url {url}", "harvest needs --out", "the folder or url of the dataset"),
    "not logged in": (
        "count --owner user --url {url}",
        "Authentication required for owner='user'",
        "log in: give username and password, or a token, or set NOMAD_CLIENT_USER",
    ),
    "python's quotes": (
        """count --query {{'results.material.n_elements':2}} --url {url}""",
        "--query: malformed JSON",
        "JSON strings need double quotes",
    ),
    "quotes that the shell took": (
        "harvest --required {{results:{{material:*}}}} --out h --url {url}",
        "--required: malformed JSON",
        "the shell may have removed the quotes: put single quotes around the whole value",
    ),
    "words that the shell parted": (
        "count --query {{results.material.n_elements: 2}} --url {url}",
        "unexpected extra argument",
        "JSON needs single quotes around it",
    ),
    "a file without its @": (
        "count --query query.json --url {url}",
        "--query: malformed JSON",
        "put @ before its name: --query @query.json",
    ),
    "no such file": (
        "harvest --required @nowhere.json --out h --url {url}",
        "--required: cannot read nowhere.json: No such file or directory",
        "check the path",
    ),
    "both sizes": (
        "harvest --partition-size 5 --npartitions 2 --out h --url {url}",
        "give partition_size or npartitions",
        "not both",
    ),
    "no parts": (
        "plan --npartitions 0 --url {url}",
        "npartitions must be a positive integer (got 0)",
        "positive integer",
    ),
    "a folder of other files": (
        "harvest --out other --url {url}",
        "(it contains notes.txt)",
        "choose another folder",
    ),
    "a file for a folder": (
        "harvest --out other/notes.txt --url {url}",
        "notes.txt is a file",
        "a dataset needs a folder of its own",
    ),
    "below a file": (
        "harvest --out other/notes.txt/h --url {url}",
        "notes.txt/h is below a file",
        "a dataset needs a folder of its own",
    ),
    "where nobody may write": (
        "harvest --out /proc/nomad-dask --url {url}",
        "cannot write to /proc/nomad-dask",
        "choose a folder with write permission",
    ),
    "no dataset there": ("status other", "(it contains notes.txt)", "give the folder of a dataset"),
    "nothing there": ("resume nowhere", "nowhere is not a dataset", "harvest a dataset there first"),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_a_newcomer_types(name, places, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("URL", "USER", "PASSWORD", "ACCESS_TOKEN"):
        monkeypatch.delenv(f"NOMAD_CLIENT_{variable}", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "job.toml").write_text('qurey = "{}"\nout = "h"\n')
    (tmp_path / "query.json").write_text("{}")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    places["url"].log.clear()
    line, fault, advice = (words.format(**places) for words in TYPED[name])
    done = call(*line.split(" "), check=4 if fault.startswith("no NOMAD server answers") else 2)
    told = " ".join(done.stderr.replace("│", " ").split())
    assert fault in told and advice in told
    assert not done.stdout and "Traceback" not in told
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"
    assert places["url"].log.count("entries/archive/query") == 0


def test_a_wrong_password_is_told_as_one(places, call, monkeypatch):
    monkeypatch.setenv("NOMAD_CLIENT_USER", "ada")
    monkeypatch.setenv("NOMAD_CLIENT_PASSWORD", "forgotten")
    monkeypatch.setenv("NOMAD_CLIENT_URL", str(places["url"]))
    told = call("count", "--url", places["url"], check=2).stderr
    assert "Incorrect username or password" in told and "forgotten" not in told
    assert "give the login's username and password again, or set NOMAD_CLIENT_USER" in told


def test_another_dataset_in_the_folder_is_named(places, on_cluster, tmp_path):
    line = (
        "harvest",
        "--url",
        places["url"],
        "--required",
        REQUIRED,
        "--out",
        tmp_path / "h",
        "--results-max",
        5,
    )
    on_cluster(*line, check=0)
    files = {path: path.read_bytes() for path in (tmp_path / "h").rglob("*.parquet")}
    told = on_cluster(*line, "--query", '{"results.material.n_elements": 2}', check=2).stderr
    assert (
        "h is the dataset of another query: query is {} there and {'results.material.n_elements': 2} here"
        in told
    )
    assert "choose another folder, or use the same query" in told
    assert files == {path: path.read_bytes() for path in (tmp_path / "h").rglob("*.parquet")}


@pytest.mark.parametrize(
    "within", ["data", "data/part-00000.parquet", "data/run/part-00000.parquet", "segments", "manifest.json"]
)
def test_the_dataset_is_named_to_whoever_opens_a_place_in_it(within, tmp_path):
    write(tmp_path / "h", n=2)
    for read in (open_dataset, units, update_dataset):
        with pytest.raises(DatasetError, match=f"/h/{within} is inside the dataset .*/h; give that folder$"):
            read(tmp_path / "h" / within)
    with pytest.raises(DatasetError, match="other/data is not a dataset"):
        open_dataset(tmp_path / "other" / "data")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_elses(places, call, tmp_path):
    tmp_path.chmod(0o500)
    told = call("harvest", "--url", places["url"], "--out", tmp_path / "h", check=2).stderr
    tmp_path.chmod(0o700)
    assert "Permission denied" in told and "choose a folder with write permission" in told


def query_of(url, **options):
    return ArchiveQuery(url=str(url), required={"results": {"material": "*"}}, progress=False, **options)


def downloaded(url):
    query = query_of(url, results_max=3)
    query.download()
    return query


CALLED = {
    "a typo in an argument": (
        lambda url: ArchiveQuery(url=str(url), pagesize=5),
        "ArchiveQuery has no argument 'pagesize'",
        "did you mean 'page_size'?",
    ),
    "an argument of nobody": (
        lambda url: ArchiveQuery(zzzz=1),
        "ArchiveQuery has no argument 'zzzz'",
        "its arguments are owner, query, required",
    ),
    "a typo in an argument of a method": (
        lambda url: query_of(url).to_parquet("h", npartition=5),
        "to_parquet has no argument 'npartition'",
        "did you mean 'npartitions'",
    ),
    "both sizes": (
        lambda url: query_of(url).to_dask_dataframe(partition_size=5, npartitions=2),
        "give partition_size or npartitions",
        "not both",
    ),
    "a wrong layout": (
        lambda url: query_of(url).to_delayed(layout="wde"),
        "must be one of wide, nested, tables (got 'wde')",
        "did you mean 'wide'?",
    ),
    "a query as text": (
        lambda url: ArchiveQuery(url=str(url), query="{}"),
        "query must be a dict of NOMAD's search expression",
        "not str",
    ),
    "the query first": (
        lambda url: ArchiveQuery({"results.material.n_elements": 2}),
        "owner, the first argument, must be a string",
        "use query={'results.material.n_elements': 2}",
    ),
    "a set in the query": (
        lambda url: query_of(url, query={"results.material.elements": {"Ti"}}),
        "query must be serializable as JSON",
        "use Python's dicts, lists, strings and numbers",
    ),
    "an address for a client": (
        lambda url: query_of(url).to_parquet("h", client="tcp://host:8786"),
        "client must be a Dask client (got 'tcp://host:8786')",
        "use scheduler= for the address of a scheduler",
    ),
    "a number for a path": (lambda url: query_of(url).to_parquet(5), "not 5", "must be a path or a URL"),
    "nothing for a path": (lambda url: open_dataset(None), "not None", "must be a path or a URL"),
    "units of a number": (
        lambda url: units(5),
        "units takes a dataframe or the path of a dataset",
        "(got 5)",
    ),
    "names for a tree": (
        lambda url: ArchiveQuery(url=str(url), required=["results.material"]),
        "required: a list (['results.material']) at the top",
        "a list of names needs source='documents'",
    ),
    "a frame before its download": (
        lambda url: query_of(url).entries_to_dataframe(),
        "nothing was downloaded yet",
        "call download() first",
    ),
    "a wrong key": (
        lambda url: downloaded(url).entries_to_dataframe(keys_to_filter=["results.material.elemnts"]),
        "nothing lies at or below 'results.material.elemnts'",
        "did you mean 'results.material.elements'",
    ),
    "a key that was not asked for": (
        lambda url: downloaded(url).entries_to_dataframe(keys_to_filter=["run.program"]),
        "nothing lies at or below 'run.program'",
        "required does not ask for it, only for results.material",
    ),
    "a folder that is no dataset": (
        lambda url: open_dataset("."),
        "is not a dataset (it contains notes.txt)",
        "give the folder of a dataset",
    ),
    "no folder": (lambda url: units("nowhere"), "nowhere is not a dataset", "check the path"),
    "a typo in the schema": (
        lambda url: query_of(url).schema.results.materal,
        "has no 'results.materal'",
        "did you mean 'results.material'?",
    ),
}


@pytest.mark.parametrize("name", CALLED)
def test_what_a_newcomer_calls(name, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    call, fault, advice = CALLED[name]
    with pytest.raises((ValueError, TypeError, AttributeError)) as caught:
        call(places["url"])
    assert fault in str(caught.value) and advice in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_no_entries_at_all_are_a_note(places, call):
    with pytest.warns(
        UserWarning, match="results_max=0 returns no entries; use None for all entries"
    ) as told:
        assert query_of(places["url"], results_max=0).download() == []
    assert told[0].filename == __file__
    assert (
        "note: results_max=0 returns no entries"
        in call("plan", "--results-max", 0, "--url", places["url"], check=0).stderr
    )
