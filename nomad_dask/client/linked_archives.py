"""Downloads of archives with references that the server leaves unresolved (`request.links`).

Cost: for entries that may lack data at a reference in `required`, one small request per reference and 1,000
entries, and one for the required data of the targets.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from nomad_dask.client.archives import Archived, BatchResult, DownloadOptions, archives, fetch_together
from nomad_dask.client.transport import Client
from nomad_dask.request import Failure, QuerySpec, Ref
from nomad_dask.request.references import (
    Slot,
    Target,
    at,
    group_names,
    has_unresolved,
    may_follow,
    may_have_unresolved,
    restore,
    target_of,
    tree_of,
)
from nomad_dask.request.required import Link

_MAX_HELD, _MAX_BYTES = 1_000, 8e6  # maximum number of entries that are held back, and of their bytes as JSON

Links = Callable[[], Awaitable[tuple[Link, ...]]]


async def linked_archives(
    client: Client,
    spec: QuerySpec,
    refs: Iterable[Ref],
    options: DownloadOptions,
    *,
    links: Links | None = None,
) -> AsyncGenerator[BatchResult, None]:
    """Like `archives`, but also resolves references that the server leaves unresolved.

    Entries that need more requests come after others. `links` returns the references in `required` if the
    spec does not name them; it is called only if an entry seems to lack data.
    """
    known = spec.required.links if spec.resolve_references else ()
    is_doubtful: Callable[[Any], bool] | None = None
    if known is not None:
        is_doubtful = partial(has_unresolved, links=known) if known else None
    elif links is not None and spec.source == "archives" and may_follow(spec.required.tree):
        is_doubtful = partial(may_have_unresolved, tree=spec.required.tree)

    async def resolve_held() -> BatchResult:
        nonlocal known
        if known is None:
            known = await links() if links is not None else ()
        return await _resolve(client, spec, held, known)

    held: list[Archived] = []
    n_bytes = 0.0
    async with aclosing(archives(client, spec, refs, options)) as results:
        async for result in results:
            result.hold_back(is_doubtful)
            yield result
            held += result.held_back
            n_bytes += len(result.held_back) * result.n_bytes / max(1, result.received)
            del result
            if len(held) >= _MAX_HELD or n_bytes > _MAX_BYTES:
                yield await resolve_held()
                is_doubtful = partial(has_unresolved, links=known) if known else None
                held, n_bytes = [], 0.0
    if held:
        yield await resolve_held()


async def _resolve(
    client: Client, spec: QuerySpec, held: list[Archived], links: Sequence[Link]
) -> BatchResult:
    """Resolve the references of archives as far as possible; entries whose requests fail are failures."""
    failed: dict[str, Failure] = {}
    for link in links:
        below = link.below(spec.required.tree)
        doubtful_refs = {ref.entry_id: ref for ref, archive in held if has_unresolved(archive, [link])}
        if below is None or not doubtful_refs:
            continue
        probes, failures = await _fetch(client, spec, link.probe, doubtful_refs.values())
        failed |= failures
        slots: list[tuple[Slot, Target]] = []
        for ref, archive in held:
            for slot in restore(archive, probes.get(ref.entry_id), link):
                if (target := target_of(slot.reference, ref.entry_id)) is not None:
                    slots.append((slot, target))
        failed |= await _follow(client, spec, below, slots, {ref.entry_id: ref for ref, _ in held})
    done = [(ref, archive) for ref, archive in held if ref.entry_id not in failed]
    return BatchResult(done, received=len(done), failures=[*failed.values()])


async def _follow(
    client: Client, spec: QuerySpec, below: Any, slots: Sequence[tuple[Slot, Target]], held: dict[str, Ref]
) -> dict[str, Failure]:
    """Replace references by their targets; return failures of entries in `held`."""
    failed: dict[str, Failure] = {}
    for group in group_names(target for _, target in slots):
        in_group = [(slot, target) for slot, target in slots if target.names in group]
        refs = {
            target.entry_id: held.get(target.entry_id, Ref(target.entry_id, "")) for _, target in in_group
        }
        found, failures = await _fetch(client, spec, tree_of(group, below), refs.values())
        failed |= {entry_id: failure for entry_id, failure in failures.items() if entry_id in held}
        for slot, target in in_group:
            value = at(found.get(target.entry_id), target.keys)
            if type(value) is dict:
                slot.holder[slot.key] = value
    return failed


async def _fetch(
    client: Client, spec: QuerySpec, tree: dict[str, Any], refs: Iterable[Ref]
) -> tuple[dict[str, dict[str, Any]], dict[str, Failure]]:
    """Download a `required` tree of entries; return archives and failures by id."""
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, Failure] = {}
    narrower = replace(spec, query={}, required=spec.required.with_tree(tree))
    async with aclosing(fetch_together(client, narrower, [*refs])) as results:
        async for result in results:
            found |= {ref.entry_id: archive for ref, archive in result.archives}
            failed |= {failure.entry_id: failure for failure in result.failures}
    return found, failed
