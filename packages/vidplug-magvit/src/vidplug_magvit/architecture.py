"""The one table of tokenizer architectures. Standard library only, so that declarations can read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NormScope = Literal["clip", "frame"]


@dataclass(frozen=True)
class TokenizerConfig:
    """What determines an Open-MAGVIT2 video tokenizer (arXiv:2409.04410).

    Attributes:
        ch: base width.
        ch_mult: width of each level as a multiple of ``ch``; between two levels space is halved.
        temporal_downsample: for each passage between levels, whether time is halved too. The published
            definition derives it (a level whose multiplier is 1 keeps its time steps); here it is spelled out.
        num_res_blocks: residual blocks per level and in the middle.
        z_channels: channels of the latent, one bit of the code each.
        num_groups: groups of every group norm; every width must be a multiple of it.
        norm_scope: what a group norm of the encoder averages over. ``"clip"`` is the published network: time and
            space together, so the statistics of a step contain later frames although no convolution does.
            ``"frame"`` averages over space alone, step by step: strictly causal, same parameters, other numbers
            for every clip of more than one frame.

    Raises:
        ValueError: the levels disagree, or the code does not fit into 62 bits of an int64.
    """

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 2, 4)
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    num_res_blocks: int = 4
    z_channels: int = 18
    num_groups: int = 32
    norm_scope: NormScope = "clip"

    def __post_init__(self) -> None:
        if len(self.temporal_downsample) != len(self.ch_mult) - 1:
            raise ValueError(
                f"temporal_downsample has {len(self.temporal_downsample)} entries; {len(self.ch_mult)} levels "
                f"(ch_mult={self.ch_mult}) need {len(self.ch_mult) - 1}, one per passage between two levels"
            )
        if not 1 <= self.z_channels <= 62:
            raise ValueError(f"z_channels={self.z_channels}: a code is an int64 with one bit per channel, so 1 to 62")
        if self.norm_scope not in ("clip", "frame"):
            raise ValueError(f"norm_scope={self.norm_scope!r}: expected 'clip' or 'frame'")
        for width in self.widths:
            if width % self.num_groups:
                raise ValueError(f"width {width} is not a multiple of num_groups={self.num_groups}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.ch * multiplier for multiplier in self.ch_mult)

    @property
    def mid_channels(self) -> int:
        """Channels of the mid-block map."""
        return self.widths[-1]

    @property
    def codebook_size(self) -> int:
        """Number of codes, ``2 ** z_channels``."""
        return 1 << self.z_channels

    @property
    def time_stride(self) -> int:
        """Input frames per latent step."""
        return 1 << sum(self.temporal_downsample)

    @property
    def space_stride(self) -> int:
        """Input pixels per latent cell, in each direction."""
        return 1 << (len(self.ch_mult) - 1)


VIDEO_262144 = TokenizerConfig()
"""The published video tokenizer: 2^18 codes, 370,547,349 parameters."""

VIDEO_SMALL = TokenizerConfig(ch=32, num_res_blocks=1)
"""The published definition at a quarter of the width and one residual block."""

VIDEO_TEST = TokenizerConfig(ch=8, num_res_blocks=1, num_groups=8)
"""The same topology with less than 2 M parameters, for tests."""
