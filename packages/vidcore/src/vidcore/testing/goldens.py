"""Reproducing published architectures without their weights: weights by a rule of their names.

A reference implementation is filled by the rule, run once, and its numbers kept; ours, filled by the
same rule under the published names, must give the same ones.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def fill_published(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same names, shapes and dtypes on the CPU, filled by the rule of the goldens.

    For each entry x is standard normal in float64, from a generator seeded with the CRC-32 of its name.

    ==================================  ==============================
    name, dimensions                    value
    ==================================  ==============================
    ends in ``num_batches_tracked``     0
    ends in ``running_var``             0.5 + 0.5 x^2
    at most one, ends in ``weight``     1 + 0.1 x
    at most one, otherwise              0.1 x
    otherwise                           x sqrt(2 / prod(shape[1:]))
    ==================================  ==============================

    Only names and shapes are read, so a state dict on the meta device will do.
    """
    return {name: _drawn(name, tensor) for name, tensor in state_dict.items()}


def golden_clip(seed: int, frames: int, size: int) -> Tensor:
    """A golden's input: (1, 3, frames, size, size) float32, uniform in [-1, 1], in the model's value range."""
    clip = np.random.default_rng(seed).uniform(-1, 1, (1, 3, frames, size, size))
    return torch.from_numpy(clip.astype(np.float32))


def relative_error(ours: Tensor | npt.NDArray[np.generic], golden: Tensor | npt.NDArray[np.generic]) -> float:
    """``||ours - golden|| / ||golden||`` over the whole tensor, in float64; infinite where the shapes differ.

    A golden of zeros has no scale: the error is then absolute.
    """
    a, b = (torch.as_tensor(value).detach().cpu().double() for value in (ours, golden))
    if a.shape != b.shape:
        return math.inf
    error, scale = float((a - b).norm()), float(b.norm())
    return error / scale if scale else error


def _drawn(name: str, tensor: Tensor) -> Tensor:
    shape = tuple(tensor.shape)
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        x = np.zeros(shape)
    elif name.endswith("running_var"):
        x = 0.5 + 0.5 * x**2
    elif len(shape) > 1:
        x = x * math.sqrt(2 / math.prod(shape[1:]))
    else:
        x = 1 + 0.1 * x if name.endswith("weight") else 0.1 * x
    return torch.as_tensor(x).to(tensor.dtype)
