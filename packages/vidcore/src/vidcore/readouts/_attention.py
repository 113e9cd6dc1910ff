"""Attentive pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.errors import ConfigError
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts.base import Readout
from vidcore.readouts.config import AttentionConfig


class AttentionPool(Readout):
    """Learned queries attend to every token; their mean is the result.

    Input   (B, D, T', H', W')
    Output  (B, width)

    Raises:
        ConfigError: the width is not a multiple of ``heads``.
    """

    config: AttentionConfig

    def __init__(self, spec: ReadoutSpec, config: AttentionConfig, features: FeatureInfo) -> None:
        super().__init__(spec, config, features)
        self.width = config.width or features.dim
        if self.width % config.heads:
            raise ConfigError(
                f"readout {spec.name!r}: width {self.width} is not a multiple of heads ({config.heads}); "
                "set readout.options.width or readout.options.heads"
            )
        self.queries = nn.Parameter(torch.randn(config.queries, self.width) * 0.02)
        self.norm = nn.LayerNorm(features.dim)
        self.key_value = nn.Linear(features.dim, 2 * self.width)
        self.project = nn.Linear(self.width, self.width)

    @property
    def output(self) -> ReadoutInfo:
        """``width`` channels."""
        return ReadoutInfo(self.width)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, width)."""
        tokens = self.norm(features.tokens())
        batch = tokens.shape[0]
        heads = self.config.heads
        keys, values = self.key_value(tokens).reshape(batch, -1, 2, heads, self.width // heads).permute(2, 0, 3, 1, 4)
        queries = self.queries.reshape(-1, heads, self.width // heads).transpose(0, 1).expand(batch, -1, -1, -1)
        mask = None
        if features.mask is not None:
            # A clip of padding only would divide by zero: it attends to everything instead.
            real = features.mask | ~features.mask.any(1, keepdim=True)
            mask = real.repeat_interleave(tokens.shape[1] // real.shape[1], 1)[:, None, None]
        pooled = F.scaled_dot_product_attention(queries.to(keys.dtype), keys, values, attn_mask=mask)
        result: Tensor = self.project(pooled.transpose(1, 2).flatten(2).mean(1))
        return result
