"""Positions of public entries, computed on access."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, overload


class AllBut(Sequence[int]):
    """The numbers below n without some of them, in order. Access takes one bisection."""

    def __init__(self, n: int, without: Sequence[int]) -> None:
        self._n, self._without = n, without

    def __len__(self) -> int:
        return self._n - len(self._without)

    @overload
    def __getitem__(self, k: int) -> int: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[int]: ...
    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            start, stop, step = k.indices(len(self))
            if step != 1:
                return [self[j] for j in range(start, stop, step)]
            return list(islice(self._from(start), max(0, stop - start)))
        if not -len(self) <= k < len(self):
            raise IndexError(k)
        k %= len(self)
        # The omitted numbers before the k-th kept one have at most k kept numbers before them.
        low, high = 0, len(self._without)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._without[middle] - middle <= k else (low, middle)
        return k + low

    def __iter__(self) -> Iterator[int]:
        return self._from(0)

    def _from(self, k: int) -> Iterator[int]:
        at = self[k] if k < len(self) else self._n
        for hidden in islice(self._without, at - k, None):
            yield from range(at, hidden)
            at = hidden + 1
        yield from range(at, self._n)
