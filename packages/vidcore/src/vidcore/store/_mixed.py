"""A batch of records that differ in shape: padded where only their length differs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import StoreError

from ._batches import Batch, BatchReader


def read_mixed(reader: BatchReader, key_of: Callable[[int], str], at: NDArray[np.int64], collection: str) -> Batch:
    """Read records of several lengths T; the shorter ones are padded at the end.

    Padded steps have data 0 and mask False; their times go on at the clip's own pace, so that times still grow.

    Raises:
        StoreError: Shapes differ in D, H or W.
    """
    groups = reader.groups(at)
    present = np.unique(groups).tolist()
    if present[0] < 0:
        lacking = int(np.flatnonzero(groups < 0)[0])
        raise StoreError(f"{collection}: the clip {key_of(lacking)} was put without this output; extract it again")
    fields = {group: reader.field(group) for group in present}
    if len(fields) == 1:
        return reader.read(at, present[0])
    first = fields[int(groups[0])]
    for group, field in fields.items():
        if (field.dtype, field.shape[0], field.shape[2:]) != (first.dtype, first.shape[0], first.shape[2:]):
            other = int(np.flatnonzero(groups == group)[0])
            raise StoreError(
                f"{collection}: clips of different shapes cannot be one batch, (D, T, H, W):\n"
                f"  {key_of(0)}: {first.shape} {first.dtype}\n  {key_of(other)}: {field.shape} {field.dtype}\n"
                "  extract with keep=sequence or keep=pooled, or resize all videos to one size"
            )
    steps = max(field.steps for field in fields.values())
    dim, _, height, width = first.shape
    data = np.zeros((len(at), dim, steps, height, width), first.numpy)
    times = np.empty((len(at), steps), np.float32)
    mask = np.zeros((len(at), steps), bool)
    for group, field in fields.items():
        chosen = np.flatnonzero(groups == group)
        part = reader.read(at[chosen], group)
        data[chosen, :, : field.steps] = part.data
        times[chosen] = _prolonged(np.broadcast_to(part.times, (len(chosen), field.steps)), steps)
        mask[chosen, : field.steps] = True if part.mask is None else part.mask
    return Batch(data, times, mask)


def _prolonged(times: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    count = times.shape[1]
    pace = (times[:, -1] - times[:, 0]) / (count - 1) if count > 1 else np.ones(len(times), np.float32)
    beyond = times[:, -1:] + pace[:, None] * np.arange(1, steps - count + 1, dtype=np.float32)
    return np.concatenate([times, beyond], axis=1)
