"""Options of the built-in readouts."""

from __future__ import annotations

from pydantic import Field

from vidcore.config import ReadoutConfig


class MeanConfig(ReadoutConfig):
    """Options of ``mean``: none."""


class AttentionConfig(ReadoutConfig):
    """Options of ``attention``."""

    width: int | None = Field(None, ge=1)
    """Channels of the pooled vector; by default those of the features."""
    heads: int = Field(8, ge=1)
    queries: int = Field(1, ge=1)
    """Learned queries, averaged."""
