"""Weights of a network as a pure function of its parameter names, so that goldens need no weight file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def fill_published(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same names, shapes and dtypes, drawn by the rule under which the goldens were computed.

    Each entry draws standard normal x in float64 from a generator seeded with the CRC-32 of its name, then
    ``num_batches_tracked`` becomes 0, ``running_var`` 0.5 + 0.5 x^2, other entries of at most one dimension
    1 + 0.1 x (``weight``) or 0.1 x, and the rest x * sqrt(2 / fan_in). Also fills meta tensors.
    """
    return {name: _draw(name, tensor) for name, tensor in state_dict.items()}


def _draw(name: str, tensor: Tensor) -> Tensor:
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
    if name.endswith("num_batches_tracked"):
        x = np.zeros_like(x)
    elif name.endswith("running_var"):
        x = 0.5 + 0.5 * x**2
    elif tensor.ndim <= 1:
        x = 1 + 0.1 * x if name.endswith("weight") else 0.1 * x
    else:
        x = x * math.sqrt(2 / math.prod(tensor.shape[1:]))
    return torch.as_tensor(x).to(tensor.dtype)


def golden_clip(seed: int, frames: int, size: int) -> Tensor:
    """The input of a golden: (1, 3, frames, size, size), uniform in [-1, 1], float32."""
    values = np.random.default_rng(seed).uniform(-1, 1, (1, 3, frames, size, size))
    return torch.from_numpy(values).float()


def relative_error(ours: Tensor, golden: np.ndarray) -> float:
    """``||ours - golden|| / ||golden||`` over the whole tensor."""
    reference = torch.from_numpy(golden)
    return ((ours - reference).norm() / reference.norm()).item()
