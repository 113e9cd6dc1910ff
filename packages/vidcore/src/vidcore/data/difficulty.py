"""How hard the trajectories are: one table of knobs. Cold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from vidcore.errors import DataError

Difficulty = Literal["easy", "medium", "hard"]
DEFAULT_DIFFICULTY: Difficulty = "medium"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What a difficulty changes. Lengths are fractions of the frame's width, grey levels run from 0 to 255.

    Attributes:
        order_only: the classes are four orders in which one closed path is travelled, instead of four paths. Every
            class visits the same positions, and each of them equally often in every frame, so neither a single frame
            nor an unordered set of frames says anything.
        extent: factor on the length of the path in the frame.
        distractors: smaller balls that move by paths and classes of their own.
        occluders: patches that stand still before everything else.
        shake: largest shift of the whole picture, by which the hand that holds the camera moves it from frame to frame.
        texture: range of the amplitude of the background's pattern, grey levels.
        texture_knots: knots of that pattern on either axis; more make it finer.
    """

    order_only: bool = False
    extent: float = 1.0
    distractors: int = 0
    occluders: int = 0
    shake: float = 0.0
    texture: tuple[float, float] = (0.0, 15.0)
    texture_knots: int = 6


KNOBS: dict[Difficulty, Knobs] = {
    "easy": Knobs(),
    "medium": Knobs(extent=0.7, distractors=1, occluders=1, shake=0.03, texture=(10.0, 40.0), texture_knots=12),
    "hard": Knobs(
        order_only=True,
        extent=0.7,
        distractors=1,
        occluders=1,
        shake=0.03,
        texture=(10.0, 40.0),
        texture_knots=12,
    ),
}


def knobs_of(difficulty: str) -> Knobs:
    """The knobs of a difficulty.

    Raises:
        DataError: there is no such difficulty.
    """
    for name in get_args(Difficulty):
        if name == difficulty:
            return KNOBS[name]
    raise DataError(f"trajectories: no difficulty {difficulty!r}; there are: {', '.join(get_args(Difficulty))}")
