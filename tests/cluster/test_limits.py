"""SPEC, "Shared limits": limits hold for the whole job, over all of its worker processes, and are used."""

import os
import signal
import time

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.cluster.clusters import Cluster
from nomad_dask.testing import serve
from nomad_dask.testing.faults import Faults

REQUIRED = {"results": {"properties": {"n_calculations": "*"}}}


class Watch:
    """When requests came to a server, with how many others under way, and when they were answered."""

    def __init__(self, url, at=None):
        self.came, self.answered, self.under_way = [], [], 0
        plan, add = url.faults.plan, url.log.add
        nth, act = at or (0, None)

        def comes(request):
            self.under_way += 1
            self.came.append((time.monotonic(), self.under_way))
            if len(self.came) == nth:
                act()
            return plan(request)

        def goes(seen):
            self.under_way -= 1
            self.answered.append((time.monotonic(), seen.status))
            add(seen)

        url.faults.plan, url.server.log.add = comes, goes

    def clear(self):
        """Forget what came before the download: the planning."""
        self.came.clear()
        self.answered.clear()


def harvest(url, client, folder, at=None, **options):
    """A harvest of one request an entry, and what the server saw of its download. `at`: do something at the
    nth.
    """
    watch = Watch(url, at)
    query = ArchiveQuery(
        required=REQUIRED, url=str(url), results_max=None, batch_size=1, progress=False, **options
    )
    report = query.to_parquet(
        folder, client=client, npartitions=16, progress=lambda report: report.done or watch.clear()
    )
    assert report.complete
    return watch


@pytest.fixture(scope="module")
def four():
    with Cluster(workers=4).client() as client:
        client.wait_for_workers(4)
        yield client


@pytest.mark.parametrize(
    ("rate", "used", "refused"), [(20.0, 0.6, 0.01), (None, 0.3, 0.1)], ids=["known", "found out"]
)
def test_a_servers_limit_is_used_and_kept_to(four, tmp_path, rate, used, refused):
    """A server of 20 requests a second; known (our default) or not: a refusal to one worker slows all of them
    down.
    """
    with serve(n_entries=250, seed=5, kind="small", private_share=0) as url:
        url.faults = Faults(requests_per_second=20)
        seen = harvest(url, four, tmp_path / "h", max_requests_per_second=rate).answered
    begin, end = seen[0][0] + 5, seen[-1][0] - 1
    late = [status for at, status in seen if begin <= at < end]
    assert end - begin > 5
    # What is used and refused on a machine that does nothing else: set NOMAD_DASK_CALM to hold it to that.
    calm = "NOMAD_DASK_CALM" in os.environ
    assert late.count(200) / (end - begin) >= (0.95 if calm else used) * 20
    assert len(late) - late.count(200) <= (refused if calm else 0.2) * len(late)


def test_a_killed_worker_leaves_its_part_to_the_others(four, tmp_path):
    """Never more than 10 at once, and again 10 soon after a worker is killed with its permits."""
    pids, killed = four.run(os.getpid), []

    def kill():
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        killed.append(time.monotonic())

    with serve(n_entries=450, seed=5, kind="small", private_share=0) as url:
        url.faults = Faults(latency=0.2)
        seen = harvest(
            url, four, tmp_path / "h", at=(150, kill), max_requests_per_second=None, max_concurrency=10
        )
    calm = [
        n for at, n in seen.came if not killed[0] < at < killed[0] + 1
    ]  # the dead one's are still answered
    assert max(calm) == 10
    again = [n for at, n in seen.came if killed[0] + 2 < at]
    assert sum(n >= 9 for n in again) > len(again) / 4, "its permits are lost"
