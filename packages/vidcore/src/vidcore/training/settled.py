"""What a fusion and a readout without parameters make of the features: the same in every epoch, so computed once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vidcore.features import FeatureMap
from vidcore.model import VideoModel
from vidcore.training.batches import Batch
from vidcore.training.encoded import taken
from vidcore.training.slicing import chunks

_STREAM = "readout"
# Clips by which the parts are tried.
_TRIED = 3


@torch.no_grad()
def settled(model: VideoModel, clips: Batch, batch_size: int) -> Batch | None:
    """The readout of every clip, as the features of a model that ``from_readout`` makes.

    Args:
        model: fusion, readout and head on the device.
        clips: features of all clips, anywhere.
        batch_size: clips at once.

    Returns:
        ``None`` where the parts hold tensors, draw noise, do another thing in training, or let a clip depend on its
        neighbours in the batch.
    """
    if any(True for part in (model.fusion, model.readout) for _ in chain(part.parameters(), part.buffers())):
        return None
    maps = clips.features or {}
    few = torch.arange(min(_TRIED, len(clips)), device=clips.targets.device)
    judged = _read(model.eval(), maps, few)
    trained = [_read(model.train(), maps, few) for _ in range(2)]
    apart = torch.cat([_read(model, maps, few[i : i + 1]) for i in range(len(few))])
    if not all(torch.equal(judged, one) for one in trained) or not torch.allclose(judged, apart, rtol=1e-4, atol=1e-5):
        return None
    device = next(model.head.parameters()).device
    found = torch.cat([_of(model, part.to(device).features or {}) for part in chunks(clips, batch_size)])
    # (N, K) or (N, T, K); a pooled feature is a map as well.
    steps = found.unsqueeze(1) if found.dim() == 2 else found
    data = steps.transpose(1, 2)[..., None, None].contiguous()
    times = torch.arange(data.shape[2], dtype=torch.float32, device=data.device)
    targets = clips.targets.to(data.device)
    return Batch(targets, clips.mask, clips.rows, features={_STREAM: FeatureMap(data, times)})


def from_readout(model: VideoModel, *, per_step: bool) -> VideoModel:
    """The model, reading what ``settled`` gave; only the head has tensors, under the names it had."""
    fusion: Any = _Only()
    readout: Any = _AsRead(per_step)
    return VideoModel({}, fusion, readout, model.head)


def vectors(model: VideoModel, maps: Mapping[str, FeatureMap]) -> Tensor | None:
    """(B, K) as the head reads them, where all members read the same: the model is one of ``from_readout``."""
    return _of(model, maps) if isinstance(model.readout, _AsRead) else None


def _read(model: VideoModel, maps: Mapping[str, FeatureMap], rows: Tensor) -> Tensor:
    device = next(model.head.parameters()).device
    return _of(model, {name: taken(fmap, rows).to(device) for name, fmap in maps.items()})


def _of(model: VideoModel, maps: Mapping[str, FeatureMap]) -> Tensor:
    return model.read(maps)


class _Only(nn.Module):
    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        return streams[_STREAM]


class _AsRead(nn.Module):
    def __init__(self, per_step: bool) -> None:
        super().__init__()
        self._per_step = per_step

    def forward(self, features: FeatureMap) -> Tensor:
        steps = features.sequence()
        return steps if self._per_step else steps[:, 0]
