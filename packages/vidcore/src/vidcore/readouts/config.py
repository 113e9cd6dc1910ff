"""Options of the built-in readouts."""

from __future__ import annotations

from pydantic import Field, model_validator

from vidcore.config import ReadoutConfig, tunable, tunable_among


class CausalConfig(ReadoutConfig):
    """What every built-in readout can do."""

    causal: bool = False
    """Answer at every step, from that step and the earlier ones: what the clip that ends there would give."""


class MeanConfig(CausalConfig):
    """Options of ``mean``."""


class MaxConfig(CausalConfig):
    """Options of ``max``."""


class LastConfig(CausalConfig):
    """Options of ``last``."""


class AttentionConfig(CausalConfig):
    """Options of ``attention``."""

    width: int | None = Field(None, ge=1)
    """Channels of the pooled vector; by default those of the features."""
    heads: int = Field(8, ge=1)
    queries: int = Field(1, ge=1, json_schema_extra=tunable_among(1, 2, 4))
    """Learned queries, averaged."""
    blocks: int = Field(0, ge=0, le=4, json_schema_extra=tunable(0, 2))
    """0: attention alone. 1: a whole block, with residual and MLP, as V-JEPA is probed. 2 to 4: self-attention blocks
    over the tokens before it."""


class StepConfig(CausalConfig):
    """What a readout that gives one vector per step can do."""

    per_step: bool = False
    """Answer at every step, from the whole clip where the readout is not causal."""


class RecurrentConfig(StepConfig):
    """Options of ``gru`` and ``lstm``."""

    width: int = Field(256, ge=1, json_schema_extra=tunable_among(64, 128, 256, 512))
    """Channels of the state, in each direction."""
    layers: int = Field(1, ge=1, json_schema_extra=tunable(1, 2))
    bidirectional: bool = False
    """Also read the clip backwards; the two states are put side by side."""
    dropout: float = Field(0.0, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
    """Dropout of the features and between layers."""

    @model_validator(mode="after")
    def _causal_reads_forwards(self) -> RecurrentConfig:
        if self.causal and self.bidirectional:
            raise ValueError("a causal readout cannot read backwards; set bidirectional: false or causal: false")
        return self


class TransformerConfig(StepConfig):
    """Options of ``transformer``."""

    width: int = Field(256, ge=1, json_schema_extra=tunable_among(64, 128, 256, 512))
    """Channels inside and of the result; a multiple of ``heads``."""
    heads: int = Field(8, ge=1)
    depth: int = Field(2, ge=1, json_schema_extra=tunable(1, 4))
    mlp_ratio: int = Field(4, ge=1)
    """Width of the hidden layer of a block's MLP, in multiples of ``width``."""
    dropout: float = Field(0.1, ge=0, lt=1, json_schema_extra=tunable(0.0, 0.5))
