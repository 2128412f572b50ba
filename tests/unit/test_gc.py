"""The garbage collector's pause: counted over threads, and never left behind."""

import gc
import threading
import weakref

import pytest

from nomad_dask.client.archives import BatchResult
from nomad_dask.common import memory as quiet
from nomad_dask.common.memory import collector_paused
from nomad_dask.request import Ref


def test_it_goes_on_after_the_last_of_several_threads():
    assert gc.isenabled()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with collector_paused():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with collector_paused():
        thread.start()
        inside.wait(10)
        assert not gc.isenabled()
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert gc.isenabled()


def test_an_error_does_not_leave_it_paused():
    with pytest.raises(ValueError), collector_paused():
        raise ValueError
    assert gc.isenabled()


def test_one_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_pauses_without_a_gap_leave_no_garbage(monkeypatch):
    monkeypatch.setattr(quiet, "_LONG", 0.0)

    class Cycle:
        def __init__(self):
            self.me = self

    with collector_paused():
        gone = weakref.ref(Cycle())
        with collector_paused():
            assert gone() is not None
        assert gone() is None


def test_an_error_over_a_delivery_does_not_leave_it_paused_while_the_error_is_kept():
    """Its traceback keeps the frames of the loop, and the pieces are a generator's."""
    delivery = BatchResult(archives=[(Ref("a", "u"), {}), (Ref("b", "u"), {})])

    def read():
        for _ in delivery.blocks():
            assert not gc.isenabled()
            raise ValueError

    with pytest.raises(ValueError) as kept:
        read()
    assert gc.isenabled() and kept.value.__traceback__ is not None
