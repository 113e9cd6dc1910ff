"""Options of the Open-MAGVIT2 extractors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from vidcore.config import ExtractorConfig

Side = Annotated[int, Field(ge=16, le=4096, multiple_of=8)]


class MagvitConfig(ExtractorConfig):
    """Options of ``magvit2/*``."""

    size: Side | tuple[Side, Side] | None = Field(128, json_schema_extra={"examples": [32]})
    """Side, or (height, width), of the frames the network sees; empty: the video's own size, each side rounded
    down to a multiple of 8."""
    norm: Literal["clip", "frame"] = "clip"
    """What the encoder's group norms average over. ``clip``: time and space, as published; the convolutions are
    causal, but a later frame still rescales earlier steps. ``frame``: space alone, step by step; strictly causal,
    the same parameters, other numbers than those the published weights were trained with."""
    project: int | None = Field(None, ge=1, json_schema_extra={"examples": [8]})
    """Channels of a trainable 1x1x1 projection of the output that downstream parts read; empty: none. It starts
    random, and no published file holds it: with published weights, train the extractor or it stays random."""
    decoder: bool = True
    """Whether the decoder is there. Features do not need it; leaving it out saves 226 M of 371 M parameters."""
