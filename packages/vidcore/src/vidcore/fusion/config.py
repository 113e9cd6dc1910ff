"""Options of the built-in fusions."""

from __future__ import annotations

from pydantic import Field

from vidcore.config import FusionConfig


class ConcatConfig(FusionConfig):
    """Options of ``concat``."""

    reference: str | None = None
    """Stream whose time steps and grid the others are brought to; by default the first."""


class GatedConfig(FusionConfig):
    """Options of ``gated``."""

    width: int = Field(512, ge=1)
    """Channels that every stream is projected to."""
    reference: str | None = None
    """Stream whose time steps and grid the others are brought to; by default the first."""
