"""BatchReader, from places in shards to arrays of a batch: data, times and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._index import KeyIndex
from ._layout import Field
from ._rows import RowReader
from ._shard import Shard


@dataclass(frozen=True, eq=False)
class Batch:
    """Arrays of a batch: data (B, D, T, H, W), times (T,) or (B, T) float32, mask (B, T) bool or ``None``."""

    data: NDArray[Any]
    times: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


class BatchReader:
    """Reads batches of one output from one snapshot of a collection.

    Records are named by their places in the index. What is the same for the whole collection (one shape, one set of
    times, no padding) is found out once, so that a batch costs little more than copying it.
    """

    def __init__(self, shards: Sequence[Shard], index: KeyIndex, output: str) -> None:
        self._output = output
        self._shards = shards
        self._index = index
        members: dict[Field, list[int]] = {}
        lacking = False
        # Shards whose layouts differ in other outputs only are read together.
        for number, shard in enumerate(shards):
            if output in shard.layout.by_name:
                members.setdefault(shard.layout.by_name[output], []).append(number)
            else:
                lacking = True
        self._group = np.full(len(shards), -1)
        self._fields = list(members)
        self.uniform = len(members) == 1 and not lacking
        self._readers: list[RowReader] = []
        for group, (field, numbers) in enumerate(members.items()):
            self._group[numbers] = group
            within = np.zeros(len(shards), np.int64)
            within[numbers] = np.arange(len(numbers))
            own = [shards[n] for n in numbers]
            self._readers.append(RowReader(own, field, index, None if self.uniform else within))
        self._times = _common_times(shards, output) if self.uniform else None
        self._all_real = all(_all_real(shard, output) for shard in shards)

    def groups(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the output's shapes each record has; -1 where it has no such output."""
        return self._group[self._index.shard[at]]

    def field(self, group: int) -> Field:
        """Type and shape of a group."""
        return self._fields[group]

    def read(self, at: NDArray[np.int64], group: int = 0) -> Batch:
        """Read records of one group.

        Raises:
            FileNotFoundError, EOFError, OSError: As ``RowReader.read``.
        """
        data = self._readers[group].read(at)
        times = self._gather(at, "times") if self._times is None else self._times.copy()
        if times.ndim == 2 and (times == times[0]).all():
            times = times[0].copy()
        if self._all_real:
            return Batch(data, times, None)
        mask = self._gather(at, "mask")
        return Batch(data, times, None if mask.all() else mask)

    def _gather(self, at: NDArray[np.int64], what: str) -> NDArray[Any]:
        shards, rows = self._index.shard[at], self._index.row[at]
        sample = _steps(self._shards[shards[0]], self._output, what)
        out = np.empty((len(rows), sample.shape[1]), sample.dtype)
        for number in np.unique(shards).tolist():
            chosen = shards == number
            out[chosen] = _steps(self._shards[number], self._output, what)[rows[chosen]]
        return out


def _steps(shard: Shard, output: str, what: str) -> NDArray[Any]:
    """(rows, T) times or mask."""
    steps: NDArray[Any] = shard.entries[f"{output}.{what}"]
    return steps


def _all_real(shard: Shard, output: str) -> bool:
    """Whether no step of any record is padding."""
    return output not in shard.layout.by_name or bool(_steps(shard, output, "mask")[shard.valid].all())


def _common_times(shards: Sequence[Shard], output: str) -> NDArray[np.float32] | None:
    """The times (T,) that every record has; ``None`` where they differ."""
    common: NDArray[np.float32] | None = None
    for shard in shards:
        times = _steps(shard, output, "times")[shard.valid]
        if common is None and len(times):
            common = times[0].copy()
        if not (times == common).all():
            return None
    return common
