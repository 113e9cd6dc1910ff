"""The table of VideoMAE variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One set of weights on the hub."""

    tag: str
    repository: str
    trained_on: str
    score: str = ""
    classes: str = ""
    """Label set of its classifier; empty: it was pretrained only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published encoder (or a tiny one of the same make, for tests)."""

    width: int
    depth: int
    heads: int
    parameters: int
    """With the final norm, whose 2 x width parameters the published classifiers keep behind the pooling."""
    size: int = 224
    weights: tuple[Published, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        return ("features", "pooled", *(f"block{i}" for i in range(self.depth)))


def _weights(size: str, *, pretrained: bool = True, k400: str = "", ssv2: str = "") -> tuple[Published, ...]:
    hub = f"MCG-NJU/videomae-{size}"
    found = []
    if pretrained:
        found.append(Published(tag="k400_mae", repository=hub, trained_on="Kinetics-400, masked, no labels"))
    if k400:
        found.append(
            Published(
                tag="k400",
                repository=f"{hub}-finetuned-kinetics",
                trained_on="Kinetics-400",
                score=f"Kinetics-400 top-1 {k400} % (16 frames, 5 clips x 3 crops)",
                classes="kinetics400",
            )
        )
    if ssv2:
        if pretrained:
            found.append(
                Published(
                    tag="ssv2_mae",
                    repository=f"{hub}-ssv2",
                    trained_on="Something-Something-V2, masked, no labels",
                )
            )
        found.append(
            Published(
                tag="ssv2",
                repository=f"{hub}-finetuned-ssv2",
                trained_on="Something-Something-V2 (frames sampled uniformly from the whole video)",
                score=f"Something-Something-V2 top-1 {ssv2} % (16 frames, 2 clips x 3 crops)",
                classes="ssv2",
            )
        )
    return tuple(found)


VARIANTS: dict[str, Variant] = {
    # Six heads, as in the authors' definition; a conversion script in circulation says sixteen.
    "videomae/small": Variant(
        width=384,
        depth=12,
        heads=6,
        parameters=21_879_936,
        weights=_weights("small", pretrained=False, k400="79.0", ssv2="66.8"),
    ),
    "videomae/base": Variant(
        width=768,
        depth=12,
        heads=12,
        parameters=86_227_200,
        weights=_weights("base", k400="81.5", ssv2="70.8"),
    ),
    "videomae/large": Variant(
        width=1024, depth=24, heads=16, parameters=303_860_736, weights=_weights("large", k400="85.2")
    ),
    "videomae/huge": Variant(
        width=1280,
        depth=32,
        heads=16,
        parameters=631_607_040,
        weights=_weights("huge", pretrained=False, k400="86.6"),
    ),
    # Three blocks: an inner layer that is neither the first nor the last exists.
    "videomae/base_test": Variant(width=48, depth=3, heads=4, parameters=158_544, size=64),
}
