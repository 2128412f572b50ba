"""A program that tries to run code in other people's Dask servers: `python stranger.py ADDRESS...`, outcomes
as JSON.

Begun by root it goes on as the user `nobody`. Per address it comes with plain tcp, with TLS and no
certificate, and with
a certificate that it made itself.
"""

import asyncio
import json
import os
import pickle
import ssl
import sys

from distributed import rpc
from distributed.security import Security

_NOBODY = 65534


def _without_certificate():
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    return {"ssl_context": anyone, "require_encryption": True, "extra_conn_args": {}}


async def _tried(address, how):
    """What a server answers to code: the number of its process, or the error."""
    code = pickle.dumps(os.getpid)
    try:
        async with rpc(address, timeout=2, connection_args=how) as server:
            who = await server.identity()
            if who["type"] == "Scheduler":
                answer = await server.run_function(
                    function=code, args=pickle.dumps(()), kwargs=pickle.dumps({})
                )
            else:
                answer = await server.run(function=code)
            return answer["result"] if isinstance(answer, dict) else answer
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def _all_tried(addresses):
    own = Security.temporary().get_connection_args("client")
    ways = {
        "plain": ("tcp", Security().get_connection_args("client")),
        "no certificate": ("tls", _without_certificate()),
        "own certificate": ("tls", own),
    }
    tries = {
        (address, name): _tried(f"{scheme}://{address.split('://')[1]}", how)
        for address in addresses
        for name, (scheme, how) in ways.items()
    }
    outcomes = await asyncio.gather(*tries.values())
    return [[*which, outcome] for which, outcome in zip(tries, outcomes, strict=True)]


if __name__ == "__main__":
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    outcomes = asyncio.run(_all_tried(sys.argv[1:]))
    print(json.dumps({"user": os.getuid(), "outcomes": outcomes}))
