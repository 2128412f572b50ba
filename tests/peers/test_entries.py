"""SPEC, "ArchiveQuery": the same arguments list and download the same entries as nomad-lab's own class."""

import asyncio
from typing import Any

import pytest

MATERIAL = {"results": {"material": {"elements": "*"}}}
ENERGY = {"energy": "*", "system_ref": {"chemical_composition_reduced": "*"}}
REFERRING = {"workflow2": {"results": {"calculation_result_ref": ENERGY}}}
IDENTITY = {"metadata": {"entry_id": "*"}}
TREES: dict[str, dict[str, Any]] = {
    "a few quantities": MATERIAL,
    "whole sections": {"results": "*", "metadata": "*"},
    "slices": {"run[0]": {"calculation[-1]": {"energy": "*"}, "program": "*"}},
    "all but": {"*": "*", "run": "exclude", "workflow2": "exclude"},
    "by include": {"results": {"method": "include"}},
    "unknown names": {"nope": "*", "results": {"material": "*"}},
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "an element": {"query": {"results.material.elements": ["O"]}},
    "one of two": {
        "query": {"or": [{"results.material.elements": ["C"]}, {"results.material.elements": ["Si"]}]}
    },
    "none": {"query": {"entry_id": "nobody"}},
    "from the middle": {"after": "R"},
    "an owner": {"owner": "public"},
    "small pages": {"page_size": 7},
    "at most one page": {"results_max": 5, "page_size": 10},
    "at most two whole pages": {"results_max": 20, "page_size": 10},
    "at most part of a page": {"results_max": 15, "page_size": 10},
}


def asked(url: Any) -> list[str]:
    """The quantities that nomad-lab's last listing asked entries to have."""
    listing = [seen.body for seen in url.log if seen.path == "entries/query"][-1]
    quantities: list[str] = listing["query"]["and"][0]["quantities"]
    return quantities


@pytest.mark.parametrize("arguments", [pytest.param(a, id=name) for name, a in QUESTIONS.items()])
def test_the_same_entries_are_fetched(peer, ours, archive, arguments):
    theirs, mine = peer.query(archive, **arguments), ours(archive, **arguments)
    theirs.fetch()
    added = mine.fetch()
    assert mine.entry_list() == theirs.entry_list()
    assert added == len(mine.entry_list())


def test_a_page_cut_by_results_max_is_counted(peer, ours, generated):
    """nomad-lab lists 15 entries and says 10, so its first `download()` leaves five behind."""
    arguments = {"results_max": 15, "page_size": 10}
    theirs, mine = peer.query(generated, **arguments), ours(generated, **arguments)
    assert (theirs.fetch(), len(theirs.entry_list())) == (10, 15)
    assert (mine.fetch(), len(mine.entry_list())) == (15, 15)
    theirs, mine = peer.query(generated, **arguments), ours(generated, **arguments)
    assert (len(theirs.download(as_plain_dict=True)), len(mine.download(as_plain_dict=True))) == (10, 15)


def test_fetching_in_steps_lists_whole_pages(peer, ours, archive):
    arguments = {"results_max": 40, "page_size": 10}
    theirs, mine = peer.query(archive, **arguments), ours(archive, **arguments)
    for n in (3, 11, 1, 0, 5, 0):
        assert mine.fetch(n) == theirs.fetch(n)
        assert mine.entry_list() == theirs.entry_list()
    theirs.clear()
    mine.clear()
    assert mine.entry_list() == theirs.entry_list() == []
    assert mine.fetch(2) == theirs.fetch(2) == 10


@pytest.mark.parametrize(
    "required", [MATERIAL, REFERRING, IDENTITY], ids=["material", "referring", "identity"]
)
def test_only_nomad_lab_leaves_out_entries_without_a_required_quantity(peer, ours, archive, required):
    """nomad-lab adds a condition `quantities` to the query; ours sends what the user wrote.

    With the same condition in the query, the entries are the same; without it ours are all that match. No
    entry
    says that it has its own `metadata.entry_id`, so nomad-lab finds none where that is required.
    """
    theirs = peer.query(archive, required=required)
    theirs.fetch()
    condition = {"quantities": asked(archive)}
    assert condition["quantities"]
    same, mine = ours(archive, required=required, query=condition), ours(archive, required=required)
    everything = ours(archive)
    for query in (same, mine, everything):
        query.fetch()
    assert same.entry_list() == theirs.entry_list()
    assert mine.entry_list() == everything.entry_list()
    assert set(mine.entry_list()) >= set(theirs.entry_list())
    assert bool(theirs.entry_list()) == (required != IDENTITY)


