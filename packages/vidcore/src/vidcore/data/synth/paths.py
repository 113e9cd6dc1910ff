"""The four motions, as ideal paths in world coordinates: x and y on the ground, z up, gravity along -z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LABELS = ("circular", "helical", "linear", "parabolic")

# 45 degrees a frame leaves eight samples a turn: neighbouring frames still show which way the object goes round.
_FRAMES_PER_TURN = 8


@dataclass(frozen=True)
class Path:
    """One ideal path and the views of it that keep its class visible.

    Attributes:
        label: one of :data:`LABELS`.
        positions: (T, 3) world positions, one a frame, centred near the origin.
        equation: the formula and its parameters, ready for JSON.
        axis: (3,) unit vector the allowed views are measured from: the normal of the plane of a circle or a
            parabola, the axis of a helix, the direction of a line.
        place: world positions (n, 3) at any frame numbers (n,), those after the clip among them.
        view_degrees: smallest and largest angle between the viewing direction and ``axis``, at most 90. Outside it
            a circle or a parabola seen edge-on is a line, a helix seen end-on is a circle and a line is a point.
    """

    label: str
    positions: Array
    equation: dict[str, Any]
    axis: Array
    view_degrees: tuple[float, float]
    place: Callable[[Array], Array]


def draw_path(label: str, frames: int, rng: np.random.Generator) -> Path:
    """Draws a path of the class ``label`` (one of :data:`LABELS`) with ``frames`` positions from ``rng``."""
    return _DRAW[label](frames, rng)


def unit_vector(rng: np.random.Generator) -> Array:
    """A direction drawn uniformly from the sphere, (3,)."""
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))


def _linear(frames: int, rng: np.random.Generator) -> Path:
    direction = unit_vector(rng)
    velocity = rng.uniform(2.0, 3.0) * direction
    start = -velocity / 2
    positions = start + _fraction(frames)[:, None] * velocity

    def place(t: Array) -> Array:
        return np.asarray(start + t[:, None] / (frames - 1) * velocity)

    equation = {
        "form": "p(s) = start + s velocity, s = t / (T - 1)",
        "start": _list(start),
        "velocity": _list(velocity),
    }
    return Path("linear", positions, equation, direction, (45.0, 90.0), place)


def _circular(frames: int, rng: np.random.Generator) -> Path:
    radius, turns, phase = rng.uniform(0.8, 1.2), _sign(rng), rng.uniform(0, 2 * np.pi)
    # A whole turn over T frames, the last one short of the first: the mean of the positions is the centre.
    angle = phase + 2 * np.pi * turns * np.arange(frames) / frames
    positions = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(frames)], axis=1)

    def place(t: Array) -> Array:
        a = phase + 2 * np.pi * turns * t / frames
        return np.stack([radius * np.cos(a), radius * np.sin(a), np.zeros(len(t))], axis=1)

    equation = {
        "form": "p(t) = (radius cos a, radius sin a, 0), a = phase + 2 pi turns t / T",
        "radius": round(radius, 6),
        "turns": turns,
        "phase": round(phase, 6),
    }
    return Path("circular", positions, equation, np.array([0.0, 0.0, 1.0]), (0.0, 55.0), place)


def _helical(frames: int, rng: np.random.Generator) -> Path:
    most = 3 if frames >= 3 * _FRAMES_PER_TURN else 2 if frames >= 2 * _FRAMES_PER_TURN else 1
    count = int(rng.integers(min(2, most), most + 1))
    radius, turns, phase = rng.uniform(0.8, 1.2), count * _sign(rng), rng.uniform(0, 2 * np.pi)
    rise = radius * rng.uniform(3.0, 5.0) * _sign(rng)
    angle = phase + 2 * np.pi * turns * np.arange(frames) / frames
    height = rise * (_fraction(frames) - 0.5)
    positions = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)

    def place(t: Array) -> Array:
        a = phase + 2 * np.pi * turns * t / frames
        return np.stack([radius * np.cos(a), radius * np.sin(a), rise * (t / (frames - 1) - 0.5)], axis=1)

    equation = {
        "form": "p(t) = (radius cos a, radius sin a, rise (t / (T - 1) - 1/2)), a = phase + 2 pi turns t / T",
        "radius": round(radius, 6),
        "turns": turns,
        "phase": round(phase, 6),
        "rise": round(rise, 6),
    }
    return Path("helical", positions, equation, np.array([0.0, 0.0, 1.0]), (50.0, 90.0), place)


def _parabolic(frames: int, rng: np.random.Generator) -> Path:
    heading = rng.uniform(0, 2 * np.pi)
    forward = np.array([np.cos(heading), np.sin(heading), 0.0])
    speed, apex_time = rng.uniform(1.6, 2.4), rng.uniform(0.35, 0.65)
    # Half a clip after the apex the object has fallen 0.5 to 1.1 times the length of ground it covers in the clip.
    gravity = 8.0 * speed * rng.uniform(0.5, 1.1)
    since_apex = _fraction(frames)[:, None] - apex_time
    apex = np.array([0.0, 0.0, gravity / 16])
    positions = apex + since_apex * speed * forward - 0.5 * gravity * since_apex**2 * np.array([0.0, 0.0, 1.0])

    def place(t: Array) -> Array:
        since = t[:, None] / (frames - 1) - apex_time
        return np.asarray(apex + since * speed * forward - 0.5 * gravity * since**2 * np.array([0.0, 0.0, 1.0]))

    equation = {
        "form": "p(s) = apex + (s - apex_time) velocity - (s - apex_time)^2 (0, 0, gravity / 2), s = t / (T - 1)",
        "apex": _list(apex),
        "apex_time": round(apex_time, 6),
        "velocity": _list(speed * forward),
        "gravity": round(gravity, 6),
    }
    normal = np.array([-forward[1], forward[0], 0.0])
    return Path("parabolic", positions, equation, normal, (0.0, 50.0), place)


_DRAW: dict[str, Callable[[int, np.random.Generator], Path]] = {
    "circular": _circular,
    "helical": _helical,
    "linear": _linear,
    "parabolic": _parabolic,
}


def _fraction(frames: int) -> Array:
    return np.linspace(0.0, 1.0, frames)


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _list(vector: Array) -> list[float]:
    return [round(float(x), 6) for x in vector]
