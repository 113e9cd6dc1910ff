"""Building blocks of the Open-MAGVIT2 video tokenizer, under the published parameter names (arXiv:2409.04410)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import NormScope

NORM_EPS = 1e-6


class CausalConv3d(nn.Module):
    """3D convolution whose output step t depends on input steps up to ``t * time_stride`` only.

    All of the temporal padding is zeros in front, the spatial padding is zeros on both sides; a sequence of T
    steps becomes ``ceil(T / time_stride)``. Space is padded inside the convolution, so that only a kernel longer
    than one step copies its input.

    Input   (B, C, T, H, W)
    Output  (B, out_channels, ceil(T / s_t), ceil(H / s_h), ceil(W / s_w))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: tuple[int, int, int] = (1, 1, 1),
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        space = kernel_size // 2
        self.time_padding = kernel_size - 1
        self.conv_1 = nn.Conv3d(in_channels, out_channels, kernel_size, stride, (0, space, space), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, out_channels, T', H', W')."""
        if self.time_padding:
            x = F.pad(x, (0, 0, 0, 0, self.time_padding, 0))
        out: Tensor = self.conv_1(x)
        return out


class GroupNorm(nn.GroupNorm):
    """Group norm of a video, over the whole clip (published) or step by step (strictly causal).

    Input and output (B, C, T, H, W).
    """

    def __init__(self, num_groups: int, channels: int, scope: NormScope = "clip") -> None:
        super().__init__(num_groups, channels, eps=NORM_EPS)
        self.per_step = scope == "frame"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        if not self.per_step or x.shape[2] == 1:
            return super().forward(x)
        batch, channels, steps, height, width = x.shape
        folded = super().forward(x.transpose(1, 2).flatten(0, 1))
        return folded.view(batch, steps, channels, height, width).transpose(1, 2)

    def extra_repr(self) -> str:
        """Adds the scope to what ``nn.GroupNorm`` shows."""
        return f"{super().extra_repr()}, per_step={self.per_step}"


class ResidualBlock(nn.Module):
    """Norm, SiLU, causal 3x3x3 convolution, twice; a 1x1x1 shortcut where the width changes.

    Input   (B, in_channels, T, H, W)
    Output  (B, out_channels, T, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, num_groups: int, scope: NormScope = "clip") -> None:
        super().__init__()
        self.norm1 = GroupNorm(num_groups, in_channels, scope)
        self.norm2 = GroupNorm(num_groups, out_channels, scope)
        self.conv1 = CausalConv3d(in_channels, out_channels, bias=False)
        self.conv2 = CausalConv3d(out_channels, out_channels, bias=False)
        self.nin_shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.nin_shortcut = CausalConv3d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, T, H, W) -> (B, out_channels, T, H, W)."""
        # In place: a norm's output is nobody else's, and its backward reads its input.
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        out: Tensor = self.nin_shortcut(x) + h
        return out


class Upsample(nn.Module):
    """Causal convolution to ``prod(block)`` times the channels, then depth to space-time.

    Doubling time gives 2T steps, of which the second is dropped: the first step of a clip stands for one frame,
    every later one for two, which inverts the encoder's causal stride (T -> 2T - 1).

    Input   (B, C, T, H, W)
    Output  (B, C, 2T - 1 or T, 2H, 2W)
    """

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.block = (2 if temporal else 1, 2, 2)
        self.conv1 = CausalConv3d(channels, channels * self.block[0] * 4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, 2T - 1 or T, 2H, 2W)."""
        x = self.conv1(x).unflatten(1, (*self.block, -1))
        x = x.permute(0, 4, 5, 1, 6, 2, 7, 3)
        x = x.flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return torch.cat([x[:, :, :1], x[:, :, 2:]], dim=2) if self.block[0] == 2 else x


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift are linear in the latent's deviation and mean.

        y = gamma(std(q)) * groupnorm(x) + beta(mean(q)),    std and mean over time and space

    Input   x (B, C, T, H, W), deviation and mean (B, z_channels)
    Output  (B, C, T, H, W)
    """

    def __init__(self, z_channels: int, channels: int, num_groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(num_groups, channels, eps=NORM_EPS, affine=False)
        self.gamma = nn.Linear(z_channels, channels)
        self.beta = nn.Linear(z_channels, channels)

    def forward(self, x: Tensor, deviation: Tensor, mean: Tensor) -> Tensor:
        """(B, C, T, H, W) and two (B, z_channels) -> (B, C, T, H, W)."""
        scale = self.gamma(deviation)[:, :, None, None, None]
        shift = self.beta(mean)[:, :, None, None, None]
        return torch.addcmul(shift, self.gn(x), scale)


def latent_statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Deviation and mean of each latent channel over time and space.

    The variance is the unbiased one, as published; of a single cell, where that is undefined (the published
    definition gives NaN), it is taken as zero.

    Args:
        latents: (B, z_channels, T, H, W).

    Returns:
        deviation and mean, (B, z_channels) each.
    """
    cells = latents.flatten(2)
    variance, mean = torch.var_mean(cells, dim=2, correction=min(1, cells.shape[2] - 1))
    return (variance + NORM_EPS).sqrt(), mean
