"""timm's networks, with or without their classifiers, by name."""

from __future__ import annotations

from typing import Any

import timm

from .tiny import TINY


def build(name: str, tag: str | None = None, classes: int = 0) -> Any:
    """Timm's architecture ``name`` (or one of ``TINY``) with random weights; with 0 classes it has no classifier.

    With ``tag`` it is built as for those weights: timm takes the frame size of fixed-size networks from there.
    """
    architecture, options = TINY.get(name, (name, {}))
    return timm.create_model(
        f"{architecture}.{tag}" if tag else architecture, pretrained=False, num_classes=classes, **options
    )
