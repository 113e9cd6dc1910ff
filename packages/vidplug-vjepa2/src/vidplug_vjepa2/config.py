"""Options of the V-JEPA 2 extractors."""

from __future__ import annotations

from pydantic import Field
from vidcore.config import ExtractorConfig


class VJepa2Config(ExtractorConfig):
    """Options of ``vjepa2/*``."""

    size: int | None = Field(None, ge=32, le=1024, multiple_of=16)
    """Side of the square frames that the network sees; empty: the side its weights were trained at (256, or 384
    for the weights named so)."""
