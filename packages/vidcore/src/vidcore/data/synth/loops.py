"""Closed paths, and the orders in which they are travelled: classes that only the order of the frames tells apart."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np
from numpy.typing import NDArray

from vidcore.data.synth.paths import Array, Path
from vidcore.errors import DataError

ORDERS = ("fast_anticlockwise", "fast_clockwise", "slow_anticlockwise", "slow_clockwise")


def draw_loop(frames: int, rng: np.random.Generator) -> Path:
    """A closed path that leaves its plane a little, with ``frames`` positions in the order of their angle."""
    radius, phase = rng.uniform(0.8, 1.2), rng.uniform(0, 2 * np.pi)
    harmonics = [(n, rng.uniform(0, 0.12), rng.uniform(0, 2 * np.pi)) for n in (2, 3)]
    height, tilt = radius * rng.uniform(0, 0.25), rng.uniform(0, 2 * np.pi)

    def place(t: Array) -> Array:
        a = phase + 2 * np.pi * t / frames
        r = radius * (1 + sum(share * np.cos(n * a + offset) for n, share, offset in harmonics))
        return np.stack([r * np.cos(a), r * np.sin(a), height * np.sin(2 * a + tilt)], axis=1)

    equation = {
        "form": "p(a) = (r cos a, r sin a, height sin(2 a + tilt)), r = radius (1 + sum share cos(n a + offset)), "
        "a = phase + 2 pi k / T, k = shift + step t",
        "radius": round(radius, 6),
        "phase": round(phase, 6),
        "harmonics": [[n, round(share, 6), round(offset, 6)] for n, share, offset in harmonics],
        "height": round(height, 6),
        "tilt": round(tilt, 6),
    }
    return Path("", place(np.arange(frames, dtype=np.float64)), equation, np.array([0.0, 0.0, 1.0]), (0.0, 45.0), place)


def travel(path: Path, label: str, image: Array, rng: np.random.Generator) -> tuple[Path, NDArray[np.int64]]:
    """The loop travelled in the order ``label`` from a place drawn at random.

    A slow order goes once round in the clip and a fast one several times, in steps that have no divisor in common with
    the number of frames, so that either visits every position once.

    Args:
        path: as ``draw_loop`` gives it.
        label: one of :data:`ORDERS`.
        image: (T, 2) pixel positions of the loop in the order of its angle: they say which way round is clockwise.
        rng: draws the place of the first frame.

    Returns:
        The path in that order, and the order: (T,) indices into the positions of ``path``.
    """
    frames = len(path.positions)
    # Twice the signed area; y points down, so it is positive where the angle grows clockwise.
    after = np.roll(image, -1, axis=0)
    clockwise = float(np.sum(image[:, 0] * after[:, 1] - after[:, 0] * image[:, 1])) > 0
    speed, _, sense = label.partition("_")
    step = (fast_step(frames) if speed == "fast" else 1) * (1 if (sense == "clockwise") == clockwise else -1)
    shift = int(rng.integers(frames))

    def place(t: Array) -> Array:
        return path.place(shift + step * t)

    order = (shift + step * np.arange(frames)) % frames
    equation = {**path.equation, "shift": shift, "step": step}
    return replace(path, label=label, positions=path.positions[order], equation=equation, place=place), order


def fast_step(frames: int) -> int:
    """Positions by which a fast order advances a frame: the smallest above one without a divisor in common.

    Raises:
        DataError: there is none below half a turn, where one could not see which way round it goes.
    """
    for step in range(2, (frames + 1) // 2):
        if gcd(step, frames) == 1:
            return step
    raise DataError(f"trajectories: difficulty 'hard' needs 5 frames, or at least 7; got {frames}; use frames=16")
