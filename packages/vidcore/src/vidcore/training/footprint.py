"""How much memory training a model takes, and how much there is."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from vidcore.features import FeatureMap
from vidcore.training.batched import ModelStack
from vidcore.training.lockstep import Group

# Per parameter: value, gradient, two moments, one temporary, the copy of the best epoch, the model it came from.
_COPIES = 7
# Activations, their gradients, and what an operation holds besides.
_PASSES = 3


def member_bytes(stack: ModelStack, maps: Mapping[str, FeatureMap], targets: Tensor) -> int:
    """Bytes that one member more takes, measured on a batch with a ``stack`` of one: an estimate from above."""
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stack.losses(Group((0,), (1, 1), None), maps, targets, train=True)
    held.pop(stack.flat.untyped_storage().data_ptr(), None)
    batch = sum(fmap.data.numel() * fmap.data.element_size() for fmap in maps.values())
    return _COPIES * stack.flat.numel() * stack.flat.element_size() + _PASSES * sum(held.values()) + batch


def memory_allowed(device: torch.device) -> int:
    """Half of what is free on a GPU; a quarter of the machine's memory elsewhere."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // 2
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
