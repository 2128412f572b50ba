"""Throughput of the embedded archive in MB per second. It must not limit the other benchmarks.

    python benchmarks/serve_speed.py [--entries 2000] [--kind mixed] [--seconds 3] [--connections 2]
                                      [--archives FOLDER]

The server runs in its own process, pinned to a core if the system allows it; this process only reads from
sockets. Prints one line for each kind of request: MB of body per second of the server's CPU time, on the
first pass over the archive and on later ones, and per second of wall time.
"""

import argparse
import json
import multiprocessing
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from nomad_dask.testing import serve

PAGES = {
    "whole archives, 100 a page": ("entries/archive/query", {"required": "*"}, 100),
    "whole archives, 1000 a page": ("entries/archive/query", {"required": "*"}, 1000),
    "whole archives, 10 a page": ("entries/archive/query", {"required": "*"}, 10),
    "last energies, 1000 a page": (
        "entries/archive/query",
        {"required": {"run": {"calculation[-1]": {"energy": "*"}}}},
        1000,
    ),
    "results, references, 1000 a page": (
        "entries/archive/query",
        {
            "required": {
                "results": "*",
                "workflow2": {"results": {"calculation_result_ref": {"energy": "*"}}},
            }
        },
        1000,
    ),
    "ids, 10000 a page": ("entries/query", {"required": {"include": ["entry_id", "upload_id"]}}, 10000),
    "whole documents, 1000 a page": ("entries/query", {}, 1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--kind", default="mixed", choices=("mixed", "small", "large"))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--archives", default=None)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    child = spawn.Process(target=be_the_server, args=(there, served(options)), daemon=True)
    child.start()
    host, port = here.recv()
    pin(0)
    print(f"{'request':32} {'first':>7} {'MB/CPU s':>9} {'MB/s':>7} {'pages/s':>8} {'kB/page':>8}")
    for name, (path, body, size) in PAGES.items():
        rates = measure(here, (host, port), path, body, size, options.seconds, options.connections)
        print(f"{name:32} {rates}", flush=True)
    here.send("stop")
    child.join()


def served(options: argparse.Namespace) -> dict[str, Any]:
    return {"n_entries": options.entries, "kind": options.kind, "archives": options.archives}


def be_the_server(pipe: Connection, arguments: dict[str, Any]) -> None:
    pin(1)
    with serve(**arguments) as url:
        host, port = url.removeprefix("http://").split("/")[0].split(":")
        pipe.send((host, int(port)))
        while pipe.recv() == "cpu":
            pipe.send(time.process_time())


def pin(core: int) -> None:
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]} if os.cpu_count() != 1 else {0})


def measure(
    pipe: Connection,
    address: tuple[str, int],
    path: str,
    body: dict[str, Any],
    size: int,
    seconds: float,
    connections: int,
) -> str:
    """Request the pages of the whole archive repeatedly, after a first pass that collects the cursors."""
    before = used(pipe)
    cursors, walked = walk(address, path, body, size)
    cpu, start = used(pipe), time.perf_counter()
    first_rate = walked / (cpu - before) / 1e6

    def again(first: int) -> list[int]:
        sent: list[int] = []
        buffer = bytearray(1 << 20)
        with socket.create_connection(address) as connection:
            while time.perf_counter() - start < seconds:
                cursor = cursors[(first + len(sent)) % len(cursors)]
                sent.append(ask(connection, buffer, path, body, size, cursor)[0])
        return sent

    with ThreadPoolExecutor(connections) as threads:
        firsts = [k * len(cursors) // connections for k in range(connections)]
        sent = [n for each in threads.map(again, firsts) for n in each]
    wall, cpu = time.perf_counter() - start, used(pipe) - cpu
    rates = f"{first_rate:7.0f} {sum(sent) / cpu / 1e6:9.0f} {sum(sent) / wall / 1e6:7.0f}"
    return f"{rates} {len(sent) / wall:8.1f} {sum(sent) / len(sent) / 1e3:8.0f}"


def walk(address: tuple[str, int], path: str, body: dict[str, Any], size: int) -> tuple[list[str], int]:
    """Return the cursor of each page, and the total number of bytes."""
    cursors, cursor, walked, buffer = [], "", 0, bytearray(1 << 20)
    with socket.create_connection(address) as connection:
        while True:
            cursors.append(cursor)
            length, following = ask(connection, buffer, path, body, size, cursor)
            walked += length
            if not following:
                return cursors, walked
            cursor = following


def used(pipe: Connection) -> float:
    pipe.send("cpu")
    return float(pipe.recv())


def ask(
    connection: socket.socket, buffer: bytearray, path: str, body: dict[str, Any], size: int, cursor: str
) -> tuple[int, str | None]:
    """Request one page. Returns the size of its body, and the next cursor."""
    pagination = {"page_size": size, "page_after_value": cursor}
    data = json.dumps(body | {"pagination": pagination}).encode()
    head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data)
    got = connection.recv(1 << 20)
    while b"\r\n\r\n" not in got:
        got += connection.recv(1 << 20)
    head_bytes, _, body_bytes = got.partition(b"\r\n\r\n")
    assert head_bytes.startswith(b"HTTP/1.1 200"), got[:300]
    length = int(head_bytes.lower().partition(b"content-length:")[2].split()[0])
    left, first = length - len(body_bytes), body_bytes
    while left:
        n = connection.recv_into(buffer)
        if len(first) < 100_000 and b'"next_page_after_value":"' not in first:
            first += buffer[:n]
        left -= n
    _, found, rest = first.partition(b'"next_page_after_value":"')
    return length, rest.split(b'"')[0].decode() if found else None


if __name__ == "__main__":
    main()
