"""Options of the SlowFast, Slow and C2D extractors."""

from __future__ import annotations

from pydantic import Field
from vidcore.config import ExtractorConfig


class SlowFastConfig(ExtractorConfig):
    """Options of ``slowfast/*`` and ``slow/*``. The networks are convolutional: any clip goes through."""

    frames: int | None = Field(None, ge=2, le=1024)
    """Frames of one forward; empty: those of the published clip. SlowFast's are the fast pathway's."""
    size: int | None = Field(None, ge=32, le=1024)
    """Side of the square frames that the network sees; empty: that of the published evaluation, 256."""
