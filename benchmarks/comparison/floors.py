"""The floors: what it costs to have the bytes, and to have them decoded, with the same requests as ours.

`bytes` reads the answers and drops them; `decode` calls orjson on each, as anyone would; `decode-quiet` has
Python's garbage
collector rest meanwhile, as ours does. All list the entries by pages of 10,000, ask for the
archives by name, ten requests at a time, as many entries in each as ours come to ask for.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from measuring import Clock, Order, main

CONCURRENCY = 10
PAGE = 10_000


async def read(order: Order, decode: Callable[[bytes], Any] | None) -> int:
    """Entries whose archives were read."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:

        async def post(path: str, body: dict[str, Any]) -> bytes:
            headers = {"Content-Type": "application/json"}
            async with session.post(
                f"{order.url}/{path}", data=orjson.dumps(body), headers=headers
            ) as answer:
                answer.raise_for_status()
                return await answer.read()

        ids = await listed(post, order.entries)
        batches = [ids[i : i + order.batch] for i in range(0, len(ids), order.batch)]

        async def archives(batch: list[str]) -> int:
            query, pagination = {"entry_id:any": batch}, {"page_size": len(batch)}
            body = {"query": query, "required": order.required, "pagination": pagination}
            async with turn:
                raw = await post("entries/archive/query", body)
                return len(decode(raw)["data"]) if decode else len(batch)

        turn = asyncio.Semaphore(CONCURRENCY)
        return sum(await asyncio.gather(*map(archives, batches)))


def quietly(raw: bytes) -> Any:
    gc.disable()
    try:
        return orjson.loads(raw)
    finally:
        gc.enable()


async def listed(post: Any, most: int) -> list[str]:
    """The first ids of the archive."""
    ids: list[str] = []
    cursor = None
    while len(ids) < most:
        pagination = {"page_size": min(PAGE, most - len(ids))}
        if cursor:
            pagination["page_after_value"] = cursor
        body = {"query": {}, "pagination": pagination, "required": {"include": ["entry_id", "upload_id"]}}
        answer = orjson.loads(await post("entries/query", body))
        ids += [row["entry_id"] for row in answer["data"]]
        cursor = answer["pagination"].get("next_page_after_value")
        if not cursor:
            break
    return ids


def floor(decode: Callable[[bytes], Any] | None) -> Any:
    def job(order: Order, clock: Clock) -> int:
        with clock:
            return asyncio.run(read(order, decode))

    return job


if __name__ == "__main__":
    main({"bytes": floor(None), "decode": floor(orjson.loads), "decode-quiet": floor(quietly)})
