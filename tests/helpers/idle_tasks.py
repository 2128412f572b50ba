"""Tasks of no work, in a module that worker processes can import too."""

from dataclasses import dataclass

from nomad_dask.dataset.report import Receipt


@dataclass(frozen=True)
class Nothing:
    """A task that reads and writes nothing, and returns a receipt as large as any."""

    number: int

    def write(self):
        return receipt_of(self.number)


def receipt_of(number):
    return Receipt(
        number,
        *("a" * 28, "b" * 28, 1, "c" * 28, "d" * 28),
        n_bytes=1000 + number,
        seconds=number / 7,
        requests=2,
        statuses={"200": 2},
        batch_sizes=(1, 2, 4),
        dataset=f"{number:032d}",
        bare=("e" * 28,),
        seen={"f" * 28: f"2026-01-01T00:00:00 - 2025-{number:020d}"},
        parts={f"part-{number:05d}.parquet": 2000 + number},
    )
