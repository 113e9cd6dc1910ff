"""Options of the extractors. Unknown ones are refused; the base class sees to that."""

from __future__ import annotations

from pydantic import Field
from vidcore.config import ExtractorConfig


class Diff3dConfig(ExtractorConfig):
    """Options of ``template/*``."""

    width: int | None = Field(None, ge=4)
    """Channels of the first stage; by default those of the variant."""
    difference: bool = True
    """Show the network the change since the previous frame beside each frame."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Whole channels of the last stage dropped in training."""
