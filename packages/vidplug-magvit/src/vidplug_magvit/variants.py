"""The table of video tokenizers: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass

from .architecture import VIDEO_262144, VIDEO_SMALL, VIDEO_TEST, TokenizerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One tokenizer: its architecture, and its published file if there is one."""

    architecture: TokenizerConfig
    parameters: int
    """Encoder and decoder."""
    file: str = ""
    """Published checkpoint on the Hugging Face hub; empty: none is published."""
    score: str = ""
    """Of the published file, from its repository (TencentARC/SEED-Voken, docs/Open-MAGVIT2.md, 4a0b9c1)."""


VARIANTS: dict[str, Variant] = {
    "magvit2/video_262144": Variant(
        architecture=VIDEO_262144,
        parameters=370_547_349,
        file="TencentARC/Open-MAGVIT2-Tokenizer-262144-Video/video_128_262144.ckpt",
        score="UCF-101 reconstruction FVD 16 (17 frames of 128x128 as 5x16x16 tokens)",
    ),
    "magvit2/video_small": Variant(architecture=VIDEO_SMALL, parameters=9_621_429),
    "magvit2/video_test": Variant(architecture=VIDEO_TEST, parameters=618_237),
}
