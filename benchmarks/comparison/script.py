"""What a good engineer writes in an afternoon: aiohttp, orjson, pandas.json_normalize.

Lists the entries through the cursor, gathers the archives a hundred a request, ten requests at once, and
normalizes the
lot. No retries, no types, and a list of sections stays one cell.
"""

import asyncio
from typing import Any

import aiohttp
import orjson
import pandas as pd
from measuring import Clock, Order, main


async def download(url: str, required: dict[str, Any], most: int) -> list[dict[str, Any]]:
    turn = asyncio.Semaphore(10)
    async with aiohttp.ClientSession() as session:

        async def post(path: str, **body: Any) -> dict[str, Any]:
            async with turn, session.post(f"{url}/{path}", json={"owner": "visible", **body}) as answer:
                answer.raise_for_status()
                return orjson.loads(await answer.read())

        ids: list[str] = []
        cursor: dict[str, str] = {}
        while len(ids) < most:
            page = await post(
                "entries/query",
                query={},
                pagination={"page_size": min(1000, most - len(ids)), **cursor},
                required={"include": ["entry_id"]},
            )
            ids += [row["entry_id"] for row in page["data"]]
            after = page["pagination"].get("next_page_after_value")
            if not after:
                break
            cursor = {"page_after_value": after}

        async def archives(batch: list[str]) -> list[dict[str, Any]]:
            answer = await post(
                "entries/archive/query",
                query={"entry_id:any": batch},
                pagination={"page_size": len(batch)},
                required=required,
            )
            return answer["data"]

        found = await asyncio.gather(*(archives(ids[i : i + 100]) for i in range(0, len(ids), 100)))
        return [row for rows in found for row in rows]


def afternoon(order: Order, clock: Clock) -> int:
    with clock:
        rows = asyncio.run(download(order.url, order.required, order.entries))
        frame = pd.json_normalize([{"entry_id": row["entry_id"], **row["archive"]} for row in rows])
    clock.facts["columns"] = frame.shape[1]
    return len(frame)


if __name__ == "__main__":
    main({"afternoon": afternoon})
