"""SPEC, "Batches", "Responses": listing and download by id, with nothing lost and nothing twice."""

import itertools
from dataclasses import replace

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.client.archives import DownloadOptions, archives
from nomad_dask.client.event_loop import iterate, run
from nomad_dask.client.search import count, get_page, iter_pages
from nomad_dask.errors import ProtocolError, ServerError
from nomad_dask.limits import BatchSize
from nomad_dask.request import QuerySpec, Ref
from nomad_dask.request.references import refers_elsewhere
from nomad_dask.request.required import parse
from nomad_dask.request.segments import Segment, even_bounds
from nomad_dask.testing import serve
from nomad_dask.testing.faults import (
    Drop,
    Faults,
    Garble,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Rule,
    Status,
    Unasked,
)
from nomad_dask.testing.generated.features import REMOTE

ARCHIVES = "entries/archive/query"


def everything(client, question, collect, segment=Segment(), page_size=10_000):
    return [
        ref
        for page in collect(iter_pages(client, question, segment, page_size=page_size))
        for ref in page.refs
    ]


def delivered(collect, deliveries):
    """Entry ids by what became of them; each exactly once."""
    parts = collect(deliveries)
    found = [ref.entry_id for part in parts for ref, _ in part.archives]
    missing = [ref.entry_id for part in parts for ref in part.missing]
    failed = [failure.entry_id for part in parts for failure in part.failures]
    everyone = found + missing + failed
    assert len(everyone) == len(set(everyone))
    return found, missing, failed


@pytest.mark.parametrize("page_size", [1, 7, 100, 300, 10_000])
def test_a_listing_is_whole_and_in_order(archive, client_of, question, collect, page_size):
    refs = everything(client_of(archive), question, collect, page_size=page_size)
    assert len(refs) == 300 and refs == sorted(set(refs))


def test_segments_together_list_each_entry_once(archive, client_of, question, collect):
    client, bounds = client_of(archive), even_bounds("", "", 9)
    pieces = [everything(client, question, collect, Segment(a, b)) for a, b in itertools.pairwise(bounds)]
    assert [r for piece in pieces for r in piece] == everything(client, question, collect)
    assert [len(p) for p in pieces] == [
        run(count(client, question, Segment(a, b))) for a, b in itertools.pairwise(bounds)
    ]


@pytest.mark.parametrize("fault", [RepeatCursor(), Drop(1), InflateTotal(3), Unasked(("z" * 28,))], ids=str)
def test_a_listing_that_breaks_the_rules_is_an_error(served, client_of, question, collect, fault):
    served.faults = Faults([Rule(fault, path="entries/query")])
    with pytest.raises(ProtocolError):
        everything(client_of(served), question, collect, Segment("", "w"), page_size=100)


def test_a_reordered_listing_is_put_in_order(served, client_of, question, collect):
    served.faults = Faults([Rule(Reorder())])
    refs = everything(client_of(served), question, collect, page_size=50)
    assert len(refs) == 300 and refs == sorted(refs)


@pytest.mark.parametrize("fixed", [1, 7, 1000])
def test_archives_are_joined_by_id(served, client_of, question, collect, fixed):
    client = client_of(served)
    refs = run(get_page(client, question, Segment(), 40)).refs
    served.faults = Faults([Rule(Reorder(), path=ARCHIVES)])
    parts = collect(archives(client, question, refs, DownloadOptions(BatchSize(fixed, fixed=True), 4)))
    for part in parts:
        for ref, archive in part.archives:
            listed = served.corpus.archive([e.entry_id for e in served.corpus.entries].index(ref.entry_id))
            assert archive["results"]["material"]["elements"] == listed["results"]["material"]["elements"]


def test_the_batch_size_adapts(archive, client_of, question, collect):
    client, sizes = client_of(archive), []
    refs = everything(client, question, collect)
    collect(archives(client, question, refs, DownloadOptions(BatchSize(4), 1, sizes)))
    assert sizes[0] == 4 and sizes[1] == 16 and max(sizes) > 64


