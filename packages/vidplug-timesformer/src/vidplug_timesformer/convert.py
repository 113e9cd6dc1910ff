"""Published TimeSformer parameter names -> those of transformers' ``TimesformerModel``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RULES = (
    (r"^(?:network\.|timesformer\.|model\.)+", ""),
    # mmaction2 (mmaction/models/backbones/timesformer.py): attention 0 of a layer is over time, 1 over space.
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^transformer_layers\.layers\.", "blocks."),
    (r"\.attentions\.0\.norm\.", ".temporal_norm1."),
    (r"\.attentions\.0\.attn\.in_proj_", ".temporal_attn.qkv."),
    (r"\.attentions\.0\.attn\.out_proj\.", ".temporal_attn.proj."),
    (r"\.attentions\.0\.temporal_fc\.", ".temporal_fc."),
    (r"\.attentions\.1\.norm\.", ".norm1."),
    (r"\.attentions\.1\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attentions\.1\.attn\.out_proj\.", ".attn.proj."),
    (r"\.ffns\.0\.norm\.", ".norm2."),
    (r"\.ffns\.0\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffns\.0\.layers\.1\.", ".mlp.fc2."),
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
    """The hub's files, the authors' ``.pyth`` and mmaction2's under one set of names, the classifier included."""
    converted = {}
    for name, value in published.items():
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        converted[name] = value
    return converted
