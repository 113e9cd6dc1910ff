"""Options of the X3D extractors."""

from __future__ import annotations

from pydantic import Field
from vidcore.config import ExtractorConfig


class X3dConfig(ExtractorConfig):
    """Options of ``x3d/*``. The networks are convolutional: any clip goes through."""

    frames: int | None = Field(None, ge=1, le=1024)
    """Frames of one forward; empty: those of the published clip."""
    size: int | None = Field(None, ge=32, le=1024)
    """Side of the square frames that the network sees; empty: that of the published evaluation."""
