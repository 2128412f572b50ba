"""nomad-lab 2.0's ArchiveQuery, in its own environment.

- `documented`: as its guide has it: the defaults (batches of 10, 20 requests a second, listed by 100),
  results that are
  typed, `entries_to_dataframe`. Only `results_max` is raised to the number of entries.
- `tuned`: what the class lets one turn: plain dicts, no limit, listed by pages of 1,000, ten requests at
  once (its most), and
  the batch size that was found best. It makes no frame of plain dicts itself, so
  `nomad.utils.dict_to_dataframe` does, which is
  what it calls on its typed ones: the same columns.
"""

import nomad.client.archive
from measuring import Clock, Order, main
from nomad.utils import dict_to_dataframe


def documented(order: Order, clock: Clock) -> int:
    with clock:
        query = nomad.client.archive.ArchiveQuery(
            required=order.required, url=order.url, results_max=order.entries
        )
        query.fetch()
        query.download(order.entries)
        while query.entry_list():  # what the server refused stays in the list
            query.download()
        frame = query.entries_to_dataframe(query_selection="all")
    clock.facts["columns"] = frame.shape[1]
    return len(frame)


def tuned(order: Order, clock: Clock) -> int:
    with clock:
        frame = dict_to_dataframe(plain(order))
    clock.facts["columns"] = frame.shape[1]
    return len(frame)


def plain(order: Order) -> list:
    """All archives as dicts."""
    query = nomad.client.archive.ArchiveQuery(
        required=order.required,
        url=order.url,
        results_max=order.entries,
        page_size=1_000,
        batch_size=order.batch,
        semaphore=10,
        max_requests_per_second=1_000_000,
    )
    query.fetch()
    return query.download(order.entries, as_plain_dict=True)


if __name__ == "__main__":
    main({"documented": documented, "tuned": tuned})
