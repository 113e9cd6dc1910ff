"""Cross-attention between streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.errors import WiringError
from vidcore.features import FeatureMap
from vidcore.fusion._tokens import StreamTokens, as_map, check_heads, need_several, positions, token_mask
from vidcore.fusion.align import align, reference_stream
from vidcore.fusion.base import Fusion
from vidcore.fusion.config import CrossAttentionConfig


class CrossAttention(Fusion):
    """Every stream attends to the others and keeps what it was; their mean, on one grid, is the result.

        x_s = LN(P_s f_s)                                           P_s: to ``width`` channels, token by token
        y_s = LN(x_s + dropout(mean_r A_s(x_s + e_s, x_r + e_r, x_r)))      over all other streams r
        z   = mean_s R(y_s)                                         R: to the steps and grid of ``reference``

    A_s(query, key, value) is multi-head attention (Vaswani et al. 2017, arXiv:1706.03762; between two
    streams as in ViLBERT, Lu et al. 2019, arXiv:1908.02265). The tokens of a stream are all cells of all its
    steps, or its steps with ``pool``; e encodes the time of each in frames and its place, in queries and keys
    alone, so streams of other rates and grids find each other by when and where, not by number. With
    ``direction="one"`` the reference alone attends, and z = y of the reference.

    Padded steps are attended to by none. A step looks at the whole clip: the result is not causal.

    Input   {s: (B, D_s, T_s, H_s, W_s)}, two streams or more
    Output  (B, width, T, H, W), the grid of ``reference``; (B, width, T, 1, 1) with ``pool``

    Raises:
        WiringError: one stream only; or one that is attended to has a single token, over which the attention
            would be 1 whatever it holds.
        ConfigError: ``heads`` do not divide ``width``.
    """

    config: CrossAttentionConfig

    def __init__(self, spec: FusionSpec, config: CrossAttentionConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__(spec, config, streams)
        need_several(self.streams, spec.name)
        check_heads(config.width, config.heads, spec.name)
        self.reference = reference_stream(self.streams, config.reference, spec.name)
        self.queries = tuple(self.streams) if config.direction == "both" else (self.reference,)
        self._refuse_single_keys()
        self.tokens = nn.ModuleList(StreamTokens(i.dim, config.width, config.pool) for i in self.streams.values())
        self.attend = nn.ModuleList(
            nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True) for _ in self.queries
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in self.queries)

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
        maps = self._embedded(streams)
        parts = []
        for query, attend, norm in zip(self.queries, self.attend, self.norms, strict=True):
            heard = [self._heard(attend, maps[query], maps[key])[0] for key in self._keys(query)]
            tokens = norm(maps[query].tokens() + self.dropout(torch.stack(heard).mean(0)))
            parts.append(align(as_map(tokens, maps[query]), maps[self.reference]))
        return replace(maps[self.reference], data=torch.stack(parts).mean(0))

    def attention(self, streams: Mapping[str, FeatureMap]) -> dict[tuple[str, str], Tensor]:
        """How much each token of a stream attends to each token of another.

        Returns:
            {(query, key): (B, heads, N_query, N_key)} for every pair that attends; a row sums to one (in
            eval mode, without dropout) and is zero at padding. Tokens are time-major, then rows, then columns.
        """
        maps = self._embedded(streams)
        weights = {}
        for query, attend in zip(self.queries, self.attend, strict=True):
            for key in self._keys(query):
                weights[query, key] = self._heard(attend, maps[query], maps[key], weights=True)[1]
        return weights

    def _embedded(self, streams: Mapping[str, FeatureMap]) -> dict[str, FeatureMap]:
        return {name: embed(streams[name]) for name, embed in zip(self.streams, self.tokens, strict=True)}

    def _keys(self, query: str) -> list[str]:
        return [name for name in self.streams if name != query]

    def _heard(
        self, attend: nn.Module, query: FeatureMap, key: FeatureMap, weights: bool = False
    ) -> tuple[Tensor, Tensor]:
        values, real = key.tokens(), key.readable()
        heard: tuple[Tensor, Tensor] = attend(
            query.tokens() + positions(query),
            values + positions(key),
            values,
            key_padding_mask=None if real is None else ~token_mask(real, key),
            need_weights=weights,
            average_attn_weights=False,
        )
        return heard

    def _refuse_single_keys(self) -> None:
        keys = {key for query in self.queries for key in self._keys(query)}
        for name in sorted(keys):
            info = self.streams[name]
            if info.stride[0] is None and (info.pooled or self.config.pool):
                raise WiringError(
                    f"fusion {self.spec.name!r}: stream {name!r} is one vector per clip, and attention over a single "
                    "key is 1 whatever it holds; take an output of it that has steps or a grid"
                    f"{' (or pool: false)' if not info.pooled else ''}, make it the reference with direction: one, "
                    "or use --fusion concat"
                )
