"""The extractor protocol: video in, feature maps out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import (
    LOGITS,
    PROBABILITIES,
    ClipFormat,
    ExtractorSpec,
    FeatureInfo,
    class_names,
    label_set_of,
)
from vidcore.config import ExtractorConfig
from vidcore.errors import ConfigError, ShapeError
from vidcore.extractors._tensors_read import tensors_read
from vidcore.features import FeatureMap
from vidcore.preprocess import Window, check_video, fit_frames, plan_windows, scale_pixels
from vidcore.weights import WeightsReport, without_weights


class Extractor(nn.Module, ABC):
    """A network that turns a video into feature maps.

    A subclass builds its network in ``__init__`` and writes ``forward``; it overrides ``preprocess``
    where its clip layout is not (B, C, T, H, W), ``outputs`` where options change the shapes, and
    ``clip`` where they change the clip.

    A spec with a ``classifier`` has two more outputs, ``logits`` and ``probabilities``. The subclass then builds the
    published classifier with ``len(self.classes)`` outputs, or without it where that is 0, and its ``forward`` adds
    ``self.answers(logits, times)``.

    Raises:
        ConfigError: an output is asked for that the extractor does not have.
    """

    weights_report: WeightsReport | None = None
    """What was loaded; ``None`` where nothing was, and the weights are random."""

    def __init__(self, spec: ExtractorSpec, config: ExtractorConfig) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config
        answers = (LOGITS, PROBABILITIES) if spec.classifier else ()
        for name in config.outputs:
            if name not in (*spec.outputs, *answers):
                raise ConfigError(
                    f"extractor {spec.name!r} has no output {name!r}; its outputs are: "
                    f"{', '.join((*spec.outputs, *answers))}"
                )
        asked = any(name in answers for name in config.outputs)
        self.classes = class_names(label_set_of(spec, config.weights, config.classes)) if asked else ()
        """Classes of the published classifier, in the order of its outputs; empty where it is not asked for."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs that ``forward`` gives, the one downstream parts read first."""
        return self.config.outputs or (self.spec.default_output,)

    @property
    def clip(self) -> ClipFormat:
        """The clip one ``forward`` takes: that of the chosen weights where they want their own."""
        chosen = (weights.clip for weights in self.spec.weights if weights.tag == self.config.weights)
        return next(chosen, None) or self.spec.clip

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """Shapes of the outputs asked for, before any forward."""
        declared = dict(self.spec.outputs)
        if self.spec.classifier is not None:
            answer = FeatureInfo(len(self.classes), self.spec.classifier.stride)
            declared |= {LOGITS: answer, PROBABILITIES: answer}
        return {name: declared[name] for name in self.output_names}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The outputs asked for that are not the classifier's."""
        return tuple(name for name in self.output_names if name in self.spec.outputs)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Blocks of the network from input to output, for partial unfreezing and learning-rate decay."""
        return self.children()

    def preprocess(self, video: Tensor) -> Any:
        """Raw video uint8 (B, T, C, H, W) -> the clip ``forward`` takes, float (B, C, T, h, w).

        ``T`` must be a number of frames the clip format allows; ``features`` sees to that.
        """
        return scale_pixels(fit_frames(video, self.clip), self.clip)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict -> one under this extractor's own parameter names.

        Called with the flat tensors of a weights file, wrappers such as ``model_state`` already removed.
        """
        return published

    def answers(self, logits: Tensor, times: Tensor, probabilities: Tensor | None = None) -> dict[str, FeatureMap]:
        """The classifier's outputs that are asked for.

        Args:
            logits: (B, classes), or (B, classes, T') for the T' steps of a frame-wise network.
            times: (T',) as of a ``FeatureMap``; of one step per clip, the middle of the clip.
            probabilities: as ``logits``, where they are not its softmax: a network that averages softmaxes.
        """
        if probabilities is None:
            probabilities = logits.softmax(1)
        found = {LOGITS: logits, PROBABILITIES: probabilities}
        return {
            name: FeatureMap(value.reshape(*value.shape[:2], -1, 1, 1), times)
            for name, value in found.items()
            if name in self.output_names
        }

    @property
    def unpublished(self) -> tuple[str, ...]:
        """Beginnings of the names of parameters that options add and no published file has: they start random."""
        return ()

    def required_tensors(self) -> frozenset[str]:
        """Names of the parameters and buffers that a weights file must have: those the outputs asked for read."""
        return tensors_read(self)

    @property
    def weights_line(self) -> str:
        """One line on the weights: the file or tag and its hash, or that they are random, or that there are none."""
        if self.weights_report is not None:
            return self.weights_report.line()
        return f"{self.spec.name}: {without_weights(self.spec, any(True for _ in self.parameters()))}"

    @abstractmethod
    def forward(self, clip: Any) -> dict[str, FeatureMap]:
        """One clip -> the maps named by ``output_names``; times count frames of the clip from 0."""

    def features(
        self, video: Tensor, mask: Tensor | None = None, times: Tensor | None = None, windows: int = 1
    ) -> dict[str, FeatureMap]:
        """Maps of a video of any length and size.

        Args:
            video: raw, uint8 (B, T, C, H, W).
            mask: (B, T) bool, False where a frame is padding.
            times: (B, T), when each frame is; by default frame t is at t.
            windows: the T frames are so many clips of equal length, each read by itself; their steps are put in the
                order of their times.

        Returns:
            Output name -> map whose times are those of the frames: a step between two frames has a time between
            theirs. Short videos hold their last frame (steps that begin after it are dropped), long ones are read by
            windows and stitched; memory is bounded by the window.

        Raises:
            ShapeError: ``video`` is not a raw batch, or T is not a multiple of ``windows``.
        """
        check_video(video)
        if video.shape[1] % windows:
            raise ShapeError(f"{video.shape[1]} frames are not {windows} windows of equal length")
        parts = []
        for place in range(windows):
            length = video.shape[1] // windows
            own = slice(place * length, (place + 1) * length)
            maps = self.clip_features(video[:, own])
            if mask is not None:
                maps = {name: _masked(fmap, mask[:, own]) for name, fmap in maps.items()}
            if times is not None:
                maps = {name: replace(fmap, times=_between(times[:, own], fmap.times)) for name, fmap in maps.items()}
            parts.append(maps)
        if windows == 1:
            return parts[0]
        return {name: in_order([part[name] for part in parts]) for name in parts[0]}

    def clip_features(self, video: Tensor) -> dict[str, FeatureMap]:
        """As ``features``, of frames that follow each other: (B, T, C, H, W) -> maps whose times count them from 0."""
        frames = video.shape[1]
        strides = [info.stride[0] for info in self.outputs.values() if info.stride[0]]
        windows = plan_windows(frames, self.clip, math.lcm(*strides) if strides else 1)
        parts = [self._window(video, window) for window in windows]
        return {name: stitch([part[name] for part in parts]) for name in parts[0]}

    def extract(self, video: Tensor) -> Tensor:
        """The plain form: one vector per input frame, (B, T, C, H, W) uint8 -> (B, T, D).

        Between the centres of two steps their features are interpolated. Of a causal extractor frame t
        gets the last step that is complete by t, so it depends on frames 0 to t only; the frames before
        the first step is complete hold that step.
        """
        name = self.output_names[0]
        fmap = self.features(video)[name].pooled()
        frames = torch.arange(video.shape[1], device=fmap.data.device)
        if not self.spec.causal:
            return fmap.at(frames).sequence()
        # A step is complete at its last frame, half a stride behind its centre.
        behind = ((self.outputs[name].stride[0] or 1) - 1) / 2
        return replace(fmap, times=fmap.times + behind).at(frames, "previous").sequence()

    def _window(self, video: Tensor, window: Window) -> dict[str, FeatureMap]:
        maps = self(self.preprocess(window.take(video)))
        if set(maps) != set(self.output_names):
            raise ShapeError(
                f"{type(self).__name__}.forward gave {sorted(maps)}; expected the outputs {sorted(self.output_names)}"
            )
        last = window.frames - 1 - window.start
        return {name: _shifted(_real(fmap, self.outputs[name], last), window.start) for name, fmap in maps.items()}


