"""Clips that are tensors already: what a person's own code trains on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vidcore.errors import ShapeError
from vidcore.training.batches import Batch


class TensorClips:
    """Clips and targets in memory: a ``BatchSource``.

    Args:
        clips: per stream uint8 (N, T, 3, h, w), fitted to its extractor or not; or one tensor, for one stream.
        targets: (N,) class indices, or as the head's targets are.
        stream: the stream that a single tensor is for.
        mask: (N, T) bool, False where a frame is padding; ``None``: no frame is.

    Raises:
        ShapeError: there are not as many clips as targets, or they are no raw clips.
    """

    def __init__(
        self, clips: Tensor | Mapping[str, Tensor], targets: Tensor, *, stream: str = "", mask: Tensor | None = None
    ) -> None:
        self._clips = {stream: clips} if isinstance(clips, Tensor) else dict(clips)
        self._targets = targets
        for name, tensor in self._clips.items():
            if tensor.dim() != 5 or tensor.dtype != torch.uint8 or len(tensor) != len(targets):
                shape = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
                raise ShapeError(f"clips of stream {name!r} must be uint8 ({len(targets)}, T, 3, h, w); got {shape}")
        frames = next(iter(self._clips.values())).shape[1]
        self._mask = mask if mask is not None else torch.ones(len(targets), frames, dtype=torch.bool)

    def __len__(self) -> int:
        return len(self._targets)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``; nothing is random here."""
        for numbers in plan:
            rows = list(numbers)
            clips = {name: clip[rows] for name, clip in self._clips.items()}
            yield Batch(self._targets[rows], self._mask[rows], tuple(rows), clips)