def test_entries_without_archive_are_asked_for_once_more_and_told(served, client_of, question, collect):
    client = client_of(served)
    refs = everything(client, question, collect)
    gone = {refs[k].entry_id for k in (0, 17, 299)}
    served.faults = Faults(missing=gone)
    served.log.clear()
    found, missing, failed = delivered(
        collect, archives(client, question, refs, DownloadOptions(BatchSize(100), 4))
    )
    assert gone <= set(missing) and not failed
    assert len(found) + len(missing) == 300
    asked = [set(r.body["query"]["entry_id:any"]) for r in served.log]
    assert all(sum(g in a for a in asked) == 2 for g in gone)


def test_a_forgetful_server_is_asked_for_each_alone(served, client_of, question, collect):
    """An answer that drops an entry now and then costs a request, never the entry."""
    client = client_of(served)
    refs = everything(client, question, collect)
    quiet, absent, _ = delivered(
        collect, archives(client, question, refs, DownloadOptions(BatchSize(10, fixed=True), 4))
    )
    served.faults = Faults(
        [Rule(Drop(2), match=lambda body: len(body["query"]["entry_id:any"]) > 1, path=ARCHIVES)]
    )
    found, missing, failed = delivered(
        collect, archives(client, question, refs, DownloadOptions(BatchSize(10, fixed=True), 4))
    )
    assert sorted(found) == sorted(quiet) and sorted(missing) == sorted(absent) and not failed


def test_a_poison_entry_is_isolated_by_halving(served, client_of, question, collect):
    client = client_of(served)
    refs = everything(client, question, collect)
    poison = {refs[k].entry_id for k in (3, 150, 151)}
    served.faults = Faults(poison=poison)
    served.log.clear()
    parts = collect(archives(client, question, refs, DownloadOptions(BatchSize(100, fixed=True), 4)))
    failures = {f.entry_id: f for part in parts for f in part.failures}
    assert set(failures) == poison
    assert all(f.status == 500 and f.attempts == 3 and f.reason for f in failures.values())
    assert sum(len(p.archives) + len(p.missing) for p in parts) == 297
    assert served.log.count() <= 3 + 18 * 3, "an entry costs two requests at each halving, and few beside"


def test_a_server_that_is_down_is_no_entrys_fault(served, client_of, question, collect):
    client = client_of(served, retry=1)
    refs = everything(client, question, collect)
    served.faults = Faults([Rule(Status(502))])
    with pytest.raises(ServerError):
        collect(archives(client, question, refs, DownloadOptions(BatchSize(100), 2)))
    assert client.stats.requests < 30


def test_answers_that_were_not_asked_for_are_an_error(served, client_of, question, collect):
    client = client_of(served)
    refs = everything(client, question, collect)
    served.faults = Faults([Rule(Unasked(("z" * 28,)), path=ARCHIVES)])
    with pytest.raises(ProtocolError, match="not requested"):
        collect(archives(client, question, refs[:50], DownloadOptions(BatchSize(10), 2)))


def test_faults_of_every_kind_lose_nothing(served, client_of, question, collect):
    """20% of answers broken in one way or another; each entry delivered once."""
    client = client_of(served, timeout=2.0, retry=8)
    refs = everything(client, question, collect)
    quiet, absent, _ = delivered(
        collect, archives(client, question, refs, DownloadOptions(BatchSize(8, fixed=True), 4))
    )
    served.faults = Faults.parse(
        "status=503,html,rate=0.06; status=500,rate=0.04; reset,rate=0.05; truncate=0.5,rate=0.05; seed=3"
    )
    found, missing, failed = delivered(
        collect, archives(client, question, refs, DownloadOptions(BatchSize(8, fixed=True), 4))
    )
    assert sorted(found) == sorted(quiet) and sorted(missing) == sorted(absent) and not failed
    assert client.stats.retries > 0


