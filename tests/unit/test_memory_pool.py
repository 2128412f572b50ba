"""Arrow's allocator while tables grow: the system's, in all threads, and never left behind."""

import threading

import pyarrow as pa
import pytest

from nomad_dask.common.memory import system_memory


@pytest.fixture(autouse=True)
def nobody_has_chosen(monkeypatch):
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)


def pool():
    return pa.default_memory_pool().backend_name


def test_it_is_the_systems_until_the_last_of_several_threads_is_done():
    before = pool()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with system_memory():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with system_memory():
        thread.start()
        inside.wait(10)
        assert pool() == "system"
    assert pool() == "system"
    leave.set()
    thread.join()
    assert pool() == before != "system"


def test_an_error_does_not_leave_it_behind():
    before = pool()
    with pytest.raises(ValueError), system_memory():
        raise ValueError
    assert pool() == before


def test_who_has_chosen_one_keeps_it(monkeypatch):
    before = pool()
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", before)
    with system_memory():
        assert pool() == before


def test_what_was_allocated_inside_lives_on_outside():
    with system_memory():
        cells = pa.array(range(1000))
    assert cells.to_pylist() == list(range(1000))
