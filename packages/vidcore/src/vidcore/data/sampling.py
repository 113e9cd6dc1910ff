"""Which frames of a video make a clip. Index rules only: no video is touched here.

For a video of ``N`` frames and a clip of ``n`` steps, with integer arithmetic throughout:

``uniform``     step ``i`` is the centre of the i-th of ``n`` equal segments: ``floor((i + 1/2) N / n)``.
                With a generator, ``floor((i + u_i) N / n)`` with ``u_i`` uniform in [0, 1): segment sampling
                (Wang et al., Temporal Segment Networks, arXiv:1608.00859).
                Of ``k`` clips the j-th takes ``floor((i + (2j + 1) / 2k) N / n)``: other frames of the same segments.
``strided``     frames ``s, s + stride, ...``: a window of ``(n - 1) stride + 1`` frames. Centred,
                ``s = floor((N - window) / 2)``, or with a generator uniform over every start that fits.
``dense``       ``strided`` with stride 1.
``multi_clip``  ``k`` strided windows, the first at the start and the last at the end of the video:
                ``s_j = floor(j (N - window) / (k - 1))``; one window is centred. (The test-time views of
                Feichtenhofer et al., SlowFast, arXiv:1812.03982.)
``at_rate``     steps ``1 / fps`` seconds apart by the frames' own times; each takes the frame shown at that moment.

**Short videos.** Where a step falls behind the last frame, ``hold`` repeats the last frame that a step did reach and
``loop`` starts again from the first step; either way the mask is False there. Uniform sampling of fewer than ``n``
frames takes each once, in order, and the rest are such steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

    Generator = np.random.Generator | torch.Generator

Kind = Literal["uniform", "dense", "strided", "multi_clip", "at_rate"]
Short = Literal["hold", "loop"]
KINDS: tuple[Kind, ...] = ("uniform", "dense", "strided", "multi_clip", "at_rate")
SHORTS: tuple[Short, ...] = ("hold", "loop")


@dataclass(frozen=True, slots=True, eq=False)
class ClipIndices:
    """Frames to read and which steps of the clip they truly fill.

    Attributes:
        indices: int64 (n,), or (k, n) for several windows; every entry is a frame the video has.
        mask: bool, same shape; False where the video was too short and a frame is repeated.
    """

    indices: NDArray[np.int64]
    mask: NDArray[np.bool_]

    def __repr__(self) -> str:
        """Shapes only."""
        return f"ClipIndices({'x'.join(map(str, self.indices.shape))}, {int(self.mask.sum())} real)"


def uniform(total: int, frames: int, *, short: Short = "hold", generator: Generator | None = None) -> ClipIndices:
    """``frames`` steps spread evenly over ``total`` frames; see the module's rules. Shape (frames,)."""
    _check(total, frames)
    steps = np.arange(frames, dtype=np.int64)
    if total < frames:
        return _fill(steps, total, short)
    if generator is None:
        return _real((2 * steps + 1) * total // (2 * frames))
    places = np.floor((steps + _uniforms(generator, frames)) * total / frames).astype(np.int64)
    return _real(np.minimum(places, total - 1))


def uniform_clips(total: int, frames: int, clips: int, *, short: Short = "hold") -> ClipIndices:
    """``clips`` clips of one frame from each of ``frames`` segments, evenly placed in them. Shape (clips, frames)."""
    _check(total, frames, clips=clips)
    steps, places = np.arange(frames, dtype=np.int64), np.arange(clips, dtype=np.int64)[:, None]
    if total < frames:
        only = _fill(steps, total, short)
        return ClipIndices(np.tile(only.indices, (clips, 1)), np.tile(only.mask, (clips, 1)))
    indices = (2 * clips * steps + 2 * places + 1) * total // (2 * clips * frames)
    return ClipIndices(indices, np.ones((clips, frames), dtype=bool))


def strided(
    total: int, frames: int, stride: int, *, short: Short = "hold", generator: Generator | None = None
) -> ClipIndices:
    """One window of ``frames`` frames, ``stride`` apart, centred or at a random start. Shape (frames,)."""
    _check(total, frames, stride)
    window = (frames - 1) * stride + 1
    spare = max(0, total - window)
    start = spare // 2 if generator is None else int(_uniforms(generator, 1)[0] * (spare + 1))
    return _fill(start + np.arange(frames, dtype=np.int64) * stride, total, short)


def dense(total: int, frames: int, *, short: Short = "hold", generator: Generator | None = None) -> ClipIndices:
    """One window of ``frames`` consecutive frames, centred or at a random start. Shape (frames,)."""
    return strided(total, frames, 1, short=short, generator=generator)


def multi_clip(total: int, frames: int, clips: int, stride: int = 1, *, short: Short = "hold") -> ClipIndices:
    """``clips`` windows of ``frames`` frames, ``stride`` apart, evenly placed. Shape (clips, frames)."""
    _check(total, frames, stride, clips)
    spare = max(0, total - (frames - 1) * stride - 1)
    starts = [spare // 2] if clips == 1 else [j * spare // (clips - 1) for j in range(clips)]
    filled = [_fill(start + np.arange(frames, dtype=np.int64) * stride, total, short) for start in starts]
    return ClipIndices(np.stack([f.indices for f in filled]), np.stack([f.mask for f in filled]))


def at_rate(
    times_seconds: NDArray[np.float64],
    duration_seconds: float,
    frames: int,
    fps: float,
    *,
    short: Short = "hold",
    generator: Generator | None = None,
) -> ClipIndices:
    """One window of ``frames`` steps ``1 / fps`` seconds apart, by the frames' own times. Shape (frames,).

    ``times_seconds`` (N,) ascends from the first frame; ``duration_seconds`` runs from there to the last frame's end.
    The window is centred, or starts at a random moment that fits. A step at or after the end is not real.
    """
    _check(len(times_seconds), frames)
    if not (fps > 0 and np.isfinite(fps)):
        raise ConfigError(f"fps is {fps}; frames per second must be a positive number")
    spare = max(0.0, duration_seconds - frames / fps)
    start = spare / 2 if generator is None else float(_uniforms(generator, 1)[0]) * spare
    # Half a microsecond: k / fps must not fall before the frame at k / fps by rounding.
    moments = start + np.arange(frames) / fps + 5e-7
    mask = moments < duration_seconds
    mask[0] = True
    origin = times_seconds[0]
    indices = np.maximum(np.searchsorted(times_seconds - origin, moments, side="right") - 1, 0).astype(np.int64)
    return _repeat(indices, mask, short)


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampling rule with its numbers: how every clip of a data set is cut.

    ``kind`` names the rule; ``stride`` counts for ``strided`` and ``multi_clip``, ``clips`` for ``multi_clip`` and
    ``uniform``, ``fps`` for ``at_rate``. Numbers a rule does not use must keep their defaults, so that none is
    silently ignored.
    """

    kind: Kind = "uniform"
    frames: int = 16
    stride: int = 1
    clips: int = 1
    fps: float | None = None
    short: Short = "hold"

    def __post_init__(self) -> None:
        """Check every number.

        Raises:
            ConfigError: An unknown rule, a number below 1, or one the rule does not use.
        """
        if self.kind not in KINDS:
            raise ConfigError(f"unknown sampling {self.kind!r}; use one of: {', '.join(KINDS)}")
        if self.short not in SHORTS:
            raise ConfigError(f"unknown rule for short videos {self.short!r}; use one of: {', '.join(SHORTS)}")
        for name, value in (("frames", self.frames), ("stride", self.stride), ("clips", self.clips)):
            if value < 1:
                raise ConfigError(f"sampling.{name} is {value}; it must be at least 1")
        if self.stride != 1 and self.kind not in ("strided", "multi_clip"):
            raise ConfigError(f"sampling {self.kind!r} has no stride; use kind 'strided' or 'multi_clip'")
        if self.clips != 1 and self.kind not in ("multi_clip", "uniform"):
            raise ConfigError(f"sampling {self.kind!r} takes one clip; use kind 'multi_clip' for {self.clips}")
        if (self.fps is not None) != (self.kind == "at_rate"):
            raise ConfigError("sampling 'at_rate' needs fps, and only that rule takes one")
        if self.fps is not None and not (self.fps > 0 and np.isfinite(self.fps)):
            raise ConfigError(f"sampling.fps is {self.fps}; frames per second must be a positive number")

    def draw(
        self, times_seconds: NDArray[np.float64], duration_seconds: float, generator: Generator | None = None
    ) -> ClipIndices:
        """Apply the rule to a video whose frames start at ``times_seconds`` (N,). Shape (clips, frames).

        A generator draws random places for training; several clips have none to draw.
        """
        total = len(times_seconds)
        if self.kind == "uniform" and self.clips > 1:
            return uniform_clips(total, self.frames, self.clips, short=self.short)
        if self.kind == "uniform":
            drawn = uniform(total, self.frames, short=self.short, generator=generator)
        elif self.kind == "multi_clip":
            return multi_clip(total, self.frames, self.clips, self.stride, short=self.short)
        elif self.fps is not None:
            drawn = at_rate(
                times_seconds, duration_seconds, self.frames, self.fps, short=self.short, generator=generator
            )
        else:
            drawn = strided(total, self.frames, self.stride, short=self.short, generator=generator)
        return ClipIndices(drawn.indices[None], drawn.mask[None])


def _check(total: int, frames: int, stride: int = 1, clips: int = 1) -> None:
    if total < 1:
        raise DataError(f"cannot sample a clip from {total} frames; a video needs at least one")
    for name, value in (("frames", frames), ("stride", stride), ("clips", clips)):
        if value < 1:
            raise ConfigError(f"sampling.{name} is {value}; it must be at least 1")


def _real(indices: NDArray[np.int64]) -> ClipIndices:
    return ClipIndices(indices.astype(np.int64), np.ones(len(indices), dtype=bool))


def _fill(indices: NDArray[np.int64], total: int, short: Short) -> ClipIndices:
    return _repeat(indices, indices < total, short)


def _repeat(indices: NDArray[np.int64], mask: NDArray[np.bool_], short: Short) -> ClipIndices:
    # Real steps come first: times and indices ascend.
    real = int(mask.sum())
    steps = np.arange(len(indices))
    filled = indices[np.minimum(steps, real - 1) if short == "hold" else steps % real]
    return ClipIndices(filled.astype(np.int64), mask)


def _uniforms(generator: Generator, count: int) -> NDArray[np.float64]:
    if isinstance(generator, np.random.Generator):
        return generator.random(count)
    import torch

    return torch.rand(count, generator=generator, dtype=torch.float64).numpy()
