"""Scripts of faults for the embedded archive: what goes wrong, and with which requests. No I/O, no clock.

A rule applies an action to some requests; by default, to all requests that match its `path` and `match`:

    Rule(Status(503, html=True), rate=0.1)                     one request in ten, chosen by the seed
    Rule(Reset(), nth=(3, 5))                                  the 3rd and the 5th
    Rule(Truncate(0.3), every=10, path="entries/archive/query")
    Rule(Stall(60), times=1)                                   the first, and no other
    Rule(Drop(2), match=lambda body: body.get("owner") == "visible")

    faults = Faults([Rule(Status(503), rate=0.05), Rule(Reset(), nth=(7,))], seed=1, missing_rate=0.002)
    faults.plan(FaultRequest(1, "entries/query", {"owner": "visible"}))     an action, or None

The server calls `plan` once for each request, `admit` for the rate limit, and `missing` and `poison` for each
entry of an archive answer. Actions with an `edit` method make a correct answer wrong; the others disturb how
it is sent; `Say`, `Change` and `Rewrite` send any answer. A script can also be given as text, with clauses
separated by `;`:

    status=503,html,retry_after=2,rate=0.1; reset,nth=3+5; truncate=0.3,every=10,path=entries/archive/query
    garble=0.5,nth=4; stall=60,times=1; delay=0.5,rate=0.2; reorder; repeat-cursor; inflate-total=10;
    unasked=ID+ID; end-early drop=2; latency=0.2; slots=4; limit=20; missing=0.002; poison=ID1+ID2; seed=4
"""

from nomad_dask.testing.faults.actions import (
    Action,
    Change,
    Delay,
    Drop,
    Edit,
    EndEarly,
    Garble,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
    Rewrite,
    Say,
    Spoil,
    Stall,
    Status,
    Truncate,
    Unasked,
)
from nomad_dask.testing.faults.rules import FaultRequest, Rule
from nomad_dask.testing.faults.script import Faults

__all__ = [
    "Action",
    "Change",
    "Delay",
    "Drop",
    "Edit",
    "EndEarly",
    "FaultRequest",
    "Faults",
    "Garble",
    "InflateTotal",
    "Reorder",
    "RepeatCursor",
    "Reset",
    "Rewrite",
    "Rule",
    "Say",
    "Spoil",
    "Stall",
    "Status",
    "Truncate",
    "Unasked",
]
