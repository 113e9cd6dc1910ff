"""A Transformer over the steps."""

from __future__ import annotations

from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo, sinusoid
from vidcore.readouts._steps import check_heads, declared, held, past, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import TransformerConfig


class Transformer(Readout):
    """A pre-norm Transformer encoder over the steps, each averaged over space (Vaswani et al. 2017, arXiv:1706.03762).

    Every step carries the sinusoidal encoding of its time in frames, so the order counts, and so does the
    distance: steps of any rate and number can be read. Per clip the result is the mean of the real steps. With
    ``causal`` a step attends to itself and the earlier ones and is a result of its own; with ``per_step`` every
    step is one and attends to all. Padded steps are attended to by none.

    Input   (B, D, T', H', W')
    Output  (B, width), or (B, T', width) with ``causal`` or ``per_step``

    Raises:
        ConfigError: ``heads`` do not divide ``width``.
    """

    config: TransformerConfig

    def __init__(self, spec: ReadoutSpec, config: TransformerConfig, features: FeatureInfo) -> None:
        super().__init__(declared(spec, config.causal), config, features)
        c = config
        check_heads(c.width, c.heads, spec.name)
        self.per_step = c.causal or c.per_step
        self.embed = nn.Sequential(nn.LayerNorm(features.dim), nn.Linear(features.dim, c.width))
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(
                c.width, c.heads, c.mlp_ratio * c.width, c.dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(c.depth)
        )
        self.norm = nn.LayerNorm(c.width)

    @property
    def spatial(self) -> bool:
        """No: it reads the spatial mean."""
        return False

    @property
    def output(self) -> ReadoutInfo:
        """``width`` channels."""
        return ReadoutInfo(self.config.width, self.per_step)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, width) or (B, T', width)."""
        # With the real steps first every step has one to attend to, itself or an earlier one.
        ordered = real_first(features)
        x: Tensor = self.embed(ordered.sequence())
        x = x + sinusoid(ordered.times, self.config.width).to(x.dtype)
        later = ~past(features.steps, x) if self.config.causal else None
        padded = None if ordered.mask is None else ~ordered.mask
        for block in self.encoder:
            x = block(x, src_mask=later, src_key_padding_mask=padded)
        x = self.norm(x)
        if self.per_step:
            return held(x, features)
        if ordered.mask is None:
            return x.mean(1)
        weight = ordered.mask.to(x.dtype)[..., None]
        return (x * weight).sum(1) / weight.sum(1)
