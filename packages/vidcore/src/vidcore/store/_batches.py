"""BatchReader, from places in shards to arrays of a batch: data, times and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """Reads batches of one output of one snapshot of a collection's shards."""

    def __init__(self, shards: Sequence[Shard], output: str) -> None:
        self._output = output
        self._shards = shards
        layouts: dict[Field, list[int]] = {}
        # Shards whose layouts differ in other outputs only are read together.
        for number, shard in enumerate(shards):
            if output in shard.layout.by_name:
                layouts.setdefault(shard.layout.by_name[output], []).append(number)
        self._group = np.full(len(shards), -1)
        self._within = np.zeros(len(shards), np.int64)
        self._fields: list[Field] = []
        self._readers: list[RowReader] = []
        for group, (field, members) in enumerate(layouts.items()):
            self._group[members] = group
            self._within[members] = np.arange(len(members))
            self._fields.append(field)
            self._readers.append(RowReader([shards[number] for number in members], field))
        self._alike = _alike_times(shards, output)
        self._whole = np.array(
            [
                output in shard.layout.by_name and bool(_steps(shard, output, "mask")[shard.valid].all())
                for shard in shards
            ]
        )

    def groups(self, shards: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the output's shapes each record has; -1 where it has no such output."""
        return self._group[shards]

    def field(self, group: int) -> Field:
        """Type and shape of a group."""
        return self._fields[group]

    def read(self, shards: NDArray[np.int64], rows: NDArray[np.int64]) -> Batch:
        """Read records of one group.

        Raises:
            FileNotFoundError, EOFError, OSError: As ``RowReader.read``.
        """
        group = int(self._group[shards[0]])
        data = self._readers[group].read(self._within[shards], rows)
        alike = self._alike[shards]
        if alike[0] >= 0 and (alike == alike[0]).all():
            times = _steps(self._shards[shards[0]], self._output, "times")[rows[0]].copy()
        else:
            times = self._gather(shards, rows, "times")
            if (times == times[0]).all():
                times = times[0].copy()
        if self._whole[shards].all():
            return Batch(data, times, None)
        mask = self._gather(shards, rows, "mask")
        return Batch(data, times, None if mask.all() else mask)

    def _gather(self, shards: NDArray[np.int64], rows: NDArray[np.int64], what: str) -> NDArray[Any]:
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
    return output in shard.layout.by_name and bool(_steps(shard, output, "mask")[shard.valid].all())


def _alike_times(shards: Sequence[Shard], output: str) -> NDArray[np.int64]:
    """A number for each shard all of whose records have the same times, equal where the times are; -1 elsewhere."""
    known: dict[bytes, int] = {}
    alike = np.full(len(shards), -1)
    for number, shard in enumerate(shards):
        if output not in shard.layout.by_name or not shard.valid.any():
            continue
        times = _steps(shard, output, "times")[shard.valid]
        if (times == times[0]).all():
            alike[number] = known.setdefault(times[0].tobytes(), len(known))
    return alike