def test_no_ids_no_question(archive, client_of, question, collect):
    client = client_of(archive)
    assert collect(archives(client, question, [], DownloadOptions(BatchSize(), 4))) == []
    assert client.stats.requests == 0


def test_an_entry_that_is_not_listed_has_no_archive(archive, client_of, question, collect):
    client = client_of(archive)
    _, missing, _ = delivered(
        collect, archives(client, question, [Ref("x" * 28, "u" * 22)], DownloadOptions(BatchSize(), 4))
    )
    assert missing == ["x" * 28]


def remote_entries(corpus):
    """Entries that refer to another installation."""
    return {
        e.entry_id
        for i, e in enumerate(corpus.entries)
        if e.state == "public" and e.has_archive and refers_elsewhere(corpus.archive(i))
    }


def test_a_reference_to_another_installation_costs_no_other_entry(client_of, collect):
    """Such a reference makes the whole page a 400; everything else comes, resolved, that one as its
    string.
    """
    required = parse(
        {
            "run": {"program": "*"},
            "workflow2": {
                "results": {"calculation_result_ref": {"energy": "*", "system_ref": {"type": "*"}}}
            },
        }
    )
    question = QuerySpec("visible", {}, required)
    with serve(n_entries=400, seed=0, features={REMOTE: 0.01}) as url:
        client = client_of(url)
        refs = everything(client, question, collect)
        remote = remote_entries(url.corpus)
        assert len(remote) > 1
        before = client.stats.requests
        parts = collect(archives(client, question, refs, DownloadOptions(BatchSize(100, fixed=True), 4)))
        asked = client.stats.requests - before
        assert asked < 4 * 4 + 6 * len(remote) + 10
        told = ArchiveQuery(url=str(url), required=required.written, results_max=None).forecast()[1]
        assert asked / 2 < told.requests < 3 * asked, "what the sample met is counted for all"
        found = {ref.entry_id: archive for part in parts for ref, archive in part.archives}
        assert not any(part.failures for part in parts) and len(found) > 380
        for entry_id, archive in found.items():
            value = archive.get("workflow2", {}).get("results", {}).get("calculation_result_ref")
            assert isinstance(value, str) or entry_id not in remote
            if entry_id in remote:
                assert value.startswith("https://") and archive["run"][0]["program"]


def test_without_resolving_references_stay_strings(archive, client_of, collect):
    required = parse({"workflow2": {"results": {"calculation_result_ref": {"energy": "*"}}}})
    question = QuerySpec("visible", {}, required, resolve_references=False)
    client = client_of(archive)
    parts = collect(
        archives(client, question, everything(client, question, collect), DownloadOptions(BatchSize(), 4))
    )
    values = [
        a.get("workflow2", {}).get("results", {}).get("calculation_result_ref")
        for p in parts
        for _, a in p.archives
    ]
    assert all(v is None or isinstance(v, str) for v in values) and any(values)


