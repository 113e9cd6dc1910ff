"""What makes a clip harder without knowing its class: a shaken camera, other balls, and patches before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.data.difficulty import Knobs
from vidcore.data.synth.paths import Array

_OCCLUDER_SIDE = (0.15, 0.25)
_DISTRACTOR_RADIUS = (0.6, 0.75)  # of the ball's own: the largest ball is the one that counts


@dataclass(frozen=True)
class Ball:
    """A moving ball: centre (T, 2) and radius (T,) in pixels, and its RGB colour."""

    image: Array
    radii: Array
    colour: tuple[float, ...]


@dataclass(frozen=True)
class Patch:
    """A rectangle before everything: left, top, right and bottom in pixels, half-open, and its RGB colour."""

    box: tuple[int, int, int, int]
    colour: tuple[float, ...]


@dataclass(frozen=True)
class Surroundings:
    """Everything in a clip besides its ball and its background.

    Attributes:
        shifts: (T, 2) whole pixels by which the picture is moved, x then y.
        distractors: smaller balls.
        patches: what stands before them and the ball.
    """

    shifts: NDArray[np.int64]
    distractors: tuple[Ball, ...] = ()
    patches: tuple[Patch, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The surroundings as plain numbers."""
        return {
            "camera_shifts_pixels": self.shifts.tolist(),
            "distractors": [
                {"image_positions_pixels": np.round(ball.image, 4).tolist(), "colour": list(ball.colour)}
                for ball in self.distractors
            ],
            "occluders_pixels": [list(patch.box) for patch in self.patches],
        }


def draw_shifts(knobs: Knobs, frames: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A shift a frame, each drawn for itself: one that drifted would tell the order of the frames."""
    reach = margin(knobs, size)
    return rng.integers(-reach, reach + 1, (frames, 2))


def margin(knobs: Knobs, size: int) -> int:
    """Pixels of background that a shift may uncover on either side."""
    return round(knobs.shake * size)


def draw_patches(knobs: Knobs, size: int, rng: np.random.Generator) -> tuple[Patch, ...]:
    """Patches anywhere in the frame."""
    found = []
    for _ in range(knobs.occluders):
        width, height = (max(1, round(side * size)) for side in rng.uniform(*_OCCLUDER_SIDE, 2))
        left, top = (int(rng.integers(0, size - side + 1)) for side in (width, height))
        found.append(Patch((left, top, left + width, top + height), _colour(rng)))
    return tuple(found)


def draw_distractor(image: Array, radii: Array, rng: np.random.Generator) -> Ball:
    """A ball that moves as ``image`` (T, 2) and is smaller than one of ``radii`` (T,) pixels."""
    return Ball(image, radii * rng.uniform(*_DISTRACTOR_RADIUS), _colour(rng))


def _colour(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(round(float(x), 6) for x in rng.uniform(20, 250, 3))