def step_times(steps: int, stride: float, like: Tensor, *, offset: float | None = None) -> Tensor:
    """Centres of ``steps`` steps, in frames, (steps,) on the device of ``like``.

    ``offset`` is the centre of the first step; by default that of a tubelet of ``stride`` frames. A
    'same'-padded strided convolution is centred on frame 0: ``offset=0``.
    """
    first = (stride - 1) / 2 if offset is None else offset
    return torch.arange(steps, device=like.device, dtype=torch.float32) * stride + first


def middle_time(frames: int, like: Tensor) -> Tensor:
    """The centre of a clip of ``frames`` frames, (1,) on the device of ``like``: the time of a single step."""
    return torch.full((1,), (frames - 1) / 2, device=like.device)


def window_averages(features: Tensor, window: Sequence[int]) -> Tensor:
    """Means over every place of a window, as the heads of 3D networks pool: (B, D, T, H, W) -> (B, D, t, h, w).

    Along an axis shorter than the window the map is averaged whole.
    """
    kernel = [min(size, extent) for size, extent in zip(features.shape[2:], window, strict=True)]
    return F.avg_pool3d(features, kernel, stride=1)


def stitch(parts: list[FeatureMap]) -> FeatureMap:
    """One map from the maps of successive windows; steps at the same time are averaged."""
    if len(parts) == 1:
        return parts[0]
    data = torch.cat([part.data for part in parts], 2)
    times = torch.cat([part.times for part in parts])
    unique, slot = torch.unique((times * 1024).round(), sorted=True, return_inverse=True)
    counts = torch.bincount(slot, minlength=unique.numel()).to(data.dtype).reshape(1, 1, -1, 1, 1)
    batch, dim, _, rows, columns = data.shape
    summed = data.new_zeros(batch, dim, unique.numel(), rows, columns).index_add(2, slot, data)
    return FeatureMap(summed / counts, unique / 1024)


