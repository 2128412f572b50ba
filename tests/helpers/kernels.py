"""A notebook's kernel as far as displays need one, for tests: it keeps what is shown below its cells."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

from dask.callbacks import Callback

from nomad_dask.cluster import task_progress
from nomad_dask.progress import display


class Kernel:
    """An IPython kernel as far as displays need one: it knows when a cell is over, and keeps what is below
    it.
    """

    def __init__(self):
        self.shown, self.hooks, self.progresses = [], [], []
        self.events = SimpleNamespace(register=self._register, unregister=self._unregister)

    def _register(self, event, hook):
        assert event == "post_run_cell"
        if hook not in self.hooks:
            self.hooks.append(hook)

    def _unregister(self, event, hook):
        self.hooks.remove(hook)

    def publish(self, html, words):
        drawn = [(html, words)]
        self.shown.append(drawn)
        return lambda html, words: drawn.append((html, words))

    def end_cell(self, *, success=True):
        for hook in [*self.hooks]:
            hook(SimpleNamespace(success=success))

    def last(self):
        """The words that each display ended with."""
        return [drawn[-1][1] for drawn in self.shown]


@contextmanager
def below_the_cell(monkeypatch):
    """A kernel that the displays take for ours; when the block ends, nothing of them is left."""
    kernel = Kernel()
    card, told = display.progress_card, kernel.progresses.append
    monkeypatch.setattr(display, "shell", lambda: kernel)
    monkeypatch.setattr(display, "publish", kernel.publish)
    monkeypatch.setattr(display, "progress_card", lambda *what: told(what[1]) or card(*what))
    yield kernel
    kernel.end_cell()
    nothing_is_left(kernel)


def nothing_is_left(kernel):
    assert (
        not task_progress._watches and not task_progress._ended and not kernel.hooks and not Callback.active
    )
    assert not [thread for thread in threading.enumerate() if thread.name == "nomad-dask-card"]
