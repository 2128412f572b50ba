"""What a person sees of the commands: their help, its examples, choices, and the completion in a shell."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from typing import get_args

import pytest
from terminals import terminal

from nomad_dask.cli import app, options
from nomad_dask.cli.help_examples import EXAMPLES
from nomad_dask.query import archive_query
from nomad_dask.query.archive_query import LayoutName
from nomad_dask.request import Source
from nomad_dask.testing import serve
from nomad_dask.testing.generated.profiles import Kind

COMMANDS = [command.callback.__name__ for command in app.registered_commands]


def test_every_command_has_two_to_four_examples():
    assert sorted(EXAMPLES) == sorted(COMMANDS)
    assert all(2 <= len(found) <= 4 for found in EXAMPLES.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_ends_with_its_examples_whole(command, call, monkeypatch):
    """A line is not broken where the terminal ends, so that it can be copied."""
    monkeypatch.setenv("COLUMNS", "60")
    told = call(command, "--help", check=0).stdout
    assert f"nomad-dask {command}" in told
    for words, line in EXAMPLES[command]:
        assert f"# {words}\n" in told and f"$ {line}\n" in told
    assert "\x1b" not in told, "no colour where the output is no terminal"


def test_options_are_in_groups(call):
    told = call("harvest", "--help", check=0).stdout
    for name in (options.QUERY, options.PARTITIONS, options.WORKERS, options.LIMITS):
        assert re.search(rf"^\W*{name}\W*$", told, re.MULTILINE), name
    for choices in (options.SOURCES, options.LAYOUT_NAMES):
        assert re.search(r"\W+".join(choices), told), choices


@pytest.fixture(scope="module")
def dataset_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "query.json").write_text('{"results.material.n_elements": 2}')
    (folder / "required.json").write_text('{"results": {"material": {"elements": "*"}}}')
    job = 'out = "job"\nresults_max = 20\nsource = "documents"\nrequired = ["entry_name"]\n'
    (folder / "job.toml").write_text(job)
    body = {"query": {"results.material.n_elements": 1}, "pagination": {"page_size": 20}}
    (folder / "body.json").write_text(json.dumps(body | {"required": {"include": ["entry_name"]}}))
    return folder


@pytest.fixture(scope="module")
def public():
    with serve(n_entries=60, seed=4) as url:
        yield url


def test_the_examples_run(public, dataset_folder, call, cluster, monkeypatch):
    """One after another, as they stand, in a folder with the files that they name."""
    monkeypatch.chdir(dataset_folder)
    monkeypatch.setattr(archive_query, "PUBLIC", public)
    for command in COMMANDS:
        for _, line in EXAMPLES[command]:
            name, *arguments = shlex.split(line.replace("\\\n", ""))
            assert name == "nomad-dask" and arguments[0] == command
            if command in ("serve", "demo"):
                continue
            if command in ("harvest", "resume", "update") and "--workers" not in arguments:
                arguments += ["--scheduler", cluster.scheduler.address]
            done = call(*[public if a == "URL" else a for a in arguments], check=0)
            assert done.stdout
    assert (dataset_folder / "binaries.html").exists() and (dataset_folder / "names" / "data").is_dir()


@pytest.mark.parametrize("line", [line for _, line in EXAMPLES["serve"]])
def test_the_examples_of_serve_run(line):
    arguments = shlex.split(line)[1:]
    if "--port" not in arguments:
        arguments += ["--port", "0"]  # the documented one may be taken here
    server = subprocess.Popen(
        [sys.executable, "-m", "nomad_dask", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout.readline().startswith("serving http://127.0.0.1:")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)


def test_the_values_of_choices_are_those_that_there_are():
    assert get_args(Source) == options.SOURCES
    assert get_args(LayoutName) == options.LAYOUT_NAMES
    assert get_args(Kind) == options.KINDS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--owner", "pubic"], "did you mean 'public'?"),
        (
            ["harvest", "--layout", "nestd"],
            "'nestd' is not one of wide, nested, tables; did you mean 'nested'?",
        ),
        (["harvest", "--source", "documnts"], "did you mean 'documents'?"),
        (["serve", "--kind", "x"], "'x' is not one of mixed, small, large, results\n"),
        (["count", "--ulr", "x"], "--url"),
        (["counts"], "'counts'"),
    ],
)
def test_a_wrong_value_is_told_the_near_ones(call, arguments, words):
    done = call(*arguments, check=2)
    assert words in done.stderr and not done.stdout


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A folder that is a person's home, with `nomad-dask` on the path; and bash."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    command = tmp_path / "bin" / "nomad-dask"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from nomad_dask.cli import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return bash


def test_completion_in_a_real_bash(shell, tmp_path):
    """Commands, options and values are completed by TAB, once `--install-completion` was run; elsewhere files
    are.
    """
    subprocess.run([shell, "-c", "nomad-dask --install-completion; true"], check=True, capture_output=True)
    (tmp_path / "titania").mkdir()
    typed = [
        ("nomad-dask harv\t", "nomad-dask harvest "),
        ("nomad-dask plan --part\t", "nomad-dask plan --partition-size "),
        ("nomad-dask harvest --layout n\t", "nomad-dask harvest --layout nested "),
        ("nomad-dask count --owner sta\t", "nomad-dask count --owner staging "),
        ("nomad-dask plan --source d\t", "nomad-dask plan --source documents "),
        ("nomad-dask status ti\t", "nomad-dask status titania/"),
    ]
    with terminal([shell, "--rcfile", str(tmp_path / ".bashrc"), "-i"], columns=200) as bash:
        for keys, line in typed:
            bash.type(keys)
            bash.wait_for(line)
            bash.type("\x15")


@pytest.mark.parametrize(
    ("name", "line", "completed"),
    [
        ("zsh", "nomad-dask harvest --layout n", '"nested"'),
        ("fish", "nomad-dask harvest --layout n", "nested"),
        ("zsh", "nomad-dask harv", '"harvest":"Harvest a query'),
        ("fish", "nomad-dask harv", "harvest\tHarvest a query"),
    ],
)
def test_completion_answers_zsh_and_fish(shell, name, line, completed):
    """What these shells' scripts ask the command, and that the scripts are there."""
    asked = {"_NOMAD_DASK_COMPLETE": f"complete_{name}", "_TYPER_COMPLETE_ARGS": line}
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    told = subprocess.run(
        ["nomad-dask"], env=os.environ | asked | action, capture_output=True, text=True, timeout=60
    )
    assert completed in told.stdout
