"""Batches cut into smaller ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from vidcore.features import FeatureMap
from vidcore.frames import Frames
from vidcore.training.batches import Batch
from vidcore.training.optimisation import part_bounds


def sliced(batch: Batch, first: int, last: int) -> Batch:
    """The clips ``first`` to ``last`` (half-open) of a batch; tensors share memory with it."""
    if first == 0 and last == len(batch):
        return batch
    return replace(
        batch,
        targets=batch.targets[first:last],
        mask=batch.mask[first:last],
        rows=batch.rows[first:last],
        clips=batch.clips and {name: _clips(clip, first, last) for name, clip in batch.clips.items()},
        features=batch.features and {name: _rows(fmap, first, last) for name, fmap in batch.features.items()},
    )


def recut(batches: Sequence[Batch], parts: int) -> list[Batch]:
    """The clips of ``batches`` in ``parts`` batches, cut where a step of so many micro-batches is cut.

    ``parts`` is the number of batches times a whole number, so that no part reaches over two batches.
    """
    wanted = part_bounds(sum(map(len, batches)), parts)
    found, start = [], 0
    for batch in batches:
        end = start + len(batch)
        cuts = [start, *(cut for cut in wanted if start < cut < end), end]
        found += [sliced(batch, a - start, b - start) for a, b in pairwise(cuts)]
        start = end
    return found


def chunks(batch: Batch, size: int) -> Iterable[Batch]:
    """The clips of a batch, at most ``size`` at a time."""
    for first in range(0, len(batch), size):
        yield sliced(batch, first, min(first + size, len(batch)))


def _clips(clip: Tensor | Frames, first: int, last: int) -> Tensor | Frames:
    return clip.clips(first, last) if isinstance(clip, Frames) else clip[first:last]


def _rows(fmap: FeatureMap, first: int, last: int) -> FeatureMap:
    times = fmap.times[first:last] if fmap.times.dim() == 2 else fmap.times
    return FeatureMap(fmap.data[first:last], times, fmap.mask[first:last] if fmap.mask is not None else None)
