"""Options of the TimeSformer extractors."""

from __future__ import annotations

from vidcore.config import ExtractorConfig


class TimesformerConfig(ExtractorConfig):
    """Options of ``timesformer/*``: size and frames are fixed by the position tables."""