@pytest.mark.parametrize("user", ["ada", "bo", "cy", "dee"])
@pytest.mark.parametrize("owner", ["visible", "user", "shared", "staging"])
def test_users_see_the_same_entries(peer, ours, recorded, user, owner):
    login = {"owner": owner, "username": user, "password": f"{user}-pw"}
    theirs, mine = peer.query(recorded, **login, from_api=True), ours(recorded, **login)
    theirs.fetch()
    mine.fetch()
    assert mine.entry_list() == theirs.entry_list()
    got = theirs.download(7, as_plain_dict=True)
    assert mine.download(7, as_plain_dict=True) == got


@pytest.mark.parametrize("required", [pytest.param(r, id=name) for name, r in TREES.items()])
def test_the_same_archives_are_downloaded(peer, ours, archive, required):
    """As plain dicts, in list order; the entries that have none are left out by both."""
    theirs = peer.query(archive, required=required, results_max=60)
    got = theirs.download(as_plain_dict=True)
    condition = {"quantities": asked(archive)}
    mine = ours(archive, required=required, query=condition, results_max=60)
    assert len(got) > 10
    assert mine.download(as_plain_dict=True) == got
    assert mine.entry_list() == theirs.entry_list() == []


def test_whole_archives_are_the_same(peer, ours, archive):
    theirs, mine = peer.query(archive, results_max=120), ours(archive, results_max=120)
    theirs.fetch()
    got = theirs.download(as_plain_dict=True)
    assert mine.download(as_plain_dict=True) == got
    assert len(got) > 100


def test_the_loop_of_the_guide_delivers_the_same_portions(peer, ours, generated):
    arguments = {"results_max": 35, "page_size": 10, "required": MATERIAL}
    theirs = peer.query(generated, **arguments)
    portions = [theirs.download(8, as_plain_dict=True)]
    mine = ours(generated, **arguments, query={"quantities": asked(generated)})
    assert mine.download(8, as_plain_dict=True) == portions[0]
    assert mine.entry_list() == theirs.entry_list()
    while portions[-1]:
        portions.append(theirs.download(8, as_plain_dict=True))
        assert mine.download(8, as_plain_dict=True) == portions[-1]
        assert mine.entry_list() == theirs.entry_list()
    assert [len(portion) for portion in portions] == [8, 8, 8, 8, 3, 0]


def test_async_calls_do_the_same(peer, ours, generated):
    arguments = {"results_max": 30, "page_size": 10}
    theirs, mine = peer.query(generated, **arguments), ours(generated, **arguments)
    assert asyncio.run(mine.async_fetch(5)) == theirs.async_fetch(5) == 10
    got = theirs.async_download(12, as_plain_dict=True)
    assert asyncio.run(mine.async_download(12, as_plain_dict=True)) == got
    assert mine.entry_list() == theirs.entry_list()


def test_typed_archives_hold_the_same_values(peer, ours, recorded):
    """nomad-lab's typed results, turned back into dicts, are ours, but for what it drops.

    It drops nulls, `m_ref_archives`, and quantities of code-specific schemas (`x_...`) that are not
    installed.
    """
    arguments = {"results_max": 12, "query": {"results.material.elements": ["O"]}}
    theirs, mine = peer.query(recorded, **arguments), ours(recorded, **arguments)
    typed = theirs.download()
    own = [archive.to_dict() for archive in mine.download()]
    assert [known(archive) for archive in own] == [known(archive) for archive in typed]


def test_generated_archives_are_such_as_nomad_lab_reads(peer, generated):
    """Its typed results keep all that they hold, as they do of real ones."""
    theirs = peer.query(generated, results_max=300)
    theirs.fetch()
    listed = theirs.entry_list()
    without = {entry.entry_id for entry in generated.corpus.entries if not entry.has_archive}
    plain = theirs.download(300, as_plain_dict=True)
    theirs = peer.query(generated, results_max=300, query={"entry_id:none": sorted(without)})
    theirs.fetch()
    assert theirs.entry_list() == [entry for entry in listed if entry[0] not in without]
    assert [known(archive) for archive in theirs.download()] == [known(archive) for archive in plain]


def known(value: Any) -> Any:
    """What of an archive nomad-lab's typed results keep."""
    if isinstance(value, dict):
        kept = {k: known(v) for k, v in value.items() if not k.startswith("x_") and k != "m_ref_archives"}
        return {k: v for k, v in kept.items() if v is not None}
    return [known(item) for item in value] if isinstance(value, list) else value


def test_an_entry_without_archive_costs_no_other(peer, ours, recorded):
    """nomad-lab matches answers by position: its typed download fails for a page that lacks one, and forgets
    the rest.
    """
    theirs, mine = peer.query(recorded), ours(recorded)
    listed = mine.fetch()
    assert theirs.fetch() == listed
    with pytest.raises(peer.error, match="IndexError"):
        theirs.download()
    delivered = mine.download()
    absent = {entry.entry_id for entry in recorded.corpus.entries if not entry.has_archive}
    assert {entry_id for entry_id, _ in mine.missing} <= absent
    assert mine.missing
    assert len(delivered) == listed - len(mine.missing)
    assert mine.entry_list() == []
