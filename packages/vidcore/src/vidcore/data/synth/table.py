"""The manifest of a set of trajectory clips: its columns and rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from vidcore.data.synth.trajectories import MIN_CONTINUED

FUTURE = "future_positions_pixels"
"""Key of the metadata under which the positions after the clip are."""
_PAST = 3


def columns(frames: int) -> list[str]:
    """Names of the columns of clips of so many frames."""
    positions = ("past_positions", "last_position", "future_positions") if frames >= MIN_CONTINUED else ()
    return ["video", "label", "index", *positions]


def row_of(scene: dict[str, Any]) -> list[Any]:
    """The row of a clip's metadata; positions in JSON, as shares of the picture's width and height."""
    row = [scene["video"], scene["label"], scene["index"]]
    if not scene[FUTURE]:
        return row
    past, ahead = (
        [[round(x / scene["size"], 5) for x in position] for position in path]
        for path in (scene["image_positions_pixels"][-_PAST:], scene[FUTURE])
    )
    return [*row, json.dumps(past), json.dumps(past[-1]), json.dumps(ahead)]


def is_current(manifest: Path, frames: int) -> bool:
    """Whether the manifest is there and has all columns: earlier versions wrote fewer, of the same videos."""
    if not manifest.exists():
        return False
    with manifest.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), None) == columns(frames)
