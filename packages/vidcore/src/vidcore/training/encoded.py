"""Features of frozen extractors, computed once and kept in memory for all epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vidcore.catalog import FeatureInfo
from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.training.batches import Batch, BatchSource, in_order


class EncodedClips:
    """The maps of every clip of a source: a ``BatchSource`` that decodes and encodes nothing."""

    def __init__(self, parts: Sequence[Batch]) -> None:
        self._targets = torch.cat([part.targets for part in parts])
        self._mask = torch.cat([part.mask for part in parts])
        self._rows = [row for part in parts for row in part.rows]
        self._maps = {name: _joined([_features(part)[name] for part in parts]) for name in _features(parts[0])}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def whole(self) -> Batch:
        """All clips as one batch; nothing is copied."""
        return Batch(self._targets, self._mask, tuple(self._rows), features=self._maps)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``; nothing is random here."""
        for numbers in plan:
            index = torch.tensor(list(numbers))
            yield Batch(
                self._targets[index],
                self._mask[index],
                tuple(self._rows[number] for number in numbers),
                features={name: taken(fmap, index) for name, fmap in self._maps.items()},
            )


@torch.no_grad()
def encode_once(
    model: VideoModel,
    encode: Callable[[Batch], Mapping[str, FeatureMap]],
    source: BatchSource,
    batch_size: int,
    on_batch: Callable[[int], None] = lambda clips: None,
) -> EncodedClips:
    """Run the frozen extractors over every clip of ``source`` once.

    ``encode`` maps a batch to the streams' maps on the device of the model; they are kept in main memory.
    ``on_batch`` hears how many clips were encoded.
    """
    model.eval()
    parts = []
    for batch in source.batches(in_order(source, batch_size), 0):
        maps = {name: fmap.detach().to("cpu") for name, fmap in encode(batch).items()}
        parts.append(Batch(batch.targets, batch.mask, batch.rows, features=maps))
        on_batch(len(batch))
    return EncodedClips(parts)


def feature_bytes(streams: Mapping[str, tuple[FeatureInfo, tuple[int, int, int]]], clips: int) -> int:
    """Memory that the float32 maps of ``clips`` clips take; per stream its shape and (T, h, w) of its clip."""
    total = 0
    for info, (frames, height, width) in streams.values():
        dim, steps, rows, columns = info.shape(frames, height, width)
        total += 4 * dim * steps * rows * columns
    return total * clips


def _features(batch: Batch) -> Mapping[str, FeatureMap]:
    return batch.features or {}


def _joined(maps: Sequence[FeatureMap]) -> FeatureMap:
    first = maps[0]
    times = torch.cat([fmap.times for fmap in maps]) if first.times.dim() == 2 else first.times
    mask = torch.cat([fmap.mask for fmap in maps if fmap.mask is not None]) if first.mask is not None else None
    return FeatureMap(torch.cat([fmap.data for fmap in maps]), times, mask)


def taken(fmap: FeatureMap, index: Tensor) -> FeatureMap:
    """The clips ``index`` (B,) of a map."""
    times = fmap.times[index] if fmap.times.dim() == 2 else fmap.times
    return FeatureMap(fmap.data[index], times, fmap.mask[index] if fmap.mask is not None else None)
