"""The table of V-JEPA 2 variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One set of weights, on the hub and as the authors' own file."""

    tag: str
    repository: str
    original: str
    size: int
    score: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published encoder (or a tiny one of the same make, for tests)."""

    width: int
    depth: int
    heads: int
    hidden: int
    """Hidden width of the feed-forward layer."""
    parameters: int
    size: int = 256
    weights: tuple[Published, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        return ("features", *(f"block{i}" for i in range(self.depth)))


def _weights(name: str, size: int = 256, score: str = "") -> Published:
    return Published(
        tag=f"fpc64_{size}",
        repository=f"facebook/vjepa2-{name}-fpc64-{size}",
        original=f"https://dl.fbaipublicfiles.com/vjepa2/{name}{'' if size == 256 else f'-{size}'}.pt",
        size=size,
        score=score,
    )


VARIANTS: dict[str, Variant] = {
    "vjepa2/vitl": Variant(
        width=1024,
        depth=24,
        heads=16,
        hidden=4096,
        parameters=303_885_312,
        weights=(
            _weights("vitl", score="frozen attentive probe: Something-Something-V2 top-1 73.7 %, Diving48 89.0 %"),
        ),
    ),
    "vjepa2/vith": Variant(
        width=1280, depth=32, heads=16, hidden=5120, parameters=631_648_000, weights=(_weights("vith"),)
    ),
    "vjepa2/vitg": Variant(
        width=1408,
        depth=40,
        heads=22,
        hidden=6144,
        parameters=1_012_173_952,
        weights=(
            _weights("vitg"),
            _weights("vitg", 384, "frozen attentive probe: Something-Something-V2 top-1 77.3 %, Diving48 90.2 %"),
        ),
    ),
    # Three blocks: an inner layer that is neither the first nor the last exists. Heads of 24 channels: the rotary
    # positions take thirds of them, each even.
    "vjepa2/vitl_test": Variant(width=48, depth=3, heads=2, hidden=192, parameters=158_688, size=64),
}
