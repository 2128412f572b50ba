"""Processes that tests begin and end: Dask's scheduler and workers; and what happens at a server's nth
request.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

WAIT = 60
"""Seconds that a process may take to end."""


@contextmanager
def at_request(url, n, act):
    """Within the block do something when a server has seen `n` requests of it (None: never)."""
    log, add = url.log, type(url.log).add

    def add_and_act(seen):
        add(log, seen)
        if log.count() == n:
            act()

    log.clear()
    log.add = add_and_act
    try:
        yield
    finally:
        del log.add


@dataclass(frozen=True)
class Running:
    """A process, and what it said that was waited for."""

    popen: subprocess.Popen
    said: re.Match


@contextmanager
def process(*arguments, until, **options):
    """A process that runs once it has said `until` on stderr or stdout, and ends with the block."""
    running = subprocess.Popen(
        [*map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        said = []
        for line in running.stdout:
            said.append(line)
            if found := re.search(until, line):
                threading.Thread(target=running.stdout.read, daemon=True).start()  # or its pipe may fill
                yield Running(running, found)
                break
        else:
            raise AssertionError("".join(said))
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(WAIT)


def scheduler(*more, **options):
    """A Dask scheduler on loopback, whose address is `said[1]`."""
    line = (sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", 0, "--dashboard-address", ":0")
    return process(*line, "--host", "127.0.0.1", *more, until=r"Scheduler at:\s+(\S+)", **options)


def worker(address, *more, **options):
    """A Dask worker of a scheduler."""
    line = (sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard")
    return process(*line, *more, until="Registered to", **options)


def local_workers(client):
    """Ids of the Dask workers that a client's process has started and that are up; it starts other processes
    as well.
    """
    return [
        child.pid
        for child in psutil.Process(client).children()
        if any("spawn_main" in word for word in child.cmdline()) and child.num_threads() > 5
    ]


def as_workers_start(folder, then):
    """The PYTHONPATH under which worker processes run the code `then` as they start.

    `then` knows `started`, how many were started before.
    """
    (folder / "sitecustomize.py").write_text(
        f"""
import os, sys, time
if any("spawn_main" in word for word in sys.orig_argv):
    started = 0
    while True:
        try:
            os.close(os.open({str(folder)!r} + f"/{{started}}", os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            started += 1
    {then}
"""
    )
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def bound(seconds):
    """Processor seconds that a call may take: these on a calm machine (NOMAD_DASK_CALM=1), else three times
    as many, because a processor that is shared does less in a second.
    """
    return seconds if "NOMAD_DASK_CALM" in os.environ else 3 * seconds


def forget_peak():
    """What this process has had of memory at the most counts from now on."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak():
    """The most memory that this process has had, in bytes; not `ru_maxrss`, which begins with its
    parent's.
    """
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
