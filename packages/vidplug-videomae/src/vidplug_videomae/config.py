"""Options of the VideoMAE extractors."""

from __future__ import annotations

from vidcore.config import ExtractorConfig


class VideoMaeConfig(ExtractorConfig):
    """Options of ``videomae/*``: size and frames are fixed by the position table."""
