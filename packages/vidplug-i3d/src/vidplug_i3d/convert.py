"""Published I3D parameter names -> those of the extractors here."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor


def convert(published: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """The published names under ``network.``; what the extractor does not have keeps its published name."""
    return {f"network.{name}" if f"network.{name}" in own else name: tensor for name, tensor in published.items()}
