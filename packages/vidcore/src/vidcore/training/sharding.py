"""Tensors that several processes hold together: whole for a checkpoint, and in parts again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vidcore.extractors.freezing import parameter_blocks
from vidcore.model import VideoModel


def whole(item: Any) -> Any:
    """``item`` with every sharded tensor in it as a plain one on the CPU; all processes must ask.

    Dicts, lists and tuples are looked into; plain tensors stay the ones they are.
    """
    if isinstance(item, Tensor):
        return item.full_tensor().cpu() if _is_sharded(item) else item  # type: ignore[attr-defined]
    if isinstance(item, Mapping):
        return {key: whole(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)(whole(value) for value in item)
    return item


def like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor, sharded as ``pattern`` is; where that is plain, the tensor itself."""
    if not _is_sharded(pattern):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = pattern
    return distribute_tensor(tensor.to(sharded.device), sharded.device_mesh, sharded.placements)


def optimizer_like(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """A whole optimiser state with the moments of each parameter sharded as the parameter is."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    shared = {
        number: {
            name: like(value, parameters[number]) if _is_moment(value, parameters[number]) else value
            for name, value in moments.items()
        }
        for number, moments in state["state"].items()
    }
    return {**state, "state": shared}


def shard(model: nn.Module, mesh: Any) -> nn.Module:
    """Fully sharded data parallelism (Zhao et al. 2023, arXiv:2304.11277) over the blocks of the extractors.

    Each block gathers its parameters when it runs, so that no process ever holds all of them.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    if not isinstance(model, VideoModel):
        raise TypeError(f"expected a VideoModel; got {type(model).__name__}")
    group = mesh["data_parallel"]
    for stream in model.streams:
        blocks = parameter_blocks(model.extractor(stream))
        kinds = Counter(type(block) for block in blocks)
        for block in blocks:
            # One of a kind, such as embeddings, may be used in pieces instead of being called.
            if kinds[type(block)] > 1:
                fully_shard(block, mesh=group)
    fully_shard(model, mesh=group)
    for method in ("encode", "decide"):
        register_fsdp_forward_method(model, method)
    return model


def _is_sharded(tensor: Tensor) -> bool:
    # By what it can do: importing torch's class takes long, and predicting never meets one.
    return hasattr(tensor, "full_tensor")


def _is_moment(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim() > 0
