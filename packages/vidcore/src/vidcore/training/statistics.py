"""Statistics of the training rows that a model standardises its streams by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from vidcore.errors import DataError
from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.standardise import RunningStatistics
from vidcore.training.batches import Batch, BatchSource

# Clips of which maps are held at once.
_AT_ONCE = 64
# More clips than these say nothing new of a mean and a deviation.
_MOST = 10_000


def fit_standardisation(
    model: VideoModel,
    source: BatchSource,
    maps_of: Callable[[Batch], Mapping[str, FeatureMap]],
    name_of: Callable[[int], str] = lambda row: f"row {row}",
) -> None:
    """Set the model's means and gains by the clips of ``source``; evenly spread ones where there are very many.

    Args:
        model: its ``standardise`` names the streams.
        source: the training clips.
        maps_of: the streams' maps of a batch.
        name_of: what an error calls the clip of a row.

    Raises:
        DataError: features that are not finite; names the clip and the stream.
    """
    streams = model.standardise.streams
    if not streams:
        return
    running = {stream: RunningStatistics() for stream in streams}
    clips = range(0, len(source), -(-len(source) // _MOST))
    plan = [list(clips[start : start + _AT_ONCE]) for start in range(0, len(clips), _AT_ONCE)]
    for batch in source.batches(plan, 0):
        maps = maps_of(batch)
        for stream in streams:
            check_finite(maps[stream], stream, batch, name_of)
            running[stream].update(maps[stream])
    model.standardise.set_statistics({stream: one.found() for stream, one in running.items()})


def check_finite(fmap: FeatureMap, stream: str, batch: Batch, name_of: Callable[[int], str]) -> None:
    """Refuse features that are not finite.

    Raises:
        DataError: names the first clip and the stream.
    """
    good = torch.isfinite(fmap.data).flatten(1).all(1)
    if not bool(good.all()):
        row = batch.rows[int((~good).nonzero()[0])]
        raise DataError(
            f"the features of {name_of(row)} in stream {stream!r} are not finite (NaN or inf); "
            "look at the clip, or leave it out of the data"
        )
