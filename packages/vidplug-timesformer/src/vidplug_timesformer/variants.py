"""The table of TimeSformer variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One set of weights on the hub."""

    tag: str
    trained_on: str
    score: str
    classes: str
    """Label set of its classifier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The published network with divided space-time attention (or a tiny one of the same make, for tests)."""

    width: int
    depth: int
    heads: int
    parameters: int
    frames: int = 8
    size: int = 224
    weights: tuple[Published, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        return ("features", "cls", *(f"block{i}" for i in range(self.depth)))


VARIANTS: dict[str, Variant] = {
    "timesformer/base": Variant(
        width=768,
        depth=12,
        heads=12,
        parameters=121_258_752,
        weights=(
            Published(tag="k400", trained_on="Kinetics-400", score="Kinetics-400 top-1 77.9 %", classes="kinetics400"),
            Published(tag="k600", trained_on="Kinetics-600", score="Kinetics-600 top-1 79.1 %", classes="kinetics600"),
            Published(
                tag="ssv2",
                trained_on="Something-Something-V2 (frames sampled uniformly from the whole video)",
                score="Something-Something-V2 top-1 59.1 %",
                classes="ssv2",
            ),
        ),
    ),
    # Three blocks: an inner layer that is neither the first nor the last exists.
    "timesformer/base_test": Variant(width=48, depth=3, heads=4, parameters=158_448, frames=4, size=64),
}
