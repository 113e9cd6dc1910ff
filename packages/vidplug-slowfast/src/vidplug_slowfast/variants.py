"""The table of SlowFast, Slow and C2D variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published network (or a narrow one of the same make, for tests)."""

    architecture: Literal["slowfast", "slow", "c2d"]
    frames: int
    """Frames of the published clip; with two pathways, those of the fast one."""
    stride_frames: int
    depth: int = 50
    width: int = 64
    """Channels of the stem (of the slow pathway); the last stage has 32 times as many."""
    alpha: int = 1
    """Fast frames per slow frame."""
    fusion_kernel: int = 7
    """Fast frames that a lateral connection sees at once."""
    temporal_blocks: int | None = None
    """Blocks of res4 with a temporal kernel; ``None``: all of them."""
    size: int = 256
    parameters: int
    file: str = ""
    """Name of the published file in PyTorchVideo's model zoo; empty: none is published."""
    top1: str = ""
    """Kinetics-400 accuracies (percent, 30 views) of the model zoo."""
    top5: str = ""

    @property
    def temporal_stride(self) -> int:
        """Frames of the clip per step of the last stage."""
        return {"slowfast": self.alpha, "slow": 1, "c2d": 2}[self.architecture]

    @property
    def stage_widths(self) -> dict[str, int]:
        """Channels of the four residual stages (of the slow pathway; the fast one has an eighth)."""
        return {f"res{k + 2}": self.width * 4 * 2**k for k in range(4)}


VARIANTS: dict[str, Variant] = {
    "slowfast/r50_8x8": Variant(
        architecture="slowfast",
        frames=32,
        stride_frames=2,
        alpha=4,
        parameters=33_644_488,
        file="SLOWFAST_8x8_R50.pyth",
        top1="76.94",
        top5="92.69",
    ),
    "slowfast/r50_4x16": Variant(
        architecture="slowfast",
        frames=32,
        stride_frames=2,
        alpha=8,
        fusion_kernel=5,
        parameters=33_558_216,
        file="SLOWFAST_4x16_R50.pyth",
        top1="75.34",
        top5="91.89",
    ),
    "slowfast/r101_8x8": Variant(
        architecture="slowfast",
        frames=32,
        stride_frames=2,
        depth=101,
        alpha=4,
        fusion_kernel=5,
        parameters=61_904_968,
        file="SLOWFAST_8x8_R101.pyth",
        top1="77.90",
        top5="93.27",
    ),
    "slowfast/r101_16x8": Variant(
        architecture="slowfast",
        frames=64,
        stride_frames=2,
        depth=101,
        alpha=4,
        fusion_kernel=5,
        temporal_blocks=6,
        parameters=52_852_808,
        file="SLOWFAST_16x8_R101_50_50.pyth",
        top1="78.70",
        top5="93.61",
    ),
    "slowfast/c2d_r50": Variant(
        architecture="c2d",
        frames=8,
        stride_frames=8,
        parameters=23_508_032,
        file="C2D_8x8_R50.pyth",
        top1="71.46",
        top5="89.68",
    ),
    "slow/r50_8x8": Variant(
        architecture="slow",
        frames=8,
        stride_frames=8,
        parameters=31_634_496,
        file="SLOW_8x8_R50.pyth",
        top1="74.58",
        top5="91.63",
    ),
    "slowfast/r50_8x8_test": Variant(
        architecture="slowfast", frames=16, stride_frames=2, depth=18, width=24, alpha=4, size=64, parameters=1_552_569
    ),
    "slowfast/c2d_r50_test": Variant(
        architecture="c2d", frames=8, stride_frames=8, width=8, size=64, parameters=374_152
    ),
    "slow/r50_8x8_test": Variant(architecture="slow", frames=8, stride_frames=8, width=8, size=64, parameters=501_128),
}
