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
``published``   each extractor's own pace: windows of ``n`` steps over ``n stride`` frames of ``fps`` frames a second,
                as many as the video needs and at most ``windows``; see below. An extractor without a published pace
                gets ``uniform``, 16 frames or the number it takes. :meth:`Sampling.of` gives an extractor's own rule.

**Published pace.** With ``F`` frames a second in the video, a window lasts ``W = n stride F / fps`` of its frames, and
step ``i`` of a window that begins at ``b`` is frame ``floor(b + p_i)``, where ``p_i`` is

    ``stride``   ``i stride F / fps``: every stride-th frame (I3D, VideoMAE, ViViT, torchvision)
    ``last``     ``linspace(0, W - 1, n)``: PySlowFast (slowfast/datasets/decoder.py) and PyTorchVideo
    ``end``      ``linspace(0, W, n)`` clipped to ``W - 1``: V-JEPA 2 (src/datasets/video_dataset.py)

Of a video with a variable rate the same is done in seconds, by the frames' own times. The number of windows is
``ceil(N / W - 1/8)``: less than an eighth of a window left over is not worth another one. One window is centred;
several are placed evenly from the start to the end, as PySlowFast places its test clips. With a generator, as in
training, there is one window at a random place. Of a video shorter than a window, an extractor that takes any number of
frames gets those there are; one that takes a fixed number, and training, hold the last frame (as PySlowFast, VideoMAE
and V-JEPA 2 do).

**Short videos.** Where a step falls behind the last frame, ``hold`` repeats the last frame that a step did reach and
``loop`` starts again from the first step; either way the mask is False there. Uniform sampling of fewer than ``n``
frames takes each once, in order, and the rest are such steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vidcore.catalog import ClipFormat, pace_in_words
from vidcore.errors import ConfigError, DataError

from ._timeline import ROUNDING, Timeline

if TYPE_CHECKING:
    import torch

    from vidcore.config import DataConfig

    Generator = np.random.Generator | torch.Generator

Kind = Literal["published", "uniform", "dense", "strided", "multi_clip", "at_rate"]
Short = Literal["hold", "loop"]
KINDS: tuple[Kind, ...] = ("published", "uniform", "dense", "strided", "multi_clip", "at_rate")
# Frames of an extractor that takes any number and has no published pace.
DEFAULT_FRAMES = 16
# PySlowFast and most papers after it test with ten clips along time.
DEFAULT_WINDOWS = 10
# A part of a window that is not worth another window.
_LEFT_OVER = 1 / 8
SHORTS: tuple[Short, ...] = ("hold", "loop")


