"""Options of the I3D extractors."""

from __future__ import annotations

from pydantic import Field
from vidcore.config import ExtractorConfig


class I3dConfig(ExtractorConfig):
    """Options of ``i3d/*``. The networks are convolutional: any clip goes through."""

    frames: int | None = Field(None, ge=1, le=1024)
    """Frames of one forward, and at most that many for Inception; empty: those of the published clip."""
    size: int | None = Field(None, ge=32, le=1024)
    """Side of the square frames that the network sees; empty: that of the published evaluation."""
