"""Options of the DINOv2 and DINOv3 extractors."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from vidcore.config import ExtractorConfig

Side = Annotated[int, Field(ge=14, le=4096)]


class DinoConfig(ExtractorConfig):
    """Options of every DINO extractor."""

    # 112 is a multiple of both patches, 14 and 16.
    size: Side | tuple[Side, Side] | None = Field(224, json_schema_extra={"examples": [112]})
    """Side, or (height, width), of the frames the network sees; empty: the video's own size, each side rounded
    down to a multiple of the patch."""


class Dinov2Config(DinoConfig):
    """Options of ``dinov2/*``."""

    position_offset: float | None = Field(None, ge=0, lt=1)
    """Added to the grid when the 37x37 position table is interpolated. Empty: as whoever published the weights does
    it; the authors add 0.1 for their files of the models without registers, transformers adds nothing."""


class Dinov3Config(DinoConfig):
    """Options of ``dinov3/*``."""
