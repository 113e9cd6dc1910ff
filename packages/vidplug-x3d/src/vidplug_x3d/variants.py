"""The table of X3D variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published network (or a narrow one of the same make, for tests)."""

    frames: int
    stride_frames: int
    train_size: int
    """Side of the training crops, which sets the window of the head's average pool."""
    size: int
    """Side of the crops of the published 30-view evaluation."""
    depth_factor: float = 2.2
    width_factor: float = 2.0
    widths: tuple[int, int, int, int] = (24, 48, 96, 192)
    """Channels of the four residual stages."""
    hidden: int = 432
    """Channels before the projection, 2.25 times those of the last stage."""
    projection: int = 2048
    """Channels that enter the classifier."""
    parameters: int
    file: str = ""
    """Name of the published file in PyTorchVideo's model zoo; empty: none is published."""
    top1: str = ""
    """Kinetics-400 accuracies (percent, 30 views) of the model zoo."""
    top5: str = ""

    @property
    def pool(self) -> tuple[int, int, int]:
        """Window of the head's average pool: the map of a training clip."""
        side = -(-self.train_size // 32)
        return self.frames, side, side


VARIANTS: dict[str, Variant] = {
    "x3d/xs": Variant(
        frames=4,
        stride_frames=12,
        train_size=160,
        size=182,
        parameters=2_974_674,
        file="X3D_XS.pyth",
        top1="69.12",
        top5="88.63",
    ),
    "x3d/s": Variant(
        frames=13,
        stride_frames=6,
        train_size=160,
        size=182,
        parameters=2_974_674,
        file="X3D_S.pyth",
        top1="73.33",
        top5="91.27",
    ),
    "x3d/m": Variant(
        frames=16,
        stride_frames=5,
        train_size=224,
        size=256,
        parameters=2_974_674,
        file="X3D_M.pyth",
        top1="75.94",
        top5="92.72",
    ),
    "x3d/l": Variant(
        frames=16,
        stride_frames=5,
        train_size=312,
        size=356,
        depth_factor=5.0,
        parameters=5_333_784,
        file="X3D_L.pyth",
        top1="77.44",
        top5="93.31",
    ),
    "x3d/s_test": Variant(
        frames=13,
        stride_frames=6,
        train_size=64,
        size=80,
        depth_factor=1.0,
        width_factor=1.0,
        widths=(16, 24, 48, 96),
        hidden=216,
        projection=64,
        parameters=275_314,
    ),
}
