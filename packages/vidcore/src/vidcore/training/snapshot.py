"""What a step changes before its update, so that it can be taken again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from vidcore.model import VideoModel


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The generators that dropout draws from, and the running statistics of normalisation layers."""

    main: Tensor
    device: torch.device
    on_device: Tensor | None
    statistics: list[tuple[Tensor, Tensor]]

    @classmethod
    def take(cls, statistics: Sequence[Tensor], device: torch.device) -> Snapshot:
        """Copy them; a few kilobytes. ``statistics`` as of ``running_statistics``."""
        on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), device, on_device, [(buffer, buffer.clone()) for buffer in statistics])

    def restore(self) -> None:
        """Put them back."""
        torch.set_rng_state(self.main)
        if self.on_device is not None:
            torch.cuda.set_rng_state(self.on_device, self.device)
        for buffer, before in self.statistics:
            buffer.copy_(before)


def running_statistics(model: VideoModel) -> list[Tensor]:
    """The buffers that a forward of ``model`` in training mode changes."""
    learning = (layer for layer in model.modules() if isinstance(layer, _NormBase) and layer.training)
    return [buffer for layer in learning for buffer in layer.buffers(recurse=False)]
