"""How a clip looks: everything that is drawn without knowing the class, and the drawing itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.data.difficulty import Knobs
from vidcore.data.synth.paths import Array, unit_vector
from vidcore.data.synth.surroundings import Ball, Surroundings

_CONTRAST = 100.0  # smallest RGB distance between object and background, of 441 between black and white

# The 256 equally likely values of a standard normal, rescaled to unit variance: a random byte looks up one of them.
# Grey levels are whole numbers and the noise is a few of them, so the difference from a true normal cannot be seen,
# and drawing bytes takes an eighth of the time.
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)], np.float32)
_NORMAL /= _NORMAL.std()


@dataclass(frozen=True)
class Appearance:
    """Look of one clip. Lengths are fractions of the frame's width, grey levels run from 0 to 255.

    Attributes:
        radius: mean apparent radius of the object over the clip.
        colour: RGB of the object, fully lit.
        light: unit vector towards the light in camera axes (x right, y down, z forward).
        shading: 0 a flat disc, 1 a sphere that is black away from the light.
        background: two RGB colours a linear gradient runs between.
        gradient_radians: direction of the gradient in the frame.
        texture: amplitude of the smooth pattern on the background, grey levels.
        texture_knots: knots of that pattern on either axis.
        noise: standard deviation of the sensor noise, grey levels.
        blur: standard deviation of the defocus that softens the object's edge.
        jitter: radius in world units of the ball from which each frame's departure from the ideal path is drawn.
    """

    radius: float
    colour: tuple[float, ...]
    light: tuple[float, ...]
    shading: float
    background: tuple[tuple[float, ...], tuple[float, ...]]
    gradient_radians: float
    texture: float
    noise: float
    blur: float
    jitter: float
    texture_knots: int = 6

    def to_json(self) -> dict[str, Any]:
        """The look as plain numbers."""
        return asdict(self)


def draw_appearance(rng: np.random.Generator, knobs: Knobs) -> Appearance:
    """Draws a look from ``rng``; the object's colour differs visibly from both ends of the background."""
    first = rng.uniform(20, 235, 3)
    second = np.clip(first + rng.uniform(-70, 70, 3), 0, 255)
    while True:
        colour = rng.uniform(20, 250, 3)
        if min(float(np.linalg.norm(colour - end)) for end in (first, second, (first + second) / 2)) >= _CONTRAST:
            break
    light = unit_vector(rng)
    light[2] = -abs(light[2])  # towards the camera, or the object would be seen from its dark side
    return Appearance(
        # Without hard ends: perspective pushes a radius past them only in motions that come nearer, which would show.
        radius=_round(rng.triangular(0.035, 0.055, 0.075)),
        colour=_rounded(colour),
        light=_rounded(light),
        shading=_round(rng.uniform(0.0, 0.5)),
        background=(_rounded(first), _rounded(second)),
        gradient_radians=_round(rng.uniform(0, 2 * np.pi)),
        texture=_round(rng.uniform(*knobs.texture)),
        noise=_round(rng.uniform(0, 6)),
        blur=_round(rng.uniform(0.0, 0.015)),
        jitter=_round(rng.uniform(0.0, 0.05)),
        texture_knots=knobs.texture_knots,
    )


def render(
    look: Appearance, image: Array, radii: Array, around: Surroundings, size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draws a ball at pixel positions ``image`` (T, 2) with ``radii`` (T,) in pixels; texture and noise from ``rng``.

    Returns:
        RGB uint8 (T, 3, size, size).
    """
    border = int(np.abs(around.shifts).max())
    background = _background(look, size + 2 * border, rng)
    values = np.float32(look.noise) * _NORMAL
    frames = values[rng.integers(0, 256, (len(image), 3, size, size), dtype=np.uint8)]
    balls = [*around.distractors, Ball(image, radii, look.colour)]
    for step, (frame, (x, y)) in enumerate(zip(frames, around.shifts.tolist(), strict=True)):
        # What is drawn so far, without noise. A picture moved to the right shows background from further left.
        canvas = background[:, border - y : border - y + size, border - x : border - x + size].copy()
        frame += canvas
        for ball in balls:
            _paint(frame, canvas, ball, step, look)
        for patch in around.patches:
            left, top, right, bottom = patch.box
            window = (slice(None), slice(top, bottom), slice(left, right))
            frame[window] += np.asarray(patch.colour, np.float32)[:, None, None] - canvas[window]
    frames += 0.5  # with the truncation of the conversion: rounds
    np.clip(frames, 0.0, 255.0, out=frames)
    return frames.astype(np.uint8)


def _paint(frame: NDArray[np.float32], canvas: NDArray[np.float32], ball: Ball, step: int, look: Appearance) -> None:
    """Adds one ball to a frame (3, size, size) and to what is drawn so far."""
    size = frame.shape[-1]
    (u, v), radius = ball.image[step].tolist(), float(ball.radii[step])
    light = look.light
    # A disc of radius r blurred by sd b has at distance d the coverage Phi((r - d) / b) where b is small against r;
    # the ramp below has that slope at d = r, and is one pixel wide without blur.
    softness = float(np.hypot(1.0, np.sqrt(2 * np.pi) * look.blur * size))
    reach = radius + softness
    # The object lies inside the frame; only the ramp of its edge may reach over the border.
    left, right = max(int(u - reach), 0), min(int(u + reach) + 1, size)
    top, bottom = max(int(v - reach), 0), min(int(v + reach) + 1, size)
    x = ((np.arange(left, right, dtype=np.float32) + 0.5 - np.float32(u)) / np.float32(radius))[None, :]
    y = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - np.float32(v)) / np.float32(radius))[:, None]
    squared = x * x + y * y
    cover = np.minimum(np.maximum(0.5 + (1.0 - np.sqrt(squared)) * np.float32(radius / softness), 0.0), 1.0)
    depth = np.sqrt(np.maximum(1.0 - squared, 0.0))
    lit = np.maximum(light[0] * x + light[1] * y - light[2] * depth, 0.0)
    lit_ball = np.asarray(ball.colour, np.float32)[:, None, None] * (1.0 - look.shading + look.shading * lit)
    window = (slice(None), slice(top, bottom), slice(left, right))
    change = cover * (lit_ball - canvas[window])
    frame[window] += change
    canvas[window] += change


def _background(look: Appearance, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    axis = (np.arange(size) + 0.5) / size - 0.5
    along = axis[None, :] * np.cos(look.gradient_radians) + axis[:, None] * np.sin(look.gradient_radians)
    mix = (along / np.sqrt(2) + 0.5)[None]
    first, second = (np.asarray(end)[:, None, None] for end in look.background)
    knots = rng.uniform(-1, 1, (3, look.texture_knots, look.texture_knots))
    weights = _hat_weights(size, look.texture_knots)
    pattern = np.einsum("hi,ciw->chw", weights, np.einsum("cij,wj->ciw", knots, weights))
    return np.asarray(first + mix * (second - first) + look.texture * pattern, dtype=np.float32)


def _hat_weights(size: int, knots: int) -> Array:
    """Linear interpolation from ``knots`` to ``size`` pixels, (size, knots)."""
    at = np.linspace(0, knots - 1, size)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(knots)))


def _round(value: float) -> float:
    return round(float(value), 6)


def _rounded(vector: Array) -> tuple[float, ...]:
    return tuple(_round(x) for x in vector)
