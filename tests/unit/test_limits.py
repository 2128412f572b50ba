"""SPEC, "Limits": what a job may use, and the size of batches."""

from hypothesis import given
from hypothesis import strategies as st

from nomad_dask.limits import BatchSize, Limits


@given(st.integers(1, 64), st.floats(0.1, 100), st.integers(1, 64))
def test_shares_do_not_exceed_the_whole(n, rate, concurrency):
    share = Limits(rate, concurrency).share(n)
    assert share.max_requests_per_second * n <= rate * (1 + 1e-9)
    assert share.max_concurrency * n <= max(concurrency, n)


@given(st.integers(1, 10_000), st.integers(1, 10**9), st.floats(0, 1000))
def test_a_batch_stays_within_its_targets(entries, n_bytes, seconds):
    size = BatchSize(size=entries).updated(entries, n_bytes, seconds)
    assert 1 <= size.size <= size.ceiling
    assert size.size == 1 or size.size * n_bytes / entries <= size.target_bytes * 1.001


def test_a_batch_finds_its_size():
    """2 kB entries end at thousands in a request, 20 MB entries at one; growth is fourfold at most."""
    size, steps = BatchSize(size=64), []
    for _ in range(8):
        size = size.updated(size.size, size.size * 2_000, 0.001 * size.size)
        steps.append(size.size)
    assert steps[0] == 256 and steps[-1] == 4000
    assert BatchSize(size=64).updated(64, 64 * 20_000_000, 1).size == 1


def test_a_fixed_batch_stays():
    assert BatchSize(size=7, fixed=True).updated(7, 1, 0.1).size == 7
