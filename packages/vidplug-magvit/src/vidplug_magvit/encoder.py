"""The causal 3D encoder of the Open-MAGVIT2 video tokenizer (arXiv:2409.04410)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import TokenizerConfig
from .blocks import CausalConv3d, GroupNorm, ResidualBlock


class DownLevel(nn.Module):
    """Residual blocks of one width, then a strided causal convolution except at the last level.

    Input   (B, in_channels, T, H, W)
    Output  (B, out_channels, T or (T + 1) // 2, ceil(H / 2), ceil(W / 2)); T, H, W at the last level
    """

    def __init__(self, config: TokenizerConfig, level: int) -> None:
        super().__init__()
        out_channels = config.widths[level]
        in_channels = config.widths[level - 1] if level else config.ch
        self.block = nn.ModuleList(
            ResidualBlock(out_channels if i else in_channels, out_channels, config.num_groups, config.norm_scope)
            for i in range(config.num_res_blocks)
        )
        self.downsample: nn.Module = nn.Identity()
        if level < len(config.widths) - 1:
            stride = (2 if config.temporal_downsample[level] else 1, 2, 2)
            self.downsample = CausalConv3d(out_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, out_channels, T', H', W')."""
        for block in self.block:
            x = block(x)
        out: Tensor = self.downsample(x)
        return out


class Encoder(nn.Module):
    """Video in [-1, 1] to latents before quantisation; time is halved twice, space three times.

    Latent step i is the last one computed from input frames 0 to ``4 i``: of a clip whose length is not 4k + 1 the
    remaining frames would silently go unread, so such lengths are refused; repeat the last frame to reach the next
    4k + 1. H and W are free; a partial cell counts as one, seen through zero padding.

    With ``norm_scope="clip"`` (the published network) the convolutions are causal but the group norms average
    over the whole clip, so a later frame still rescales earlier latents; with ``"frame"`` it cannot reach them.

    Input   (B, 3, 4k + 1, H, W), RGB in [-1, 1]
    Output  (B, 18, k + 1, ceil(H / 8), ceil(W / 8))
    """

    def __init__(self, config: TokenizerConfig, in_channels: int = 3) -> None:
        super().__init__()
        self.config = config
        width = config.mid_channels
        self.conv_in = CausalConv3d(in_channels, config.ch, bias=False)
        self.down = nn.ModuleList(DownLevel(config, level) for level in range(len(config.widths)))
        self.mid_block = nn.ModuleList(
            ResidualBlock(width, width, config.num_groups, config.norm_scope) for _ in range(config.num_res_blocks)
        )
        self.norm_out = GroupNorm(config.num_groups, width, config.norm_scope)
        self.conv_out = CausalConv3d(width, config.z_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 4k + 1, H, W) -> latents (B, z_channels, k + 1, ceil(H / 8), ceil(W / 8)).

        Raises:
            ValueError: the clip is not 5D or its length is not 4k + 1.
        """
        return self.latents(self.mid(x))

    def mid(self, x: Tensor) -> Tensor:
        """The mid-block map (B, mid_channels, k + 1, ceil(H / 8), ceil(W / 8)), the encoder's widest feature.

        Args:
            x: (B, 3, 4k + 1, H, W), RGB in [-1, 1].

        Raises:
            ValueError: the clip is not 5D or its length is not 4k + 1.
        """
        stride = self.config.time_stride
        if x.ndim != 5:
            raise ValueError(f"expected a clip (B, C, T, H, W), got shape {tuple(x.shape)}")
        if (x.shape[2] - 1) % stride:
            longer = (x.shape[2] + stride - 2) // stride * stride + 1
            raise ValueError(
                f"a clip of {x.shape[2]} frames is not of length {stride}k + 1; "
                f"repeat its last frame up to {longer} frames"
            )
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        for block in self.mid_block:
            x = block(x)
        return x

    def latents(self, mid: Tensor) -> Tensor:
        """Mid-block map (B, mid_channels, T', H', W') -> latents before quantisation (B, z_channels, T', H', W')."""
        out: Tensor = self.conv_out(F.silu(self.norm_out(mid), inplace=True))
        return out
