"""Steps that are padding, and steps that answer for what came so far."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vidcore.catalog import ReadoutSpec
from vidcore.errors import ConfigError
from vidcore.features import FeatureMap


def declared(spec: ReadoutSpec, causal: bool) -> ReadoutSpec:
    """The spec as it is with these options: causal or not."""
    return replace(spec, causal=causal)


def check_heads(width: int, heads: int, readout: str) -> None:
    """Refuse a width that the heads do not divide.

    Raises:
        ConfigError: see above.
    """
    if width % heads:
        raise ConfigError(
            f"readout {readout!r}: width {width} is not a multiple of heads ({heads}); "
            "set readout.options.width or readout.options.heads"
        )


def real_first(features: FeatureMap) -> FeatureMap:
    """The same steps, the real ones first, both in their order: what reads in order then meets padding last.

    A row of padding only counts as real. Without a mask nothing changes.
    """
    real = features.readable()
    if real is None:
        return features
    order = real.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    batch, dim, _, rows, columns = features.data.shape
    data = features.data.gather(2, order[:, None, :, None, None].expand(batch, dim, -1, rows, columns))
    return FeatureMap(data, features.times.expand(batch, -1).gather(1, order), real.gather(1, order))


def held(results: Tensor, features: FeatureMap) -> Tensor:
    """Results (B, T, K) of ``real_first(features)`` back at the steps of ``features``.

    A padded step gets the result of the last real step before it (or of the first real one), so that the
    last step always has the result of the whole clip.
    """
    real = features.readable()
    if real is None:
        return results
    place = (real.cumsum(1) - 1).clamp(min=0)
    return results.gather(1, place[..., None].expand_as(results))


def past(steps: int, like: Tensor) -> Tensor:
    """(T, T) bool, True where column j is not later than row i."""
    return torch.ones(steps, steps, dtype=torch.bool, device=like.device).tril()
