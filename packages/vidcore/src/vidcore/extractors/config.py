"""Options of the built-in extractors."""

from __future__ import annotations

from pydantic import Field, model_validator

from vidcore.config import ExtractorConfig


class NaiveCnnConfig(ExtractorConfig):
    """Options of ``basic/naive_cnn``."""

    width: int = Field(128, ge=8, multiple_of=8)
    """Channels of the last stage; each earlier one has half as many."""
    frames: int = Field(8, ge=1)
    """Frames looked at, taken uniformly from the clip."""


class KeypointsConfig(ExtractorConfig):
    """Options of ``basic/keypoints``."""

    width: int = Field(64, ge=1)
    """Channels of a step."""
    keypoints: int = Field(8, ge=1)
    """Places looked for in each frame."""


class PatchTransformerConfig(ExtractorConfig):
    """Options of ``basic/patch_transformer``."""

    width: int = Field(256, ge=8)
    depth: int = Field(4, ge=1)
    """Transformer blocks."""
    heads: int = Field(4, ge=1)
    tubelet: int = Field(2, ge=1)
    """Frames of one token."""
    patch: int = Field(16, ge=2)
    """Rows and columns of one token."""
    size: int = Field(64, ge=8)
    """Side of the square frames that the network sees."""
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _divides(self) -> PatchTransformerConfig:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads ({self.heads})")
        if self.size % self.patch:
            raise ValueError(f"size {self.size} is not a multiple of patch ({self.patch})")
        return self
