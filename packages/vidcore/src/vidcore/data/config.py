"""Options of the built-in data sets."""

from __future__ import annotations

from pydantic import Field

from vidcore.config import DatasetConfig
from vidcore.data.difficulty import DEFAULT_DIFFICULTY, Difficulty


class TrajectoriesConfig(DatasetConfig):
    """Options of ``trajectories``."""

    n: int = Field(1200, ge=12)
    """Clips in all; the four classes are equally frequent."""
    frames: int = Field(16, ge=2)
    """Frames of a clip."""
    size: int = Field(64, ge=16)
    """Height and width in pixels."""
    difficulty: Difficulty = DEFAULT_DIFFICULTY
    """``easy``: four motions. ``medium``: the same with a second ball, occlusion, texture, a shaken camera and shorter
    paths. ``hard``: four orders of the same positions besides, which only the order of the frames tells apart."""
    fps: int = Field(16, ge=1)
    """Frame rate written to the files."""
