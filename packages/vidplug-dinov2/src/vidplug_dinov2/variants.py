"""The table of DINOv2 and DINOv3 variants: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One published vision Transformer (or a tiny one of the same make, for tests)."""

    width: int
    depth: int
    heads: int
    patch: int
    registers: int
    hidden: int = 0
    """Hidden width of DINOv3's feed-forward layer; DINOv2's follows from its width (4 x, two thirds of it gated)."""
    gated: bool = False
    """SwiGLU instead of a GELU feed-forward layer."""
    parameters: int
    hub: str = ""
    """Repository of the published files on the Hugging Face hub; empty: none are published."""
    original: str = ""
    """Address of the authors' own file, where it is public."""
    score: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the default first."""
        registers = tuple(f"register{i}" for i in range(self.registers))
        return ("cls", "patches", *registers, *(f"block{i}" for i in range(self.depth)))


def _v2(
    size: Literal["s", "b", "l", "g"], parameters: int, registers: int, knn: str, linear: str
) -> tuple[str, Variant]:
    width, depth, heads = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "g": (1536, 40, 24)}[size]
    longer = {"s": "small", "b": "base", "l": "large", "g": "giant"}[size]
    suffix, file_suffix = ("_reg", "_reg4") if registers else ("", "")
    return f"dinov2/vit{size}14{suffix}", Variant(
        width=width,
        depth=depth,
        heads=heads,
        patch=14,
        registers=registers,
        gated=size == "g",
        parameters=parameters,
        hub=f"facebook/dinov2-{'with-registers-' if registers else ''}{longer}",
        original=(
            f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/dinov2_vit{size}14{file_suffix}_pretrain.pth"
        ),
        score=f"ImageNet-1k k-NN {knn} %, linear {linear} %",
    )


def _v3(
    name: str,
    shape: tuple[int, int, int, int],
    parameters: int,
    real: str,
    *,
    gated: bool = False,
) -> tuple[str, Variant]:
    width, depth, heads, hidden = shape
    return f"dinov3/{name}", Variant(
        width=width,
        depth=depth,
        heads=heads,
        patch=16,
        hidden=hidden,
        registers=4,
        gated=gated,
        parameters=parameters,
        hub=f"facebook/dinov3-{name}-pretrain-lvd1689m",
        score=f"ImageNet-ReaL linear {real} %",
    )


def _tiny(patch: int, registers: int, parameters: int, *, hidden: int = 0, gated: bool = False) -> Variant:
    # Three blocks: an inner layer that is neither the first nor the last exists.
    return Variant(
        width=48,
        depth=3,
        heads=4,
        patch=patch,
        registers=registers,
        hidden=hidden,
        gated=gated,
        parameters=parameters,
    )


VARIANTS: dict[str, Variant] = {
    **dict(
        [
            _v2("s", 22_056_576, 0, "79.0", "81.1"),
            _v2("b", 86_580_480, 0, "82.1", "84.5"),
            _v2("l", 304_368_640, 0, "83.5", "86.3"),
            _v2("g", 1_136_480_768, 0, "83.5", "86.5"),
            _v2("s", 22_058_112, 4, "79.1", "80.9"),
            _v2("b", 86_583_552, 4, "82.0", "84.6"),
            _v2("l", 304_372_736, 4, "83.8", "86.7"),
            _v2("g", 1_136_486_912, 4, "83.7", "87.1"),
            _v3("vits16", (384, 12, 6, 1536), 21_596_544, "87.0"),
            _v3("vits16plus", (384, 12, 6, 1536), 28_692_864, "88.0", gated=True),
            _v3("vitb16", (768, 12, 12, 3072), 85_660_416, "89.3"),
            _v3("vitl16", (1024, 24, 16, 4096), 303_129_600, "90.2"),
            _v3("vith16plus", (1280, 32, 20, 5120), 840_592_640, "90.3", gated=True),
        ]
    ),
    "dinov2/vits14_test": _tiny(14, 0, 179_328),
    "dinov2/vits14_reg_test": _tiny(14, 4, 179_520),
    "dinov2/vitg14_test": _tiny(14, 0, 179_520, gated=True),
    "dinov3/vits16_test": _tiny(16, 4, 122_256, hidden=192),
    "dinov3/vits16plus_test": _tiny(16, 4, 122_448, hidden=128, gated=True),
}
