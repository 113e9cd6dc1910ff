"""The network, built by transformers from a configuration, with fused attention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import TimesformerConfig, TimesformerModel

from .variants import Variant


class FusedAttention(nn.Module):
    """Self-attention along one axis by the fused kernel; the library's own writes the attention matrix to memory.

    Takes over the projection of the module it replaces, so parameters and their names stay.

    Input   (N, tokens, D)
    Output  a one-tuple, as the library's blocks expect: (N, tokens, D)
    """

    def __init__(self, replaced: nn.Module, heads: int) -> None:
        super().__init__()
        self.qkv = replaced.qkv
        self.heads = heads

    def forward(self, hidden_states: Tensor, output_attentions: bool = False) -> tuple[Tensor]:
        """The library asks for no attention maps here; ``output_attentions`` is part of its call."""
        query, key, value = self.qkv(hidden_states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(query, key, value)
        return (context.transpose(1, 2).flatten(2),)


def build(v: Variant, classes: int = 0) -> TimesformerModel:
    """The encoder, and with classes the linear classifier of its class token."""
    network = TimesformerModel(
        TimesformerConfig(
            image_size=v.size,
            num_frames=v.frames,
            hidden_size=v.width,
            num_hidden_layers=v.depth,
            num_attention_heads=v.heads,
            intermediate_size=4 * v.width,
        )
    )
    for layer in network.encoder.layer:
        for axis in (layer.temporal_attention, layer.attention):
            axis.attention = FusedAttention(axis.attention, v.heads)
    if classes:
        network.classifier = nn.Linear(v.width, classes)
    return network
