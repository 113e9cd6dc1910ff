"""Clips of one ball whose motion is its class, each a function of a seed, an index and a difficulty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.data.difficulty import DEFAULT_DIFFICULTY, Knobs, knobs_of
from vidcore.data.synth.camera import Camera, frame_path
from vidcore.data.synth.loops import ORDERS, draw_loop, fast_step, travel
from vidcore.data.synth.paths import LABELS, Array, Path, draw_path, unit_vector
from vidcore.data.synth.render import Appearance, draw_appearance, render
from vidcore.data.synth.surroundings import Surroundings, draw_distractor, draw_patches, draw_shifts, margin
from vidcore.errors import DataError

MIN_FRAMES = 2
MIN_SIZE = 16
# Shorter clips are not continued: a step would be so long that an object could end up behind the camera.
MIN_CONTINUED = 4

# One stream of random numbers for each purpose, so that how many numbers a motion consumes cannot reach the look.
_LABEL, _MOTION, _LOOK, _JITTER, _PIXELS, _SHIFTS, _PATCHES, _DISTRACTORS = range(8)


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
        around: what moves and stands around it; nothing in an easy clip.
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
    around: Surroundings

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
            "surroundings": self.around.to_json(),
        }


def labels_of(difficulty: str) -> tuple[str, ...]:
    """The four classes of a difficulty.

    Raises:
        DataError: there is no such difficulty.
    """
    return ORDERS if knobs_of(difficulty).order_only else LABELS


def clip_label(seed: int, index: int, difficulty: str = DEFAULT_DIFFICULTY) -> str:
    """Class of a clip: every four consecutive clips hold the four classes in an order drawn for them alone.

    So any number of clips is balanced to within one, and a set can grow without its first clips changing.
    """
    block, place = divmod(index, len(LABELS))
    return labels_of(difficulty)[int(_stream(seed, _LABEL, block).permutation(len(LABELS))[place])]


def draw_scene(
    seed: int, index: int, *, frames: int = 16, size: int = 64, difficulty: str = DEFAULT_DIFFICULTY
) -> Scene:
    """Draws clip ``index`` of the set ``seed`` without rendering it.

    Raises:
        DataError: ``frames`` below 2, ``size`` below 16, a negative seed or index, an unknown difficulty, or too few
            frames for it.
    """
    check_clip_arguments(seed, index, frames, size, difficulty)
    knobs = knobs_of(difficulty)
    look = draw_appearance(_stream(seed, _LOOK, index), knobs)
    motion = _stream(seed, _MOTION, index)
    jitter = _jitter(look.jitter, frames, _stream(seed, _JITTER, index))
    label = clip_label(seed, index, difficulty)
    path, world, camera = _draw_motion(label, jitter, size, knobs, motion)
    image, depth = camera.project(world)
    # The ball's size in the world is whatever makes it ``look.radius`` wide in the average frame; the class has no say.
    radii = look.radius * size * (1 / depth) / np.mean(1 / depth)
    after = np.arange(frames, frames + (frames // 2 if frames >= MIN_CONTINUED else 0), dtype=np.float64)
    future, _ = camera.project(path.place(after))
    around = _draw_surroundings(seed, index, frames, size, knobs, look.radius * size)
    return Scene(seed, index, size, path, world, image + around.shifts, radii, future, camera, look, around)


def _draw_motion(
    label: str, jitter: Array, size: int, knobs: Knobs, rng: np.random.Generator
) -> tuple[Path, Array, Camera]:
    """A path of the class ``label``, its positions with the ``jitter`` (T, 3), and the camera that sees them."""
    path = draw_loop(len(jitter), rng) if knobs.order_only else draw_path(label, len(jitter), rng)
    world = path.positions + jitter
    border = 2 * margin(knobs, size) / size
    camera = frame_path(path, world, size, rng, extent=knobs.extent, border=border)
    if knobs.order_only:
        # Framed before it is ordered: the camera cannot tell the order.
        path, order = travel(path, label, camera.project(path.positions)[0], rng)
        world = world[order]
    return path, world, camera


def _draw_surroundings(seed: int, index: int, frames: int, size: int, knobs: Knobs, radius: float) -> Surroundings:
    shifts = draw_shifts(knobs, frames, size, _stream(seed, _SHIFTS, index))
    rng = _stream(seed, _DISTRACTORS, index)
    balls = []
    for _ in range(knobs.distractors):
        label = str(rng.choice(ORDERS if knobs.order_only else LABELS))
        _, world, camera = _draw_motion(label, np.zeros((frames, 3)), size, knobs, rng)
        balls.append(draw_distractor(camera.project(world)[0] + shifts, np.full(frames, radius), rng))
    return Surroundings(shifts, tuple(balls), draw_patches(knobs, size, _stream(seed, _PATCHES, index)))


def render_scene(scene: Scene) -> NDArray[np.uint8]:
    """Pixels of a scene, RGB uint8 (T, 3, size, size); the same bytes at every call."""
    pixels = _stream(scene.seed, _PIXELS, scene.index)
    return render(scene.look, scene.image, scene.radii, scene.around, scene.size, pixels)


def render_clip(
    seed: int, index: int, *, frames: int = 16, size: int = 64, difficulty: str = DEFAULT_DIFFICULTY
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Clip ``index`` of the set ``seed``, made in memory, without the losses of a video file.

    Returns:
        Frames, RGB uint8 (``frames``, 3, ``size``, ``size``), and the metadata of :meth:`Scene.metadata`, the label
        among them.

    Raises:
        DataError: as ``draw_scene``.
    """
    scene = draw_scene(seed, index, frames=frames, size=size, difficulty=difficulty)
    return render_scene(scene), scene.metadata()


def check_clip_arguments(seed: int, index: int, frames: int, size: int, difficulty: str) -> None:
    """Raises ``DataError`` where no clip can be made of these."""
    check_number("seed", seed, 0)
    check_number("index", index, 0)
    check_number("frames", frames, MIN_FRAMES, "motion needs two")
    check_number("size", size, MIN_SIZE, "the object would be under a pixel")
    if knobs_of(difficulty).order_only:
        fast_step(frames)


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
