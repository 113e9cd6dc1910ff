"""Tiny variants for tests, one per layout of features. Cold."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

Layout = Literal["NCHW", "NHWC", "NLC"]

TINY_SIDE = 64
TINY: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "vit_test": (
            "vit_tiny_patch16_224",
            {"img_size": TINY_SIDE, "embed_dim": 48, "depth": 3, "num_heads": 4},
        ),
        "convnext_test": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (16, 24, 32, 48)}),
        "swin_test": (
            "swin_tiny_patch4_window7_224",
            {
                "img_size": TINY_SIDE,
                "window_size": 2,
                "embed_dim": 16,
                "depths": (1, 1, 2, 1),
                "num_heads": (1, 2, 4, 8),
            },
        ),
    }
)
"""Name -> timm's architecture and its arguments."""
