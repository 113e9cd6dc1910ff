"""Features of frozen extractors, in main memory for all epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vidcore.features import FeatureMap, joined
from vidcore.training.batches import Batch


class EncodedClips:
    """The maps of every clip of a source: a ``BatchSource`` that decodes and encodes nothing."""

    def __init__(self, parts: Sequence[Batch]) -> None:
        self._targets = torch.cat([part.targets for part in parts])
        self._mask = torch.cat([part.mask for part in parts])
        self._rows = [row for part in parts for row in part.rows]
        self._maps = {name: joined([_features(part)[name] for part in parts]) for name in _features(parts[0])}

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
                tuple(map(self._rows.__getitem__, numbers)),
                features={name: taken(fmap, index) for name, fmap in self._maps.items()},
            )


def _features(batch: Batch) -> Mapping[str, FeatureMap]:
    return batch.features or {}


def taken(fmap: FeatureMap, index: Tensor) -> FeatureMap:
    """The clips ``index`` (B,) of a map."""
    times = fmap.times[index] if fmap.times.dim() == 2 else fmap.times
    return FeatureMap(fmap.data.index_select(0, index), times, fmap.mask[index] if fmap.mask is not None else None)
