"""The decoder of the Open-MAGVIT2 video tokenizer (arXiv:2409.04410), modulated by adaptive group norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import TokenizerConfig
from .blocks import AdaptiveGroupNorm, CausalConv3d, GroupNorm, ResidualBlock, Upsample, latent_statistics


class UpLevel(nn.Module):
    """Residual blocks of one width, then an upsampling except at the finest level.

    Input   (B, in_channels, T, H, W)
    Output  (B, out_channels, T or 2T - 1, 2H, 2W); T, H, W at the finest level
    """

    def __init__(self, config: TokenizerConfig, level: int) -> None:
        super().__init__()
        out_channels = config.widths[level]
        in_channels = level_input(config, level)
        self.block = nn.ModuleList(
            ResidualBlock(out_channels if i else in_channels, out_channels, config.num_groups)
            for i in range(config.num_res_blocks)
        )
        self.upsample: nn.Module = nn.Identity()
        if level > 0:
            self.upsample = Upsample(out_channels, temporal=config.temporal_downsample[level - 1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, out_channels, T', H', W')."""
        for block in self.block:
            x = block(x)
        out: Tensor = self.upsample(x)
        return out


class Decoder(nn.Module):
    """Quantised latents to video.

    Every group norm, and the statistics behind the adaptive ones, span the whole clip: the decoder is not causal.
    The output is not clamped; the published evaluation clamps it to [-1, 1].

    Input   (B, 18, T', H', W'), +-1
    Output  (B, 3, 4 (T' - 1) + 1, 8 H', 8 W')
    """

    def __init__(self, config: TokenizerConfig, out_channels: int = 3) -> None:
        super().__init__()
        width, groups = config.mid_channels, config.num_groups
        levels = range(len(config.widths))
        self.conv_in = CausalConv3d(config.z_channels, width)
        self.mid_block = nn.ModuleList(ResidualBlock(width, width, groups) for _ in range(config.num_res_blocks))
        self.up = nn.ModuleList(UpLevel(config, level) for level in levels)
        self.adaptive = nn.ModuleList(
            AdaptiveGroupNorm(config.z_channels, level_input(config, level), groups) for level in levels
        )
        self.norm_out = GroupNorm(groups, config.widths[0])
        self.conv_out = CausalConv3d(config.widths[0], out_channels)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, z_channels, T', H', W') -> video (B, 3, 4 (T' - 1) + 1, 8 H', 8 W')."""
        deviation, mean = latent_statistics(latents)
        x = self.conv_in(latents)
        for block in self.mid_block:
            x = block(x)
        # Levels are numbered from the finest, as in the encoder, and run from the coarsest.
        for level, adaptive in zip(reversed(self.up), reversed(self.adaptive), strict=True):
            x = level(adaptive(x, deviation, mean))
        video: Tensor = self.conv_out(F.silu(self.norm_out(x), inplace=True))
        return video


def level_input(config: TokenizerConfig, level: int) -> int:
    """Channels that reach a level of the decoder: those of the next coarser one."""
    return config.widths[min(level + 1, len(config.widths) - 1)]
