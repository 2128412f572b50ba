"""Any progress, as hypothesis draws it."""

from hypothesis import strategies as st

from nomad_dask.progress.progress import Progress, WorkDone

amounts = st.integers(0, 10**9)
tallies = st.builds(WorkDone, amounts, amounts, amounts, amounts, st.integers(0, 500))
progresses = st.builds(
    Progress,
    tallies,
    st.none() | amounts,
    st.none() | st.integers(0, 500),
    st.just(0.0) | st.floats(1e-3, 1e6),
    tallies,
)
