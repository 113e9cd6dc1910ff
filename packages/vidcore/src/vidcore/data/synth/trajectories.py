"""Clips of one ball in linear, circular, helical or parabolic motion, each a function of a seed and an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.data.synth.camera import Camera, frame_path
from vidcore.data.synth.paths import LABELS, Array, Path, draw_path, unit_vector
from vidcore.data.synth.render import Appearance, draw_appearance, render
from vidcore.errors import DataError

MIN_FRAMES = 2
MIN_SIZE = 16
# Shorter clips are not continued: a step would be so long that an object could end up behind the camera.
MIN_CONTINUED = 4

# One stream of random numbers for each purpose, so that how many numbers a motion consumes cannot reach the look.
_LABEL, _MOTION, _LOOK, _JITTER, _PIXELS = range(5)


@dataclass(frozen=True)
class Scene:
    """Everything about a clip but its pixels.

    Attributes:
        seed: seed of the set.
        index: number of the clip in the set.
        size: height and width in pixels.
        path: the ideal path.
        world: (T, 3) world positions, the path with its jitter.
        image: (T, 2) centre of the object in pixels, x then y; a frame spans 0 to ``size``.
        radii: (T,) apparent radius in pixels.
        future: (T // 2, 2) where the centre will be in the frames after the clip, on the path itself, whose jitter
            nothing could predict; it may leave the picture. Empty for clips of fewer than 4 frames.
        camera: the camera that sees it.
        look: its appearance.
    """

    seed: int
    index: int
    size: int
    path: Path
    world: Array
    image: Array
    radii: Array
    future: Array
    camera: Camera
    look: Appearance

    def metadata(self) -> dict[str, Any]:
        """The scene as plain JSON values: label, positions in world and image, equation, camera and appearance."""
        return {
            "index": self.index,
            "label": self.path.label,
            "seed": self.seed,
            "frames": len(self.world),
            "size": self.size,
            "world_positions": np.round(self.world, 6).tolist(),
            "image_positions_pixels": np.round(self.image, 4).tolist(),
            "image_radii_pixels": np.round(self.radii, 4).tolist(),
            "future_positions_pixels": np.round(self.future, 4).tolist(),
            "equation": self.path.equation,
            "camera": self.camera.to_json(),
            "appearance": self.look.to_json(),
        }


def clip_label(seed: int, index: int) -> str:
    """Class of a clip: every four consecutive clips hold the four classes in an order drawn for them alone.

    So any number of clips is balanced to within one, and a set can grow without its first clips changing.
    """
    block, place = divmod(index, len(LABELS))
    return LABELS[int(_stream(seed, _LABEL, block).permutation(len(LABELS))[place])]


def draw_scene(seed: int, index: int, *, frames: int = 16, size: int = 64) -> Scene:
    """Draws clip ``index`` of the set ``seed`` without rendering it.

    Raises:
        DataError: ``frames`` below 2, ``size`` below 16, or a negative seed or index.
    """
    check_clip_arguments(seed, index, frames, size)
    look = draw_appearance(_stream(seed, _LOOK, index))
    motion = _stream(seed, _MOTION, index)
    path = draw_path(clip_label(seed, index), frames, motion)
    world = path.positions + _jitter(look.jitter, frames, _stream(seed, _JITTER, index))
    camera = frame_path(path, world, size, motion)
    image, depth = camera.project(world)
    # The ball's size in the world is whatever makes it ``look.radius`` wide in the average frame; the class has no say.
    radii = look.radius * size * (1 / depth) / np.mean(1 / depth)
    after = np.arange(frames, frames + (frames // 2 if frames >= MIN_CONTINUED else 0), dtype=np.float64)
    future, _ = camera.project(path.place(after))
    return Scene(seed, index, size, path, world, image, radii, future, camera, look)


def render_scene(scene: Scene) -> NDArray[np.uint8]:
    """Pixels of a scene, RGB uint8 (T, 3, size, size); the same bytes at every call."""
    pixels = _stream(scene.seed, _PIXELS, scene.index)
    return render(scene.look, scene.image, scene.radii, scene.size, pixels)


def render_clip(seed: int, index: int, *, frames: int = 16, size: int = 64) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Clip ``index`` of the set ``seed``, made in memory, without the losses of a video file.

    Returns:
        Frames, RGB uint8 (``frames``, 3, ``size``, ``size``), and the metadata of :meth:`Scene.metadata`, the label
        among them.

    Raises:
        DataError: ``frames`` below 2, ``size`` below 16, or a negative seed or index.
    """
    scene = draw_scene(seed, index, frames=frames, size=size)
    return render_scene(scene), scene.metadata()


def check_clip_arguments(seed: int, index: int, frames: int, size: int) -> None:
    """Raises ``DataError`` where no clip can be made of these numbers."""
    check_number("seed", seed, 0)
    check_number("index", index, 0)
    check_number("frames", frames, MIN_FRAMES, "motion needs two")
    check_number("size", size, MIN_SIZE, "the object would be under a pixel")


def check_number(name: str, value: int, least: int, why: str = "") -> None:
    """Raises ``DataError`` unless ``value`` is a whole number not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        reason = f" ({why})" if why else ""
        raise DataError(f"trajectories: {name} must be a whole number of at least {least}{reason}, got {value!r}")


def _stream(seed: int, purpose: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, index)))


def _jitter(radius: float, frames: int, rng: np.random.Generator) -> Array:
    # Bounded, not Gaussian: however long the clip, no position departs from its path by more than ``radius``.
    directions = np.stack([unit_vector(rng) for _ in range(frames)])
    return radius * np.cbrt(rng.random(frames))[:, None] * directions
