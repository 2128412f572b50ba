"""Memory of a harvest: a worker with ten times the entries, a worker with 20 MB archives, the client by
segments.

    python benchmarks/memory.py [worker] [large] [client]      all three, about 20 minutes on two cores

The archive is served by another process. Prints peak resident memory in MB (Linux).
"""

import json
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil

ENTRIES = (20_000, 200_000)
SEGMENTS = (2_000, 12_000)
SMALL = {"results": {"material": "*"}, "run": {"program": "*"}}
TINY = {"results": {"properties": {"n_calculations": "*"}}}


@contextmanager
def served(n_entries):
    """Run a server of small archives in its own process. Yields its URL."""
    line = ["-m", "nomad_dask", "serve", "--n-entries", str(n_entries), "--kind", "small", "--port", "0"]
    server = subprocess.Popen(
        [sys.executable, "-u", *line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        words = iter(server.stdout.readline, "")
        yield next(word for said in words for word in said.split() if word.startswith("http://"))
    finally:
        server.terminate()
        server.wait()


def harvest(url, out, required, *options):
    """The command, as a process: peak memory of its largest worker, and (segments done, memory) of the
    client."""
    line = [sys.executable, "-m", "nomad_dask", "harvest", "--url", url, "--out", str(out), "--workers", "2"]
    line += ["--required", json.dumps(required), "--max-requests-per-second", "0", *map(str, options)]
    client = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, course, over = 0, [], threading.Event()
    watched = psutil.Process(client.pid)

    def watch():
        nonlocal peak
        while not over.wait(0.5):
            try:
                workers = [p.memory_info().rss for p in watched.children()]
                peak = max([peak, *workers])
                done = sum(1 for _ in (Path(out) / "segments").glob("*.json"))
                course.append((done, watched.memory_info().rss))
            except psutil.Error:
                continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = client.wait()
    over.set()
    watcher.join()
    assert code == 0, f"the harvest ended with {code}"
    return peak, course


def worker(folder):
    peaks = []
    for n in ENTRIES:
        with served(n) as url:
            peak, _ = harvest(url, folder / f"of-{n}", SMALL)
        peaks.append(peak)
        print(f"worker, {n:>7} small entries: {peak / 1e6:.0f} MB", flush=True)
    print(f"worker, growth: {100 * (peaks[1] / peaks[0] - 1):+.0f}% (at most 15%)", flush=True)


def large(folder):
    tests = Path(__file__).parents[1] / "tests" / "cluster" / "test_memory.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", str(tests), "-k", "20_mb"],
        capture_output=True,
        text=True,
    )
    said = next(line for line in done.stdout.splitlines() if "planning" in line)
    print(f"worker, archives of 20 MB: {said.strip('. ')} (at most 1500 MB)", flush=True)


def client(folder):
    with served(SEGMENTS[1]) as url:
        _, course = harvest(url, folder / "segments", TINY, "--partition-size", 1)
    first = next(point for point in course if point[0] >= SEGMENTS[0])
    last = max(course)
    growth = (last[1] - first[1]) / (last[0] - first[0])
    print(f"client, segments {first[0]} to {last[0]}: {growth:.0f} bytes each (at most 2000)", flush=True)


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["worker", "large", "client"]
    with tempfile.TemporaryDirectory() as place:
        for name in chosen:
            {"worker": worker, "large": large, "client": client}[name](Path(place))
