"""Readouts: the base class and the built-in ones, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.features import ReadoutInfo
    from vidcore.readouts.base import Readout

__all__ = ["Readout", "ReadoutInfo"]


def __getattr__(name: str) -> Any:
    # Lazy, so that reading a built-in readout's options does not import torch.
    if name in __all__:
        from vidcore.readouts import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
