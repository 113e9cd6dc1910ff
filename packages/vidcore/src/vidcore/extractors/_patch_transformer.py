"""A small space-time Transformer, trained from scratch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo
from vidcore.extractors.base import Extractor, step_times
from vidcore.extractors.config import PatchTransformerConfig
from vidcore.features import FeatureMap


class PatchTransformer(Extractor):
    """Tubelet embedding and a pre-norm Transformer encoder over all tokens of the clip.

    Positions are sinusoidal in time and learned in space (rows and columns added): without them
    the encoder could not tell a clip from its reverse, and a learned time table would not reach
    clips longer than those trained on.

    Input   (B, 3, T, size, size), T a multiple of ``tubelet``
    Output  ``features``: (B, width, T/tubelet, size/patch, size/patch), one step per tubelet
    """

    config: PatchTransformerConfig

    def __init__(self, spec: ExtractorSpec, config: PatchTransformerConfig) -> None:
        super().__init__(spec, config)
        kernel = (config.tubelet, config.patch, config.patch)
        grid = config.size // config.patch
        self.embed = nn.Conv3d(3, config.width, kernel, kernel)
        self.rows = nn.Parameter(torch.randn(config.width, 1, grid, 1) * 0.02)
        self.columns = nn.Parameter(torch.randn(config.width, 1, 1, grid) * 0.02)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width,
                config.heads,
                4 * config.width,
                config.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the size and tubelet of the options."""
        size = (self.config.size, self.config.size)
        return replace(self.spec.clip, size=size, frame_multiple=self.config.tubelet, min_frames=self.config.tubelet)

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """Width and strides of the options."""
        c = self.config
        return {"features": FeatureInfo(c.width, (c.tubelet, c.patch, c.patch))}

    @property
    def blocks(self) -> list[nn.Module]:
        """Embedding, then one module per Transformer block."""
        return [self.embed, *self.encoder]

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, size, size) -> {"features": (B, width, T', H', W')}."""
        x = self.embed(clip)
        steps = x.shape[2]
        x = x + self.rows + self.columns + sinusoid(steps, x.shape[1], x).T[None, :, :, None, None]
        grid = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)
        for block in self.encoder:
            tokens = block(tokens)
        data = self.norm(tokens).transpose(1, 2).unflatten(2, grid)
        return {"features": FeatureMap(data, step_times(steps, self.config.tubelet, data))}


def sinusoid(length: int, width: int, like: Tensor) -> Tensor:
    """Sinusoidal positions (length, width), sines first (Vaswani et al. 2017, arXiv:1706.03762)."""
    half = width // 2
    rate = torch.exp(torch.arange(half, device=like.device) * (-math.log(10_000.0) / max(half, 1)))
    angle = torch.arange(length, device=like.device)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1).to(like.dtype)
