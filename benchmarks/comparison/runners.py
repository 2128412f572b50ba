"""Run contenders alternately, each in its own process, and measure the cost of each run."""

import json
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from comparison.contenders import Contender, Workload
from comparison.measuring import Order
from comparison.served import Archive

TIMEOUT = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender."""

    entries: int
    n_bytes: int
    """Size of the bodies that the server sent."""
    requests: int
    seconds: float
    """Seconds of the job alone."""
    starting: float
    """Seconds before the job: imports, and the start of a cluster if there is one."""
    cpu: float
    """CPU seconds of the process and its children during the job."""
    peak: float
    """Peak resident memory in bytes, of the process and its children together."""
    facts: dict[str, Any]


def run(contender: Contender, workload: Workload, archive: Archive, entries: int, batch: int) -> Run:
    """Run a contender once. RuntimeError if entries are missing."""
    with tempfile.TemporaryDirectory() as out:
        upto = last_of(archive.url, entries) if contender.share < 1 else ""
        archive.seen()
        order = Order(contender.job, archive.url, workload.required, entries, batch, out, upto)
        began = time.time()
        with subprocess.Popen(
            contender.command(json.dumps(asdict(order))),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=out,
        ) as process:
            peaks = [0.0]
            over = threading.Event()
            watcher = threading.Thread(target=_watch, args=(process.pid, over, peaks))
            watcher.start()
            try:
                said, complaint = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
                over.set()
                watcher.join()
    if process.returncode:
        raise RuntimeError(f"{contender.name} ended with {process.returncode}:\n{complaint[-3000:]}")
    facts = json.loads(said.splitlines()[-1])
    if facts["entries"] != entries:
        raise RuntimeError(
            f"{contender.name} has {facts['entries']} entries of {entries}\n{complaint[-3000:]}"
        )
    requests, n_bytes = archive.seen()
    return Run(
        entries=facts.pop("entries"),
        n_bytes=n_bytes,
        requests=requests,
        seconds=facts.pop("seconds"),
        starting=facts.pop("started") - began,
        cpu=facts.pop("cpu"),
        peak=max(facts.pop("peak"), *peaks),
        facts=facts,
    )


def last_of(url: str, entries: int) -> str:
    """Return the id of the last of the first entries, at most 10,000."""
    body = {"pagination": {"page_size": entries}, "required": {"include": ["entry_id", "upload_id"]}}
    request = urllib.request.Request(
        f"{url}/entries/query", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        last: str = json.load(answer)["data"][-1]["entry_id"]
    return last


def _watch(pid: int, over: threading.Event, peaks: list[float]) -> None:
    """Samples the resident memory of a process and its children 20 times per second."""
    watched = psutil.Process(pid)
    while not over.wait(0.05):
        with suppress(psutil.Error):
            peaks.append(sum(_resident(one) for one in (watched, *watched.children(recursive=True))))


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def rounds(contenders: Iterable[Contender], n: int) -> Iterable[tuple[int, Contender]]:
    """Yield a warm-up for each contender (round 0), then `n` rounds, each starting with another contender."""
    todo = list(contenders)
    for k in range(n + 1):
        first = k % max(1, len(todo))
        yield from ((k, contender) for contender in todo[first:] + todo[:first])
