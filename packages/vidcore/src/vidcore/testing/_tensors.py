"""Tensors inside what components take and give: tensors, feature maps, and mappings and lists of them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vidcore.features import FeatureMap


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of every tensor in ``value``, in order."""
    if isinstance(value, Tensor):
        yield path or "output", value
    elif isinstance(value, FeatureMap):
        yield f"{path}.data".removeprefix("."), value.data
        yield f"{path}.times".removeprefix("."), value.times
        if value.mask is not None:
            yield f"{path}.mask".removeprefix("."), value.mask
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}[{index}]")


def apply(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """``value`` with every tensor in it replaced by ``function`` of it."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, FeatureMap):
        mask = None if value.mask is None else function(value.mask)
        return FeatureMap(function(value.data), function(value.times), mask)
    if isinstance(value, Mapping):
        return {key: apply(function, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(apply(function, part) for part in value)
    return value


def rows(value: Any, *places: int) -> Any:
    """Some rows of a batch, each as often as it is named; the times of a map, where all rows share them, stay."""
    index = list(places)
    if isinstance(value, FeatureMap):
        times = value.times if value.times.dim() == 1 else value.times[index]
        mask = None if value.mask is None else value.mask[index]
        return FeatureMap(value.data[index], times, mask)
    if isinstance(value, Tensor):
        return value[index]
    if isinstance(value, Mapping):
        return {key: rows(part, *places) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(rows(part, *places) for part in value)
    return value


def difference(ours: Tensor, other: Tensor) -> float:
    """``||ours - other|| / ||other||``; infinite where shapes differ or a value is not finite."""
    if ours.shape != other.shape:
        return math.inf
    a, b = ours.detach().double(), other.detach().double()
    if not (a.isfinite().all() and b.isfinite().all()):
        return math.inf
    gap, scale = float((a - b).norm()), float(b.norm())
    return gap if scale == 0 else gap / scale


def same(a: Any, b: Any) -> bool:
    """Whether two values of the same structure are equal, tensors bit by bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, FeatureMap) and isinstance(b, FeatureMap):
        return all(same(getattr(a, part), getattr(b, part)) for part in ("data", "times", "mask"))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@torch.no_grad()
def awaken(module: nn.Module) -> nn.Module:
    """Move every parameter a little off its initial value, by a rule of its name.

    What starts at zero (gates, residual scales, biases) hides whatever lies behind it; a tenth of a
    parameter's own size, or the size of a He initialisation where it is zero, brings it to light and
    leaves the network in its working range.
    """
    for name, parameter in module.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        size = 0.1 * float(parameter.float().square().mean().sqrt()) if parameter.numel() else 0.0
        if size == 0.0:
            size = math.sqrt(2 / math.prod(parameter.shape[1:])) if parameter.dim() > 1 else 0.1
        parameter.add_(size * noise)
    return module
