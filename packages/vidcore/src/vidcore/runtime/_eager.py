"""PyTorch itself, on a network whose convolutions are folded and laid out for the machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from vidcore.runtime._copy import share
from vidcore.runtime._job import CannotRunError, Engine, Job
from vidcore.runtime._onednn import OneDnnConvolutions


def build(job: Job) -> Engine:
    """The network as it is."""
    return _engine(job.network)


def build_channels_last(job: Job) -> Engine:
    """The network with its convolutions in oneDNN and their weights in channels-last layout, which they hand on.

    Raises:
        CannotRunError: it has no 2D or 3D convolution.
    """
    network = share(job.network)
    formats = {nn.Conv2d: torch.channels_last, nn.Conv3d: torch.channels_last_3d}
    changed = False
    for module in network.modules():
        for kind, memory_format in formats.items():
            if isinstance(module, kind):
                # A new tensor: the shared one keeps its layout.
                laid_out = module.weight.detach().contiguous(memory_format=memory_format)
                module._parameters["weight"] = nn.Parameter(laid_out, requires_grad=False)
                changed = True
    if not changed:
        raise CannotRunError("it has no convolution")
    return _engine(network, OneDnnConvolutions)


def _engine(network: nn.Module, around: Callable[[], AbstractContextManager[object]] = nullcontext) -> Engine:
    def run(tensors: list[Tensor]) -> list[Tensor]:
        with torch.inference_mode(), around():
            found = network(*tensors)
        # Tensors made in inference mode could not be trained on.
        return [data.clone() for data in found]

    return run
