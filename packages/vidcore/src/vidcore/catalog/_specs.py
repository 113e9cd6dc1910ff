"""What a plugin declares: frozen records, read without importing any framework."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from vidcore.errors import PluginError

Kind = Literal["extractor", "fusion", "readout", "head", "dataset"]
Axis = int | None

_NAME = re.compile(r"[a-z0-9][a-z0-9_]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)?")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """The shape of one feature map, known before any forward.

    ``stride`` is (frames, rows, columns) of the preprocessed clip per step of the map; ``None``
    says that this axis is pooled to a single step. ``dim`` is the channel count D.
    """

    dim: int
    stride: tuple[Axis, Axis, Axis] = (1, None, None)
    rounding: Literal["ceil", "floor"] = "ceil"

    def shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(D, T', H', W') for a preprocessed clip of (frames, height, width)."""
        steps = (self._steps(n, s) for n, s in zip((frames, height, width), self.stride, strict=True))
        return (self.dim, *steps)  # type: ignore[return-value]

    def _steps(self, length: int, stride: Axis) -> int:
        if stride is None:
            return 1
        return -(-length // stride) if self.rounding == "ceil" else length // stride

    @property
    def pooled(self) -> bool:
        """Whether the map has no spatial grid (H' = W' = 1)."""
        return self.stride[1] is None and self.stride[2] is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFormat:
    """The clip one forward takes, and what happens to a video that is not such a clip.

    A video shorter than ``frames`` (or ``min_frames``) holds its last frame; one longer than
    ``frames`` (or ``max_frames``) is read by a sliding window whose features are averaged where
    windows overlap. ``fit`` says how frames come to ``size``:

    - ``crop``: the short side is resized to ``resize_short`` (default: the size itself), the long side
      in proportion and rounded down, and the centre is cropped.
    - ``stretch``: both sides are resized.
    - ``pad``: frames are resized until they fit into the size, and ``mean`` is put around them.

    Pixels go from [0, 255] linearly to ``value_range`` and then to ``(x - mean) / std``.
    """

    frames: int | None = None
    """Frames one forward takes; ``None``: any number from ``min_frames`` to ``max_frames``."""
    stride_frames: int | None = None
    """Frames from one frame of the clip to the next, at ``fps``, in the published protocol. ``None``: there is no
    published pace, as for image networks and for networks without published weights; such an extractor sees frames
    spread evenly over the whole segment."""
    fps: float | None = None
    """Frame rate that ``stride_frames`` counts in; ``None``: the video's own."""
    spacing: Literal["stride", "last", "end"] = "stride"
    """Where the publisher's loader puts the n frames of a window of n * stride frames: ``stride``: every stride-th
    one; ``last``: evenly from the first to the last one, linspace(0, n * stride - 1, n), as PySlowFast and
    PyTorchVideo do; ``end``: linspace(0, n * stride, n), the last one clipped, as V-JEPA 2 does."""
    size: tuple[int, int] | None = None
    """(height, width) of the clip; ``None``: any that is a multiple of ``size_multiple``."""
    fit: Literal["crop", "stretch", "pad"] = "crop"
    resize_short: int | None = None
    """Short side before the centre crop; where it is smaller than the size, black is put around."""
    resize_to: tuple[int, int] | None = None
    """(height, width) to which both sides are brought before the centre crop, where a publication does so."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    """Whether shrinking averages over all pixels (as Pillow does); off where the publisher has it off."""
    resampler: Literal["torch", "pillow"] = "torch"
    """Whose kernels resize on a CPU; they differ by up to two grey levels of 255 where a cubic overshoots."""
    crop_rounding: Literal["nearest", "down"] = "nearest"
    """Offset of a centre crop whose margin is odd: ``nearest`` rounds half to even (torchvision), ``down`` rounds
    towards the top left (transformers)."""
    value_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channels: str = "RGB"
    min_frames: int = 1
    max_frames: int = 64
    frame_multiple: int = 1
    frame_offset: int = 0
    """A clip has ``k * frame_multiple + frame_offset`` frames (a causal tokenizer takes 4k + 1)."""
    size_multiple: int = 1
    overlap_frames: int = 0
    """Frames two neighbouring windows share over a long video."""

    @property
    def geometry(self) -> tuple[object, ...]:
        """What decides how frames are resized and cropped; formats that agree in it see the same frames."""
        pixels = self.mean if self.fit == "pad" else ()
        return (
            self.size,
            self.fit,
            self.resize_short,
            self.resize_to,
            self.interpolation,
            self.antialias,
            self.resampler,
            self.crop_rounding,
            self.size_multiple,
            pixels,
        )

    @property
    def window_frames(self) -> int:
        """Frames of the longest clip that one forward takes."""
        return self.frames or self.window_for(self.max_frames)

    def window_for(self, frames: int) -> int:
        """Frames of the clip that one forward takes of so many: the next allowed number, or the largest one."""
        if self.frames is not None:
            return self.frames
        wanted = min(max(frames, self.min_frames), self.max_frames)
        length = -(-(wanted - self.frame_offset) // self.frame_multiple) * self.frame_multiple + self.frame_offset
        return length if length <= self.max_frames else length - self.frame_multiple


def pace_in_words(frames: int, stride: int, fps: float | None) -> str:
    """``32 frames, 2 apart at 30 a second``."""
    apart = f", {stride} apart" if stride > 1 else ""
    return f"{frames} frames{apart} {'of the video' if fps is None else f'at {fps:g} a second'}"


LOGITS, PROBABILITIES = "logits", "probabilities"
"""Outputs of an extractor that has a published classifier; they are not in ``ExtractorSpec.outputs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierInfo:
    """The published classifier of an extractor.

    It adds the outputs ``logits`` and ``probabilities``, (B, classes, T', 1, 1). Neither is among the declared
    outputs, and the classifier is built only when one of them is asked for.
    """

    averages: Literal["probabilities", "logits"] = "probabilities"
    """What the authors average over the clips of a video."""
    stride: tuple[Axis, Axis, Axis] = (None, None, None)
    """As of a ``FeatureInfo``: by default there is one answer a clip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInfo:
    """One published set of weights."""

    tag: str
    source: str
    """``hf:owner/repo/file``, an https address, or ``timm:name`` / ``torchvision:name``."""
    sha256: str | None = None
    """Hexadecimal digest, or its published prefix; ``None`` where the publisher gives none."""
    licence: str = "unknown"
    trained_on: str = ""
    score: str = ""
    """The score its authors publish, with the metric and the data set."""
    clip: ClipFormat | None = None
    """Where these weights want another clip than the variant's default."""
    classes: str = ""
    """Label set of the classifier in the file, as ``class_names`` takes it; empty: it has none, or none with names."""
    note: str = ""
    """What else one must know of them, such as which of a file's sets of tensors is taken."""
    adapt: bool = False
    """The file is of another input: its first convolution takes other channels, or its kernels are those of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSpec:
    """What every declared component states. ``target`` is imported only when it is built."""

    kind: ClassVar[Kind]

    name: str
    target: str
    config: str
    summary: str
    reference: str = ""
    """Paper or documentation of the reference implementation."""
    licence: str = ""
    exempt: Mapping[str, str] = field(default_factory=dict)
    """Conformance check -> the reason why it does not apply."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PluginError(
                f"{self.kind} name {self.name!r} is not of the form 'family' or 'family/variant' "
                "(lower-case letters, digits and underscores; the variant may also hold . and -)"
            )
        for label in ("target", "config"):
            value = getattr(self, label)
            if not _is_target(value):
                raise PluginError(
                    f"{self.kind} {self.name!r}: {label} {value!r} is not of the form 'package.module:Name'"
                )
        if not self.summary:
            raise PluginError(f"{self.kind} {self.name!r}: summary is empty; one line says what it is")

    @property
    def family(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/", 1)[0]


@functools.cache
def _is_target(value: str) -> bool:
    # A thousand variants of one plugin name the same class.
    return _TARGET.fullmatch(value) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorSpec(ComponentSpec):
    """An extractor: what it eats, what it gives, and where its weights are."""

    kind: ClassVar[Kind] = "extractor"

    outputs: Mapping[str, FeatureInfo]
    """Output name -> shape, for the default options. The first one is the default output."""
    clip: ClipFormat = field(default_factory=ClipFormat)
    parameters: int | None = None
    """Exact parameter count of the extractor with default options (no classifier)."""
    weights: tuple[WeightsInfo, ...] = ()
    classifier: ClassifierInfo | None = None
    """The published classifier; ``None`` where there is none."""
    default: bool = False
    """Whether the bare family name means this variant."""
    causal: bool = False
    """Whether no output step depends on a later frame (of the same window)."""
    numerics_revision: int = 1
    """Raised when the same weights and options begin to give other numbers: stored features then miss."""

    def __post_init__(self) -> None:
        super(ExtractorSpec, self).__post_init__()
        if not self.outputs:
            raise PluginError(f"extractor {self.name!r} declares no outputs")
        if self.classifier is None and any(weights.classes for weights in self.weights):
            raise PluginError(f"extractor {self.name!r}: weights name classes, and no classifier is declared")

    @property
    def default_output(self) -> str:
        """The output that downstream parts read when nothing else is asked for."""
        return next(iter(self.outputs))

    @property
    def width(self) -> int:
        """Channel count D of the default output."""
        return self.outputs[self.default_output].dim


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSpec(ComponentSpec):
    """A fusion: several named feature maps to one."""

    kind: ClassVar[Kind] = "fusion"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadoutSpec(ComponentSpec):
    """A readout: a feature map to what the task reads."""

    kind: ClassVar[Kind] = "readout"

    causal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec(ComponentSpec):
    """A head: outputs, loss and metrics of a task. ``fitted`` heads have ``fit`` instead of a loss."""

    kind: ClassVar[Kind] = "head"

    targets: Literal["class", "multilabel", "value", "position", "count"] = "class"
    fitted: bool = False
    published: bool = False
    """Whether it reads the published classifier of the one extractor instead of its features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec(ComponentSpec):
    """A data set that can be named instead of a path."""

    kind: ClassVar[Kind] = "dataset"


SPEC_TYPES: tuple[type[ComponentSpec], ...] = (ExtractorSpec, FusionSpec, ReadoutSpec, HeadSpec, DatasetSpec)
KINDS: tuple[Kind, ...] = tuple(t.kind for t in SPEC_TYPES)


def spec_as_dict(spec: ComponentSpec) -> dict[str, object]:
    """The spec as plain JSON-ready data, its kind first."""
    return {"kind": spec.kind, **{f.name: _plain(getattr(spec, f.name)) for f in fields(spec)}}


def _plain(value: object) -> object:
    if isinstance(value, (FeatureInfo, ClipFormat, WeightsInfo, ClassifierInfo)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value
