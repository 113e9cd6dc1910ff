"""The table of timm variants, read from the frozen catalogue. Cold, and quick: it holds over a thousand rows."""

from __future__ import annotations

import json
import pkgutil
from typing import Any, Literal, NamedTuple

from .tiny import Layout


class Variant(NamedTuple):
    """One architecture as timm builds it without classifier. A tuple: a row of the catalogue is one as it stands."""

    name: str
    parameters: int
    layout: Layout
    """Axes of what ``forward_features`` gives; L: the tokens before the grid, then its rows."""
    width: int
    stride_rows: int
    stride_columns: int
    rounding: Literal["ceil", "floor"]
    pooled: int
    """Width of the vector that timm's classifier reads."""
    prefix: int
    """Tokens before the grid."""
    cls: int
    """1 where the first of them is a class token."""
    token: int
    """1 where the class token is what timm's classifier reads."""
    clip: int
    """Index into ``CLIPS``."""
    weights: list[list[Any]]
    """[tag, index into CLIPS, into LICENCES, into TRAINED_ON, ImageNet-1k top-1 in % or 0, side it was measured at] of
    each published set."""


# Written by ``python -m vidplug_timm.freeze``. Not by pathlib, whose import takes longer than reading the file.
_read = json.loads(pkgutil.get_data(__name__, "catalogue.json") or b"")

CLIPS: list[list[Any]] = _read["clips"]
"""[height, width, what comes before the crop, interpolation, mean, std].

Before the crop the short side is brought to a number, or both sides to [height, width]; 0: both sides are brought to
the size at once; "pad": the frame is fitted into the size, and the rest is filled."""
LICENCES: list[str] = _read["licences"]
TRAINED_ON: list[str] = _read["trained_on"]
LEFT_OUT: dict[str, str] = _read["left_out"]
"""Architectures of timm that give no single feature map, and what they give instead."""
TIMM_VERSION: str = _read["timm"]
VARIANTS: dict[str, Variant] = {f"timm/{row[0]}": Variant._make(row) for row in _read["models"]}
