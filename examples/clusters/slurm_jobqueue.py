"""A harvest on SLURM with dask-jobqueue: this script submits jobs for the workers, harvests, and ends the
jobs.

    pip install 'nomad-dask[jobqueue]'
    python slurm_jobqueue.py --jobs 4 --out /shared/titania          on the login node, or in a small job
    python slurm_jobqueue.py --show                                  print the job script of a worker, submit
    nothing

Each job is one worker process with two threads. Workers join when their jobs start, and the harvest does not
need all of
them. Run it again after an interruption: finished segments are kept. Credentials of an object store must be
in the
environment that sbatch passes on (all of it, by default); the workers get the login to NOMAD in memory.
"""

import argparse

from dask_jobqueue import SLURMCluster
from distributed import Client

from nomad_dask import ArchiveQuery

QUERY = {"results.material.elements": ["Ti", "O"]}
REQUIRED = {"results": {"material": "*"}}


def cluster(options: argparse.Namespace) -> SLURMCluster:
    """Workers as SLURM jobs with two threads each: one waits for the network while the other decodes."""
    return SLURMCluster(
        cores=2,
        processes=1,
        memory=options.memory,
        walltime=options.walltime,
        queue=options.partition,
        account=options.account,
        interface=options.interface,
        job_cpu=1,
        job_name="nomad-dask",
        local_directory="/tmp",
        worker_extra_args=["--no-dashboard"],
        scheduler_options={"dashboard_address": ":0"},
        security=True if options.tls else None,
        shared_temp_directory=options.tls,
    )


def main() -> None:
    """Print a job script, or harvest."""
    options = arguments()
    with cluster(options) as slurm:
        if options.show:
            print(slurm.job_script())
            return
        slurm.scale(jobs=options.jobs)
        with Client(slurm) as client:
            client.wait_for_workers(1, timeout=options.patience)
            query = ArchiveQuery(
                query={} if options.everything else QUERY,
                required=REQUIRED,
                url=options.url,
                results_max=None,
            )
            print(query.to_parquet(options.out, client=client))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="titania", help="a folder that all nodes share, or an fsspec url")
    parser.add_argument("--url", default=None, help="base url of the API; default: the public server")
    parser.add_argument(
        "--everything", action="store_true", help="harvest all entries, not those of the query above"
    )
    parser.add_argument("--jobs", type=int, default=4, help="number of workers")
    parser.add_argument("--memory", default="2GB", help="memory of each worker")
    parser.add_argument("--walltime", default="24:00:00", help="time limit of each worker's job")
    parser.add_argument("--partition", default=None, help="SLURM partition")
    parser.add_argument("--account", default=None, help="SLURM account")
    parser.add_argument(
        "--interface", default=None, help="the network interface that nodes reach, such as ib0"
    )
    parser.add_argument(
        "--patience", type=float, default=3600, help="maximum wait in seconds for the first worker"
    )
    parser.add_argument(
        "--tls",
        metavar="FOLDER",
        help="encrypt, with keys made for this run in a folder that all nodes share",
    )
    parser.add_argument("--show", action="store_true", help="print a worker's job script and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
