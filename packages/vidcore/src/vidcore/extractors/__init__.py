"""Extractors: the base class and the built-in ones, one file each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.extractors.base import Extractor, middle_time, step_times, window_averages

__all__ = ["Extractor", "middle_time", "step_times", "window_averages"]


def __getattr__(name: str) -> Any:
    # Lazy, so that reading a built-in extractor's options does not import torch.
    if name in __all__:
        from vidcore.extractors import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
