"""The table of ViViT variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .architecture import BASE, SMALL, Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class JointVariant:
    """A ViViT whose tokens all attend to one another, as transformers has it."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    frames: int = 32
    size: int = 224
    tubelet: tuple[int, int, int] = (2, 16, 16)
    """Frames, rows and columns of a token."""
    parameters: int
    """Without pooler and classifier."""
    hub: tuple[tuple[str, str], ...] = ()
    """(tag, repository) of the published files on the Hugging Face hub."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        return ("features", "cls", *(f"block{i}" for i in range(self.depth)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorisedVariant:
    """A factorised causal ViViT, ours."""

    architecture: Architecture
    parameters: int
    """With the default options."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        a = self.architecture
        spatial = (f"spatial{i}" for i in range(a.spatial_depth))
        temporal = (f"temporal{i}" for i in range(a.temporal_depth))
        return ("features", "tokens", *spatial, *temporal)


JOINT: dict[str, JointVariant] = {
    "vivit/b16x2": JointVariant(
        parameters=88_646_400,
        hub=(("k400", "google/vivit-b-16x2-kinetics400"), ("k400_v2", "google/vivit-b-16x2")),
    ),
    "vivit/b16x2_test": JointVariant(width=48, depth=3, heads=4, frames=8, size=64, parameters=161_856),
}

_TEST = replace(
    SMALL,
    width=32,
    spatial_depth=2,
    temporal_depth=2,
    heads=2,
    head_dim=16,
    feedforward_width=64,
    patch_size=(4, 8, 8),
)

FACTORISED: dict[str, FactorisedVariant] = {
    "vivit/factorised_small": FactorisedVariant(architecture=SMALL, parameters=5_036_352),
    "vivit/factorised_base": FactorisedVariant(architecture=BASE, parameters=28_452_480),
    "vivit/factorised_test": FactorisedVariant(architecture=_TEST, parameters=67_040),
}

VARIANTS: dict[str, JointVariant | FactorisedVariant] = {**JOINT, **FACTORISED}
