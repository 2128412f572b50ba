"""How the embedded archive is told to misbehave: what goes wrong, and with which requests. No I/O, no clock.

A rule joins an action with a time. Without one it holds for every request that its `path` and `match` let in:

    Rule(Status(503, html=True), rate=0.1)                     one request in ten, chosen by the seed
    Rule(Reset(), nth=(3, 5))                                  the 3rd and the 5th
    Rule(Truncate(0.3), every=10, path="entries/archive/query")
    Rule(Stall(60), times=1)                                   the first, and no other
    Rule(Drop(2), match=lambda body: body.get("owner") == "visible")

    faults = Faults([Rule(Status(503), rate=0.05), Rule(Reset(), nth=(7,))], seed=1, missing_rate=0.002)
    faults.plan(FaultRequest(1, "entries/query", {"owner": "visible"}))     an action, or None

The server asks `plan` once for each request, `admit` for the rate limit, and `missing` and `poison` for each
entry of an archive answer. Actions that have an `edit` change a right answer into a wrong one; the others
spoil the way in which it is sent. The same script in words, for the command line (clauses end at `;`):

    status=503,html,retry_after=2,rate=0.1; reset,nth=3+5; truncate=0.3,every=10,path=entries/archive/query
    garble=0.5,nth=4; stall=60,times=1; delay=0.5,rate=0.2; reorder; repeat-cursor; inflate-total=10; unasked=ID+ID; end-early
    drop=2; latency=0.2; slots=4; limit=20; missing=0.002; poison=ID1+ID2; seed=4
"""

from nomad_dask.testing.faults.actions import (
    Action,
    Delay,
    Drop,
    Edit,
    EndEarly,
    Garble,
    InflateTotal,
    Reorder,
    RepeatCursor,
    Reset,
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
    "Rule",
    "Spoil",
    "Stall",
    "Status",
    "Truncate",
    "Unasked",
]
