"""Options of the built-in fusions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vidcore.config import FusionConfig, tunable, tunable_among


class ConcatConfig(FusionConfig):
    """Options of ``concat``."""

    reference: str | None = None
    """Stream whose time steps and grid the others are brought to; by default the first."""


class GatedConfig(FusionConfig):
    """Options of ``gated``."""

    width: int = Field(512, ge=1, json_schema_extra=tunable_among(128, 256, 512))
    """Channels that every stream is projected to."""
    reference: str | None = None
    """Stream whose time steps and grid the others are brought to; by default the first."""


class CrossAttentionConfig(FusionConfig):
    """Options of ``cross_attention``."""

    width: int = Field(512, ge=1, json_schema_extra=tunable_among(128, 256, 512))
    """Channels that every stream is projected to; a multiple of ``heads``."""
    heads: int = Field(8, ge=1)
    direction: Literal["both", "one"] = "both"
    """both: every stream attends to all others. one: the reference attends to the others, which do not attend."""
    reference: str | None = None
    """Stream whose time steps and grid the result has; by default the first."""
    pool: bool = False
    """Average every stream over space first: one token per step instead of one per cell, at a fraction of the cost."""
    dropout: float = Field(0.1, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout of the attention weights and of what is attended to before it is added."""


class BottleneckConfig(FusionConfig):
    """Options of ``bottleneck``."""

    width: int = Field(256, ge=1, json_schema_extra=tunable_among(128, 256, 512))
    """Channels that every stream is projected to; a multiple of ``heads``."""
    heads: int = Field(8, ge=1)
    bottlenecks: int = Field(4, ge=1, json_schema_extra=tunable_among(2, 4, 8))
    """Tokens through which streams exchange what they see."""
    depth: int = Field(2, ge=2, json_schema_extra=tunable(2, 4))
    """Layers. What a stream writes to the bottleneck in one layer the others read in the next: one is too few."""
    mlp_ratio: int = Field(4, ge=1)
    """Width of the hidden layer of a block's MLP, in multiples of ``width``."""
    reference: str | None = None
    """Stream whose time steps and grid the result has; by default the first."""
    pool: bool = False
    """Average every stream over space first: one token per step instead of one per cell, at a fraction of the cost."""
    dropout: float = Field(0.1, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout of what attention and MLP add, and of the MLP's hidden units."""


class LateConfig(FusionConfig):
    """Options of ``late``."""

    width: int = Field(512, ge=1)
    """Width of what each stream says; below the number of classes, its classifier is of that rank only."""
    weights: Literal["learned", "equal"] = "learned"
    """Weights of the streams, which sum to one: learned, equal at first; or equal for good."""
    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout of every stream's features."""