class LoseTheMiddle:
    """A listing page without its middle row; the total still counts it."""

    def edit(self, answer):
        rows = answer["data"]
        return {**answer, "data": rows[: len(rows) // 2] + rows[len(rows) // 2 + 1 :]}


@pytest.mark.parametrize("page_size", [7, 100, 10_000])
def test_a_row_that_a_listing_drops_is_noticed(served, client_of, question, collect, page_size):
    client = client_of(served)
    served.faults = Faults([Rule(LoseTheMiddle(), path="entries/query", nth=(2,))])
    assert len(everything(client, question, collect, page_size=100)) == 300, "once is asked again"
    served.faults = Faults([Rule(LoseTheMiddle(), path="entries/query")])
    with pytest.raises(ProtocolError, match="counts 300 entries and lists"):
        everything(client, question, collect, page_size=page_size)


@pytest.mark.parametrize(
    "answer", [[1, 2], {"hello": 1}, {"data": [{}]}, {"data": None, "pagination": {}}, None, "x"]
)
def test_answers_of_another_shape_are_as_good_as_none(served, client_of, question, collect, answer):
    class Other:
        def edit(self, _):
            return answer

    client = client_of(served, retry=1)
    refs = everything(client, question, collect)
    served.faults = Faults([Rule(Other(), nth=(1,))])
    assert len(everything(client, question, collect)) == 300
    served.faults = Faults([Rule(Other(), nth=(1,), path=ARCHIVES)])
    assert (
        sum(
            len(p.archives)
            for p in collect(archives(client, question, refs[:5], DownloadOptions(BatchSize(), 2)))
        )
        >= 4
    )
    served.faults = Faults([Rule(Other())])
    with pytest.raises(ServerError, match="invalid answer"):
        everything(client, question, collect)


def test_integers_of_any_size_stay_whole(client_of):
    from nomad_dask.common.json_rules import decode

    assert decode(b'{"a": [1180591620717411303424, 18446744073709551615, -9223372036854775809]}')["a"] == [
        2**70,
        2**64 - 1,
        -(2**63) - 1,
    ]
    assert decode(b'{"x": 0.00012345678901234567, "n": 123456789012345678901}') == {
        "x": 0.00012345678901234567,
        "n": 123456789012345678901,
    }


def test_a_process_has_no_more_batches_at_once_than_its_part_of_the_limits(
    served, client_of, question, monkeypatch
):
    """Where the limits are shared by many, memory for batches is too; one more waits its turn."""
    client, sizes = client_of(served), []
    refs = run(get_page(client, question, Segment(), 300)).refs
    monkeypatch.setattr(type(client), "in_flight", 2)
    batches = archives(client, question, refs, DownloadOptions(BatchSize(10, fixed=True), None, sizes))

    async def first():
        await anext(batches)
        asked = len(sizes)
        await batches.aclose()
        return asked

    assert run(first()) == 3


def taken(deliveries):
    """The archives of packed deliveries by id, how many pieces they came in, and the entries without."""
    found, pieces, missing = {}, 0, []
    for delivery in iterate(deliveries):
        for part, *_ in delivery.blocks():
            assert not found.keys() & {ref.entry_id for ref, _ in part}
            found |= {ref.entry_id: archive for ref, archive in part}
            pieces += 1
        missing += delivery.missing
    return found, pieces, missing


@pytest.mark.parametrize("action", [None, Garble(0.3), Garble(0.9), Reorder()], ids=str)
def test_large_answers_come_in_pieces_and_a_broken_piece_is_asked_for_again(
    served, client_of, question, collect, action
):
    client = client_of(served)
    refs = everything(client, question, collect)
    none = refs[7].entry_id
    served.faults = Faults([Rule(action, nth=(1,), path=ARCHIVES)] if action else [], missing=[none])
    whole = replace(question, required=parse("*"))
    batch = BatchSize(150, fixed=True)
    found, pieces, missing = taken(archives(client, whole, refs, DownloadOptions(batch, 1, packed=True)))
    assert pieces > 6 and refs[7] in missing and len(found) + len(missing) == 300
    there = [ref for ref in refs if ref.entry_id in found]
    (plain,) = collect(archives(client, whole, there, DownloadOptions(BatchSize(300), 1)))
    assert found == {ref.entry_id: archive for ref, archive in plain.archives}
    assert client.stats.statuses["undecodable"] == isinstance(action, Garble) == client.stats.retries


def test_what_was_not_asked_for_is_an_error_also_in_pieces(served, client_of, question, collect):
    client = client_of(served)
    refs = everything(client, question, collect)
    served.faults = Faults([Rule(Unasked(("9" * 28,)), path=ARCHIVES)])
    whole = replace(question, required=parse("*"))
    with pytest.raises(ProtocolError, match="9999.*not requested"):
        taken(archives(client, whole, refs, DownloadOptions(BatchSize(300), 1, packed=True)))
