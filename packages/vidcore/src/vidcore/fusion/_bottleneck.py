"""Attention through bottleneck tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.features import FeatureMap
from vidcore.fusion._tokens import StreamTokens, as_map, check_heads, need_several, positions, token_mask
from vidcore.fusion.align import align, reference_stream
from vidcore.fusion.base import Fusion
from vidcore.fusion.config import BottleneckConfig


class Bottleneck(Fusion):
    """Streams run through Transformers of their own and exchange what they see through a few shared tokens.

        [x_s ; b_s] <- Transformer block of s and the layer, on [x_s ; b]        for every stream s
        b           <- mean_s b_s

    after each of ``depth`` layers: Attention Bottlenecks for Multimodal Fusion (Nagrani et al. 2021,
    arXiv:2107.00135, equations 6 to 8). ``bottlenecks`` tokens are all that crosses between streams, so the cost
    is that of self-attention within each, not between all. x_s are the normalised tokens of the stream with
    the encoding of their time in frames and their place added; the result is the mean of the streams' tokens
    after the last layer, on the steps and grid of ``reference``.

    Padded steps are read by none. A step looks at the whole clip: the result is not causal.

    Input   {s: (B, D_s, T_s, H_s, W_s)}, two streams or more
    Output  (B, width, T, H, W), the grid of ``reference``; (B, width, T, 1, 1) with ``pool``

    Raises:
        WiringError: one stream only.
        ConfigError: ``heads`` do not divide ``width``.
    """

    config: BottleneckConfig

    def __init__(self, spec: FusionSpec, config: BottleneckConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__(spec, config, streams)
        need_several(self.streams, spec.name)
        check_heads(config.width, config.heads, spec.name)
        self.reference = reference_stream(self.streams, config.reference, spec.name)
        self.tokens = nn.ModuleList(StreamTokens(i.dim, config.width, config.pool) for i in self.streams.values())
        self.bottleneck = nn.Parameter(torch.randn(config.bottlenecks, config.width) * 0.02)
        self.layers = nn.ModuleList(_Exchange(config, len(self.streams)) for _ in range(config.depth))
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in self.streams)

    @property
    def spatial(self) -> bool:
        """Not with ``pool``: then it reads the spatial means."""
        return not self.config.pool

    @property
    def output(self) -> FeatureInfo:
        """The reference's strides, ``width`` channels; no grid with ``pool``."""
        info = self.streams[self.reference]
        stride = (info.stride[0], None, None) if self.config.pool else info.stride
        return replace(info, dim=self.config.width, stride=stride)

    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        """{s: (B, D_s, T_s, H_s, W_s)} -> (B, width, T, H, W)."""
        maps: list[FeatureMap] = [embed(streams[name]) for name, embed in zip(self.streams, self.tokens, strict=True)]
        tokens = [fmap.tokens() + positions(fmap) for fmap in maps]
        padding = [self._padding(fmap) for fmap in maps]
        shared = self.bottleneck.expand(tokens[0].shape[0], -1, -1)
        for layer in self.layers:
            tokens, shared = layer(tokens, shared, padding)
        reference = maps[list(self.streams).index(self.reference)]
        parts = [
            align(as_map(norm(part), fmap), reference)
            for norm, part, fmap in zip(self.norms, tokens, maps, strict=True)
        ]
        return replace(reference, data=torch.stack(parts).mean(0))

    def _padding(self, fmap: FeatureMap) -> Tensor | None:
        """(B, N + bottlenecks), True at tokens that are not to be read; the bottleneck always is."""
        if fmap.mask is None:
            return None
        padded = ~token_mask(fmap.mask, fmap)
        return torch.cat([padded, padded.new_zeros(padded.shape[0], self.config.bottlenecks)], 1)


class _Exchange(nn.Module):
    """One layer: a Transformer block per stream over its tokens and the shared ones, of which the mean goes on."""

    def __init__(self, config: BottleneckConfig, streams: int) -> None:
        super().__init__()
        c = config
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                c.width, c.heads, c.mlp_ratio * c.width, c.dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(streams)
        )
        for block in self.blocks:
            # Dropout of attention weights writes every N x N matrix to memory: of 800 tokens three times the time and
            # twice the memory of a step. The paths behind the attention and the MLP have theirs.
            attention: Any = block.self_attn
            attention.dropout = 0.0

    def forward(
        self, tokens: list[Tensor], shared: Tensor, padding: list[Tensor | None]
    ) -> tuple[list[Tensor], Tensor]:
        """Tokens of each stream (B, N_s, width) and the shared ones (B, K, width) -> the same."""
        count = shared.shape[1]
        seen = [
            block(torch.cat([own, shared], 1), src_key_padding_mask=padded)
            for block, own, padded in zip(self.blocks, tokens, padding, strict=True)
        ]
        return [part[:, :-count] for part in seen], torch.stack([part[:, -count:] for part in seen]).mean(0)
