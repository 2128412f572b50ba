"""SPEC, "Limits": the concurrency is found by trial, and kept where more would not be faster."""

from random import Random

import pytest

from nomad_dask.limits.token_bucket import ConcurrencyController

TICK = 0.25


def run(crowd, server, seconds, *, noise=0.03, busy=None, away=lambda now: False, seed=1):
    """Levels that a job goes by, tick by tick, at a server: level -> (answers/s, share that times out)."""
    dice, levels, owed, now = Random(seed), [], 0.0, 0.0
    while now < seconds:
        now += TICK
        speed, late = server(crowd.level)
        owed += speed * TICK * dice.uniform(1 - noise, 1 + noise)
        n, owed = int(owed), owed % 1
        n_late = sum(dice.random() < late for _ in range(n))
        n_bytes = sum(int(1e6 * dice.uniform(0.9, 1.1)) for _ in range(n - n_late))
        crowd.record(
            now,
            answers=n - n_late,
            timeouts=n_late,
            n_bytes=n_bytes,
            busy=crowd.level - away(now) if busy is None else busy,
        )
        levels.append(crowd.level)
    return levels


def with_slots(n, seconds=0.2):
    """A server that works on n requests at once."""
    return lambda level: (min(level, n) / seconds, 0.0)


def carried(server, levels):
    return sum(server(level)[0] * (1 - server(level)[1]) for level in levels) / len(levels)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("slots", [1, 3, 4, 8, 20, 64])
def test_as_few_as_carry_what_more_would(slots, seed):
    server, most = with_slots(slots), 64
    levels = run(ConcurrencyController(most), server, 1800, seed=seed)
    assert carried(server, levels) > 0.93 * server(most)[0]
    late = levels[len(levels) // 2 :]
    assert carried(server, late) > 0.93 * server(most)[0]
    assert sum(late) / len(late) < 1.6 * slots + 1


def test_a_permit_on_its_way_from_one_process_to_another_is_no_idleness():
    levels = run(ConcurrencyController(13), with_slots(4), 600, away=lambda now: 3 * (now % 1 < 0.25))
    assert levels[-1] <= 6


def test_a_trial_that_cannot_be_judged_ends():
    """A level below the number of processes: its permits are on their way for much of the time."""
    crowd = ConcurrencyController(2)
    levels = run(crowd, with_slots(5), 600, away=lambda now: crowd.level == 1 and now % 1 < 0.75)
    assert sum(levels) / len(levels) > 1.7


def test_a_server_that_only_takes_its_time_gets_all_that_is_allowed():
    server = with_slots(1000)
    levels = run(ConcurrencyController(64), server, 600)
    assert set(levels[: int(15 / TICK)]) == {64}
    assert sum(levels) / len(levels) > 0.95 * 64


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_gets_slower_with_a_crowd(seed):
    def server(level):
        return (5 * min(level, 6) / (1 + max(0, level - 6) / 8), 0.0)

    levels = run(ConcurrencyController(40), server, 1200, seed=seed)
    late = levels[len(levels) // 2 :]
    assert carried(server, late) > 0.9 * server(6)[0]


def test_requests_that_time_out_halve_the_crowd_at_once():
    def server(level):
        return (20.0, 0.0 if level <= 12 else 0.5)

    levels = run(ConcurrencyController(50), server, 60)
    assert levels[int(20 / TICK)] <= 12
    assert max(levels[int(20 / TICK) :]) <= 16


def test_it_comes_back_when_the_server_is_better():
    crowd = ConcurrencyController(32)
    few = run(crowd, with_slots(4), 900)
    assert few[-1] <= 8
    many = run(_moved(crowd, 900), with_slots(32), 900)
    assert many[-1] >= 28


def _moved(crowd, seconds):
    """The same, on a clock that begins anew."""
    crowd._due -= seconds
    crowd._current = None
    return crowd


@pytest.mark.parametrize("busy", [0, 7])
def test_who_has_less_under_way_than_he_may_learns_nothing_and_keeps_it(busy):
    assert set(run(ConcurrencyController(10), with_slots(2), 600, busy=busy)) == {10}


@pytest.mark.parametrize("most", [1, 2])
def test_the_smallest(most):
    levels = run(ConcurrencyController(most), with_slots(5), 600)
    assert set(levels) <= {1, 2} and max(levels) <= most and sum(levels) / len(levels) > 0.8 * most