def in_order(parts: list[FeatureMap]) -> FeatureMap:
    """One map of all steps of several, sorted by time in each row."""
    data = torch.cat([part.data for part in parts], 2)
    batch, dim, steps, rows, columns = data.shape
    times, order = torch.cat([part.times.expand(batch, -1) for part in parts], 1).sort(dim=1, stable=True)
    data = data.gather(2, order[:, None, :, None, None].expand(batch, dim, steps, rows, columns))
    if all(part.mask is None for part in parts):
        return FeatureMap(data, times)
    whole = [torch.ones_like(part.times.expand(batch, -1), dtype=torch.bool) for part in parts]
    masks = [real if part.mask is None else part.mask for part, real in zip(parts, whole, strict=True)]
    return FeatureMap(data, times, torch.cat(masks, 1).gather(1, order))


def _between(times: Tensor, places: Tensor) -> Tensor:
    """Times at ``places`` (T',) of frames whose times are (B, T), continued at the ends: (B, T')."""
    times, places = times.to(places.device, torch.float32), places.to(torch.float32)
    if times.shape[1] == 1:
        return times + places
    left = places.floor().long().clamp(0, times.shape[1] - 2)
    return torch.lerp(times[:, left], times[:, left + 1], (places - left).expand(len(times), -1))


def _real(fmap: FeatureMap, info: FeatureInfo, last_frame: int) -> FeatureMap:
    """Without the steps that begin after the last real frame of a held window."""
    half = ((info.stride[0] or 1) - 1) / 2
    kept = max(int((fmap.times - half <= last_frame).sum()), 1) if info.stride[0] else fmap.steps
    # The centre of a long step may lie past the video; half a frame is as far as the last frame reaches.
    return FeatureMap(fmap.data[:, :, :kept], fmap.times[:kept].clamp(max=last_frame + 0.5))


def _shifted(fmap: FeatureMap, frames: int) -> FeatureMap:
    return FeatureMap(fmap.data, fmap.times + frames) if frames else fmap


def _masked(fmap: FeatureMap, mask: Tensor) -> FeatureMap:
    nearest = fmap.times.round().long().clamp(0, mask.shape[1] - 1)
    return FeatureMap(fmap.data, fmap.times, mask.to(fmap.data.device)[:, nearest])
