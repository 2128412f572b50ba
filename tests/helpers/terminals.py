"""A program in a terminal of its own (a pty), as a person sees it: what it draws, and keys to type."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager


class Terminal:
    """One end of a pty; the program has the other."""

    def __init__(self, master, process):
        self._master, self._process, self.seen = master, process, ""

    def type(self, keys):
        os.write(self._master, keys.encode())

    def wait_for(self, words, seconds=30):
        """Read until `words` were drawn; what was drawn up to there is forgotten."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert self._read(deadline - time.monotonic()), f"{words!r} never came: {self.seen!r}"
        self.seen = self.seen.partition(words)[2]

    def drawn(self, seconds=60):
        """All that the program draws until it ends, and its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(deadline - time.monotonic()):
            pass
        return self.seen.replace("\r\n", "\n"), self._process.wait(10)

    def _read(self, seconds):
        if not select.select([self._master], [], [], max(0, seconds))[0]:
            raise AssertionError(f"nothing more was drawn: {self.seen!r}")
        try:
            found = os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return False
        self.seen += found
        return bool(found)


@contextmanager
def terminal(arguments, *, columns=80, rows=40, **environment):
    """A program in a terminal so wide; `environment` goes over the one there is, None takes a name away."""
    master, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    asked = kept | {"TERM": "xterm-256color"} | environment
    ends = {"stdin": other, "stdout": other, "stderr": other}
    process = subprocess.Popen(list(map(str, arguments)), **ends, env=asked, start_new_session=True)
    os.close(other)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)
