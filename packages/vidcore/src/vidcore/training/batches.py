"""What the trainer reads: batches of clips, or of features that were encoded before."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from vidcore.features import FeatureMap
from vidcore.frames import Frames


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Clips of one forward and what they should be recognised as.

    clips      {stream: Frames}, each as its extractor takes them; or ``None`` where ``features`` is set
    features   {stream: FeatureMap}, encoded before; or ``None``
    mask       (B, T) bool, False where a frame is padding, of clips given as plain tensors (B, T, 3, h, w); ``Frames``
               and ``features`` have their own, and T is then 0
    targets    (B,) or (B, C)
    rows       number of each clip within its data
    """

    targets: Tensor
    mask: Tensor
    rows: tuple[int, ...]
    clips: Mapping[str, Tensor | Frames] | None = None
    features: Mapping[str, FeatureMap] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        held = [self.targets, self.mask]
        held += [clip.video if isinstance(clip, Frames) else clip for clip in (self.clips or {}).values()]
        held += [fmap.data for fmap in (self.features or {}).values()]
        if all(tensor.device == device for tensor in held):
            return self
        return Batch(
            self.targets.to(device, non_blocking=True),
            self.mask.to(device, non_blocking=True),
            self.rows,
            self.clips and {name: _moved(clip, device) for name, clip in self.clips.items()},
            self.features and {name: fmap.to(device, non_blocking=True) for name, fmap in self.features.items()},
        )


def _moved(clip: Tensor | Frames, device: torch.device) -> Tensor | Frames:
    return clip.to(device) if isinstance(clip, Frames) else clip.to(device, non_blocking=True)


class BatchSource(Protocol):
    """Clips by number, in the batches asked for.

    A loader of clips is one; so are features held in memory, and features read from a store.
    """

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """One batch per entry of ``plan``, in its order. ``epoch`` is what random clips depend on."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The splits as the trainer reads them; without ``val`` the last epoch is the best one.

    ``units`` says for every row of the data what must stay together with it where rows are divided: its group or
    video. ``None``: each row is by itself.
    """

    train: BatchSource
    val: BatchSource | None = None
    units: Sequence[Hashable] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What the model says about every clip of a source.

    predictions   (N, ...) as the head's metrics read them: class probabilities (N, C) for classification
    targets       (N,) or (N, C)
    rows          number of each clip within its data
    loss          mean over the clips
    scores        the head's metrics
    """

    predictions: Tensor
    targets: Tensor
    rows: list[int]
    loss: float
    scores: dict[str, float] = field(default_factory=dict)


def in_order(source: BatchSource, batch_size: int) -> list[list[int]]:
    """The plan that visits every clip once, in order."""
    clips = len(source)
    return [list(range(first, min(first + batch_size, clips))) for first in range(0, clips, batch_size)]
