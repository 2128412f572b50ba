"""SPEC, "Shared limits": limits shared by many processes hold for all together, and none is unused."""

import itertools
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nomad_dask.limits import Limits
from nomad_dask.limits.token_bucket import SILENCE, BucketRequest, TokenBucket


@dataclass
class Process:
    """A holder as a gate is: it goes by its last lease, and tells what it goes by."""

    wanted: int = 0
    permits: int = 0
    under_way: int = 0
    answer: object = None
    heard: float = 0.0
    turns: list = field(default_factory=list)


class Cluster(RuleBasedStateMachine):
    """Processes that come, ask, get answers late or never, start and end requests, die, and fall silent."""

    MOST, RATE = 7, 5.0
    names = st.sampled_from("abcd")

    def __init__(self):
        super().__init__()
        self.bucket = TokenBucket(Limits(self.RATE, self.MOST))
        self.now, self.turns, self.alive = 0.0, [], {}

    @rule(name=names, wanted=st.integers(0, 10))
    def wants(self, name, wanted):
        self.alive.setdefault(name, Process(heard=self.now)).wanted = wanted

    @rule(name=names, turns=st.integers(0, 3))
    def asks(self, name, turns):
        """The answer is on its way: until it comes the process goes by what it has."""
        if process := self.alive.get(name):
            ask = BucketRequest(
                turns=turns,
                wanted=max(process.wanted, process.under_way),
                held=max(process.permits, process.under_way),
            )
            process.answer = self.bucket.ask(name, self.now, ask)
            process.heard = self.now
            self.turns += [self.now + wait for wait in process.answer.waits]

    @rule(name=names)
    def hears(self, name):
        if (process := self.alive.get(name)) and process.answer:
            process.permits, process.answer = process.answer.permits, None

    @rule(name=names, wanted=st.integers(1, 10))
    def comes_to_work(self, name, wanted):
        self.wants(name, wanted)
        self.asks(name, 0)
        self.hears(name)
        self.starts_what_it_may(name)

    @rule(name=names)
    def loses_the_answer(self, name):
        if process := self.alive.get(name):
            process.answer = None

    @rule(name=names)
    def starts_what_it_may(self, name):
        if process := self.alive.get(name):
            process.under_way = max(process.under_way, min(process.permits, process.wanted))

    @rule(name=names)
    def ends(self, name):
        if process := self.alive.get(name):
            process.under_way -= process.under_way > 0

    @rule(name=names)
    def dies(self, name):
        if self.alive.pop(name, None):
            self.bucket.forget(name)

    @rule(name=names)
    def is_lost(self, name):
        """Nobody tells the bucket; it is not heard of until its permits are free."""
        if self.alive.pop(name, None):
            for other in self.alive:
                self.asks(other, 0)
            self.now += SILENCE / 2
            for other in self.alive:
                self.asks(other, 0)
            self.now += SILENCE / 2 + 0.1

    @rule(seconds=st.floats(0, 2))
    def time_passes(self, seconds):
        if all(self.now + seconds - process.heard < SILENCE for process in self.alive.values()):
            self.now += seconds

    @precondition(lambda self: self.alive)
    @rule()
    def everyone_asks_a_few_times(self):
        """Then all that can be used is with those who want it, in fair parts."""
        for _ in range(4):
            for name in self.alive:
                self.asks(name, 0)
                self.hears(name)
            if any(process.under_way > process.permits for process in self.alive.values()):
                return
        wants = [max(process.wanted, process.under_way) for process in self.alive.values()]
        permits = [process.permits for process in self.alive.values()]
        assert sum(permits) == min(self.MOST, sum(wants))
        short = [p for p, w in zip(permits, wants, strict=True) if p < w]
        assert all(max(permits) - p <= 1 for p in short)

    @invariant()
    def never_more_under_way_than_allowed(self):
        assert sum(process.under_way for process in self.alive.values()) <= self.MOST

    @invariant()
    def never_more_turns_than_the_rate(self):
        turns = sorted(self.turns)
        assert all(b - a >= 1 / self.RATE - 1e-9 for a, b in itertools.pairwise(turns))


TestCluster = Cluster.TestCase


@given(st.integers(1, 20), st.integers(1, 8))
def test_permits_go_round(holders, most):
    """More holders than permits: in time everyone gets one."""
    bucket, had = TokenBucket(Limits(None, most)), set()
    held = dict.fromkeys(range(holders), 0)
    for round_ in range(3 + 5 * holders):
        for name in held:
            lease = bucket.ask(str(name), 0.25 * round_, BucketRequest(wanted=1, held=held[name]))
            held[name] = lease.permits
            had |= {name} if lease.permits else set()
        assert sum(held.values()) <= most
    assert len(had) == holders


def test_a_dead_holder_costs_nothing_and_a_silent_one_little():
    bucket = TokenBucket(Limits(None, 4))
    assert bucket.ask("a", 0.0, BucketRequest(wanted=4)).permits == 4
    assert bucket.ask("b", 1.0, BucketRequest(wanted=4)).permits == 0
    bucket.forget("a")
    assert bucket.ask("b", 1.1, BucketRequest(wanted=4)).permits == 4
    assert bucket.ask("c", 2.0 + SILENCE, BucketRequest(wanted=4)).permits == 4


def test_a_back_off_holds_everyone_and_moves_what_is_out():
    """Who has turns already learns by how much they move; who asks gets later ones."""
    bucket = TokenBucket(Limits(10.0, 10))
    first = bucket.ask("a", 0.0, BucketRequest(turns=3, wanted=3))
    assert first.waits == (0.0, 0.1, 0.2) and first.paused == 0.0
    assert bucket.ask("b", 0.0, BucketRequest(wanted=1, back_off=5.0)).hold == 5.0
    later = bucket.ask("a", 0.0, BucketRequest(turns=1, wanted=4, held=3))
    assert later.paused == 5.0 and abs(later.waits[0] - 5.3) < 1e-9


def test_without_a_limit_of_the_rate_nobody_needs_turns():
    lease = TokenBucket(Limits(None, 3)).ask("a", 0.0, BucketRequest(turns=2, wanted=5))
    assert not lease.paced and lease.waits == () and lease.permits == 3
