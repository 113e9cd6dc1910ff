"""Attentive pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts._steps import check_heads, declared, held, past, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import AttentionConfig

_MLP_RATIO = 4


class AttentionPool(Readout):
    """Learned queries attend to every token; their mean is the result.

    With ``blocks`` it is the attentive probe by which V-JEPA is evaluated (Bardes et al. 2024,
    arXiv:2404.08471, section 4.2): the queries' cross-attention is a whole Transformer block, with residuals and
    an MLP, and ``blocks - 1`` blocks of self-attention over the tokens come before it (V-JEPA 2,
    arXiv:2506.09985, probes with four). Times are not encoded: what the extractor says of order is all there is.

    With ``causal`` every step has a result: the queries attend to the tokens of the steps so far, which
    attend to none that are later. Padded steps are attended to by none.

    Input   (B, D, T', H', W')
    Output  (B, width), or (B, T', width) with ``causal``

    Raises:
        ConfigError: the width is not a multiple of ``heads``.
    """

    config: AttentionConfig

    def __init__(self, spec: ReadoutSpec, config: AttentionConfig, features: FeatureInfo) -> None:
        super().__init__(declared(spec, config.causal), config, features)
        self.width = config.width or features.dim
        check_heads(self.width, config.heads, spec.name)
        # The tokens keep their own width where no block of ours reads them.
        inside = self.width if config.blocks > 1 else features.dim
        self.embed = nn.Linear(features.dim, inside) if inside != features.dim else nn.Identity()
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                inside, config.heads, _MLP_RATIO * inside, 0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.blocks - 1)
        )
        self.queries = nn.Parameter(torch.randn(config.queries, self.width) * 0.02)
        self.norm = nn.LayerNorm(inside)
        self.key_value = nn.Linear(inside, 2 * self.width)
        self.project = nn.Linear(self.width, self.width)
        self.block = _QueryBlock(self.width) if config.blocks else None

    @property
    def output(self) -> ReadoutInfo:
        """``width`` channels."""
        return ReadoutInfo(self.width, self.config.causal)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, width) or (B, T', width)."""
        # With the real steps first every step has one to attend to, itself or an earlier one.
        ordered = real_first(features)
        tokens = self.embed(ordered.tokens())
        cells = tokens.shape[1] // ordered.steps
        real = None if ordered.mask is None else ordered.mask.repeat_interleave(cells, 1)
        # (T, N): the tokens that each step may see.
        seen = past(ordered.steps, tokens).repeat_interleave(cells, 1) if self.config.causal else None
        tokens = self._encoded(tokens, real, seen)
        if seen is None:
            return self._pooled(tokens, None if real is None else real[:, None]).squeeze(1)
        allowed = seen[None] if real is None else seen & real[:, None]
        return held(self._pooled(tokens, allowed), features)

    def _encoded(self, tokens: Tensor, real: Tensor | None, seen: Tensor | None) -> Tensor:
        later = None if seen is None else ~seen.repeat_interleave(tokens.shape[1] // seen.shape[0], 0)
        padded = None if real is None else ~real
        for block in self.encoder:
            tokens = block(tokens, src_mask=later, src_key_padding_mask=padded)
        return tokens

    def _keys_values(self, tokens: Tensor) -> Tensor:
        """``key_value(norm(tokens))``, the norm's scale and shift taken into the projection.

        On stored features the normalised tokens then carry no gradient, which is a third of the products of a step,
        and many members of a grid share them.
        """
        norm, project = self.norm, self.key_value
        plain = F.layer_norm(tokens, norm.normalized_shape, eps=norm.eps)
        return F.linear(plain, project.weight * norm.weight, project.bias + project.weight @ norm.bias)

    def _pooled(self, tokens: Tensor, allowed: Tensor | None) -> Tensor:
        """Results (B, S, width) of the queries, for each of S sets ``allowed`` (1 or B, S, N) of tokens."""
        batch, heads, number = tokens.shape[0], self.config.heads, self.config.queries
        sets = 1 if allowed is None else allowed.shape[1]
        asked = self.queries if self.block is None else self.block.query(self.queries)
        keys, values = self._keys_values(tokens).unflatten(2, (2, heads, -1)).permute(2, 0, 3, 1, 4)
        asked = asked.reshape(number, heads, -1).transpose(0, 1).repeat(1, sets, 1).expand(batch, -1, -1, -1)
        mask = None if allowed is None else allowed.repeat_interleave(number, 1)[:, None]
        heard = F.scaled_dot_product_attention(asked.to(keys.dtype), keys, values, attn_mask=mask)
        results = self.project(heard.transpose(1, 2).flatten(2)).unflatten(1, (sets, number))
        if self.block is not None:
            results = self.block(self.queries + results)
        mean: Tensor = results.mean(2)
        return mean


class _QueryBlock(nn.Module):
    """What a whole block has beside its attention: a projection of the queries, and an MLP with a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, _MLP_RATIO * width), nn.GELU(), nn.Linear(_MLP_RATIO * width, width))

    def forward(self, queries: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        result: Tensor = queries + self.mlp(self.norm(queries))
        return result
