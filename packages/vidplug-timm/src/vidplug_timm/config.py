"""Options of the timm extractors."""

from __future__ import annotations

from vidcore.config import ExtractorConfig


class TimmConfig(ExtractorConfig):
    """Options of ``timm/*``: the outputs and the weights. The frame size is that of the weights."""