@dataclass(frozen=True, slots=True, eq=False)
class ClipIndices:
    """Frames to read and which steps of the clip they truly fill.

    Attributes:
        indices: int64 (n,), or (k, n) for several clips; every entry is a frame the video has.
        mask: bool, same shape; False where the video was too short and a frame is repeated.
        windows: Of each clip: its steps are so many windows of equal length side by side, each of which an extractor
            reads by itself.
        first: Frame of the whole video where the segment begins.
    """

    indices: NDArray[np.int64]
    mask: NDArray[np.bool_]
    windows: int = 1
    first: int = 0

    @property
    def times(self) -> NDArray[np.float32]:
        """When each step is, in frames of the video from the segment's first one; same shape as ``indices``.

        Steps that repeat a frame continue at the pace of those before them.
        """
        length = self.indices.shape[-1] // self.windows
        found = self.indices.reshape(-1, length).astype(np.float32) - self.first
        for row, real in zip(found, self.mask.reshape(-1, length).sum(1), strict=True):
            last = max(int(real), 1) - 1
            pace = (row[last] - row[0]) / last if last else 1.0
            row[last:] = row[last] + np.arange(length - last) * (pace or 1.0)
        return found.reshape(self.indices.shape)

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
    """A sampling rule with its numbers: which frames an extractor sees of a row.

    ``kind`` names the rule; ``stride`` counts for ``strided`` and ``multi_clip``, ``clips`` for ``multi_clip``,
    ``uniform`` and ``published``, ``fps`` for ``at_rate``, ``windows`` for ``published``. Numbers a rule does not use
    must keep their defaults, so that none is silently ignored.

    ``Sampling("published")`` is a rule for all extractors; :meth:`of` gives each its own, with the numbers of its clip
    format in ``frames``, ``stride``, ``fps``, ``spacing``, ``shortest``, ``multiple`` and ``offset``. All other rules
    are the same for every extractor.
    """

    kind: Kind = "uniform"
    frames: int = DEFAULT_FRAMES
    stride: int = 1
    clips: int = 1
    fps: float | None = None
    short: Short = "hold"
    windows: int = DEFAULT_WINDOWS
    spacing: Literal["stride", "last", "end"] = "stride"
    shortest: int | None = None
    multiple: int = 1
    offset: int = 0

    def __post_init__(self) -> None:
        """Check every number.

        Raises:
            ConfigError: An unknown rule, a number below 1, or one the rule does not use.
        """
        if self.kind not in KINDS:
            raise ConfigError(f"unknown sampling {self.kind!r}; use one of: {', '.join(KINDS)}")
        if self.short not in SHORTS:
            raise ConfigError(f"unknown rule for short videos {self.short!r}; use one of: {', '.join(SHORTS)}")
        for name in ("frames", "stride", "clips", "windows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sampling.{name} is {getattr(self, name)}; it must be at least 1")
        own = self.shortest is not None
        if own and self.kind != "published":
            raise ConfigError("sampling.shortest is a number of the rule 'published'; it comes from a clip format")
        if self.stride != 1 and self.kind not in ("strided", "multi_clip") and not own:
            raise ConfigError(f"sampling {self.kind!r} has no stride; use kind 'strided' or 'multi_clip'")
        if self.clips != 1 and self.kind not in ("multi_clip", "uniform", "published"):
            raise ConfigError(f"sampling {self.kind!r} takes one clip; use kind 'multi_clip' for {self.clips}")
        if (self.fps is not None) != (self.kind == "at_rate") and not own:
            raise ConfigError("sampling 'at_rate' needs fps, and only that rule takes one")
        if self.fps is not None and not (self.fps > 0 and np.isfinite(self.fps)):
            raise ConfigError(f"sampling.fps is {self.fps}; frames per second must be a positive number")
        if self.windows != DEFAULT_WINDOWS and self.kind != "published":
            raise ConfigError(f"sampling {self.kind!r} has no windows; use kind 'published'")

    @classmethod
    def asked(cls, data: DataConfig, formats: Iterable[ClipFormat] = ()) -> Sampling:
        """The rule that a run's ``data`` asks for: published, unless a sampling or a number of frames is named.

        A number of frames alone means so many frames spread evenly, the same for every extractor. Any other rule than
        published shows the same frames to all; where their number is not given, it is the largest that one of
        ``formats`` takes, or 16.

        Raises:
            ConfigError: As ``Sampling``.
        """
        kind = data.sampling or ("published" if data.frames is None else "uniform")
        if kind == "published":
            return cls(kind, windows=data.windows)
        return cls(kind, data.frames or max((f.frames or DEFAULT_FRAMES for f in formats), default=DEFAULT_FRAMES),
                   data.stride)  # fmt: skip

    def of(self, clip: ClipFormat) -> Sampling:
        """This rule for an extractor that takes ``clip``; itself unless it is ``published``."""
        if self.kind != "published" or self.shortest is not None:
            return self
        if clip.stride_frames is None and clip.fps is None:
            return Sampling("uniform", clip.window_for(DEFAULT_FRAMES), clips=self.clips, short=self.short)
        return replace(
            self,
            frames=clip.window_frames,
            stride=clip.stride_frames or 1,
            fps=clip.fps,
            spacing=clip.spacing,
            shortest=clip.window_for(1),
            multiple=clip.frame_multiple,
            offset=clip.frame_offset,
        )

    def draw(
        self, times_seconds: NDArray[np.float64], duration_seconds: float, generator: Generator | None = None
    ) -> ClipIndices:
        """Apply the rule to a video whose frames start at ``times_seconds`` (N,). Shape (clips, steps).

        A generator draws random places for training; several clips have none to draw.

        Raises:
            ConfigError: The rule is ``published`` and not yet an extractor's own.
        """
        total = len(times_seconds)
        if self.kind == "published":
            return self._paced(times_seconds, duration_seconds, generator)
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

    def in_words(self) -> str:
        """``16 frames spread evenly``; ``64 frames at 25 a second, at most 10 windows``."""
        if self.kind == "published" and self.shortest is None:
            return "each extractor at its published pace"
        if self.kind == "published":
            most = "1 window" if self.windows == 1 else f"at most {self.windows} windows"
            return f"{pace_in_words(self.frames, self.stride, self.fps)}, {most}"
        if self.kind == "uniform":
            return f"{self.frames} frames spread evenly"
        if self.fps is not None:
            return f"{self.frames} frames at {self.fps:g} a second"
        return f"{self.frames} frames, " + ("neighbouring" if self.stride == 1 else f"{self.stride} apart")

    def _paced(self, times: NDArray[np.float64], duration: float, generator: Generator | None) -> ClipIndices:
        if self.shortest is None:
            raise ConfigError("published frames are an extractor's own: use sampling.of(extractor.clip)")
        _check(len(times), self.frames)
        line = Timeline.of(times, duration, self.fps)
        length, clips = self.frames, self.clips
        if self.clips > 1:
            generator = None
        spare = line.total - length * self.stride * line.step
        if spare < -ROUNDING:
            starts = np.zeros(clips)
            if generator is None:
                length = self._short_window(math.ceil(line.total / (self.stride * line.step) - ROUNDING))
        elif generator is not None:
            starts = _uniforms(generator, 1) * max(spare, 0.0)
        else:
            needed = math.ceil(line.total / (line.total - spare) - _LEFT_OVER)
            count = clips * min(max(needed, 1), self.windows)
            starts = np.linspace(0.0, max(spare, 0.0), count) if count > 1 else np.array([max(spare, 0.0) / 2])
        moments = starts[:, None] + self._offsets(length, line)
        shown = np.maximum(line.shown(moments), 0)
        real = (shown < len(times)) & (moments < line.total)
        real[:, 0] = True
        filled = [_repeat(row, mask, self.short) for row, mask in zip(shown, real, strict=True)]
        # Of several clips each takes every so many-th window, so that each sees the whole video.
        order = np.arange(len(filled)).reshape(-1, clips).T
        indices, mask = (np.stack([getattr(f, name) for f in filled])[order] for name in ("indices", "mask"))
        return ClipIndices(indices.reshape(clips, -1), mask.reshape(clips, -1), order.shape[1])

    def _short_window(self, available: int) -> int:
        form = ClipFormat(min_frames=self.shortest or 1, max_frames=self.frames, frame_multiple=self.multiple,
                          frame_offset=self.offset)  # fmt: skip
        return self.frames if self.shortest == self.frames else form.window_for(available)

    def _offsets(self, length: int, line: Timeline) -> NDArray[np.float64]:
        window = length * self.stride * line.step
        if self.spacing == "stride":
            return np.arange(length, dtype=np.float64) * (self.stride * line.step)
        last = max(window - line.frame, 0.0)
        even: NDArray[np.float64] = np.linspace(0.0, last if self.spacing == "last" else window, length)
        return even.clip(max=last)


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
