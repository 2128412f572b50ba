"""SPEC, "ArchiveQuery": scripts for nomad-lab run with another import: names, defaults, messages."""

import inspect
import re

import pytest

from nomad_dask import ArchiveQuery


def test_the_guides_arguments_come_in_the_guides_order(peer):
    """nomad-lab has a `batch_size` before `username`, which its guide does not know; ours keeps the guide's
    order.
    """
    theirs = [name for name, _, _ in peer.signature()]
    own = [
        p.name
        for p in inspect.signature(ArchiveQuery).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert own == [name for name in theirs if name in own]
    assert own[:7] == theirs[:7]


def test_every_argument_of_nomad_lab_is_known(peer):
    theirs = {name for name, _, _ in peer.signature()}
    assert theirs <= set(inspect.signature(ArchiveQuery).parameters)


def test_defaults_are_nomad_labs(peer):
    """But for what finds itself, the server that is asked for tokens, and `retry`, which is what nomad-lab
    documents.
    """
    theirs = {name: default for name, default, _ in peer.signature()}
    own = {
        name: p.default for name, p in inspect.signature(ArchiveQuery).parameters.items() if name in theirs
    }
    otherwise = {name for name in own if own[name] != theirs[name]}
    assert otherwise == {"batch_size", "semaphore", "from_api", "retry"}
    assert (own["retry"], theirs["retry"]) == (4, 1)


@pytest.mark.parametrize(
    "method", ["fetch", "download", "async_fetch", "async_download", "entry_list", "clear"]
)
def test_methods_take_the_same_arguments_by_position(peer, method):
    def positional(parameters):
        return [default for _, default, kind in parameters if kind == "POSITIONAL_OR_KEYWORD"]

    own = inspect.signature(getattr(ArchiveQuery, method)).parameters.values()
    mine = [(p.name, p.default, p.kind.name) for p in own if p.name != "self"]
    theirs = peer.signature(method)
    assert positional(mine) == positional(theirs)
    keywords = {name for name, _, kind in theirs if kind == "KEYWORD_ONLY"}
    assert keywords <= {name for name, _, _ in mine}


@pytest.mark.parametrize("portions", [[0], [8, 5, 7], [25, 1]], ids=str)
def test_the_same_is_said(peer, ours, generated, capfd, portions):
    """nomad-lab says it on stdout, ours on stderr; ours tells the percentage where there is no terminal, and
    that `results_max` cuts.
    """
    arguments = {"page_size": 10, "results_max": 30}
    theirs, mine = peer.query(generated, **arguments), ours(generated, **arguments, progress=True)
    capped = 0
    for n in portions:
        theirs.download(n, as_plain_dict=True)
        mine.download(n, as_plain_dict=True)
        out, err = capfd.readouterr()
        assert out == ""
        capped += err.splitlines().count("30 of 300 that match: results_max=30")
        lines = [line for line in err.splitlines() if "that match" not in line]
        assert [re.sub(r"  \[.*\]  +\d+%$", "", line) for line in lines] == theirs.printed.splitlines()
    assert capped == (sum(portions) in (0, 26)), "once, when the list is at its end"
