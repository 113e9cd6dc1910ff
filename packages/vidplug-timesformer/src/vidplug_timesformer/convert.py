"""Published TimeSformer parameter names -> those of transformers' ``TimesformerModel``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RULES = (
    (r"^(?:network\.|timesformer\.|model\.)+", ""),
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^time_embed$", "embeddings.time_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.temporal_norm1\.", ".temporal_layernorm."),
    (r"\.temporal_attn\.proj\.", ".temporal_attention.output.dense."),
    (r"\.temporal_attn\.qkv\.", ".temporal_attention.attention.qkv."),
    (r"\.temporal_fc\.", ".temporal_dense."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.qkv\.", ".attention.attention.qkv."),
    (r"^(encoder\.layer\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"^(encoder\.layer\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    (r"^norm\.", "layernorm."),
    (r"^head\.", "classifier."),
)


def convert(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The hub's files and the authors' ``.pyth`` under one set of names, the classifier included."""
    converted = {}
    for name, value in published.items():
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        converted[name] = value
    return converted
