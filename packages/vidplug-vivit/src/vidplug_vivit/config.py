"""Options of the ViViT extractors."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from vidcore.config import ExtractorConfig

from .architecture import Norm, Position

Side = Annotated[int, Field(ge=4, le=4096)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class JointConfig(ExtractorConfig):
    """Options of ``vivit/b16x2``: size and frames are fixed by the position table."""


class FactorisedConfig(ExtractorConfig):
    """Options of ``vivit/factorised_*``."""

    size: Side | tuple[Side, Side] | None = Field(None, json_schema_extra={"examples": [32]})
    """Side, or (height, width), of the frames the network sees; empty: the video's own size, each side rounded
    down to a multiple of the patch. Attention among the patches of a frame grows with the square of their number."""
    in_channels: int = Field(3, ge=1, json_schema_extra={"examples": [1]})
    """Channels of the video. With 1, an RGB video is turned grey (ITU-R 601 luma)."""
    norm: Norm = "layer_norm"
    """Of tokens and blocks."""
    final_norm: bool = False
    """Normalise the features."""
    spatial_position: Position = "rope"
    """How a token learns its row and column."""
    temporal_position: Position = "rope"
    """How a token learns its time step."""
    rope_base: float = Field(10_000.0, gt=1)
    """Base of the rotary and sinusoidal frequencies."""
    learned_grid: tuple[Count, Count, Count] | None = Field(
        None,
        json_schema_extra={
            "examples": [[2, 2, 4]],
            "when": {"temporal_position": "learned", "spatial_position": "learned", "learned_grid": [4, 4, 4]},
        },
    )
    """(steps, rows, columns) of the tables of learned positions; wanted by those and by nothing else. Windows are
    then no longer than the table of time steps; the spatial table is resampled to another grid."""
    registers: int = Field(4, ge=0)
    """Extra tokens beside those of every time step, in the spatial blocks only (arXiv:2309.16588)."""
    patch_dropout: Rate = 0.0
    """Share of tokens zeroed in training."""
    attention_dropout: Rate = 0.0
    """Of the attention's output, in training."""
    feedforward_dropout: Rate = 0.0
    """Of the hidden and output channels of the feed-forward layers, in training."""
    stochastic_depth: Rate = 0.0
    """Share of residual branches left out in training."""
    gradient_checkpointing: bool = False
    """Compute every block a second time in the backward pass instead of keeping its activations."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> FactorisedConfig:
        learned = (self.spatial_position, self.temporal_position) == ("learned", "learned")
        if learned and self.rope_base != 10_000.0:
            raise ValueError(f"rope_base {self.rope_base:g} would be ignored: both positions are learned")
        return self
