"""Published VideoMAE parameter names -> those of transformers' ``VideoMAEModel``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_RULES = (
    (r"^(?:network\.|videomae\.)+", ""),
    # The authors' pretraining files keep the encoder beside a decoder.
    (r"^encoder\.(?=patch_embed\.|blocks\.|norm\.)", ""),
    # mmaction2 (mmaction/models/backbones/vit_mae.py).
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"\.mlp\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.mlp\.layers\.1\.", ".mlp.fc2."),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.attention."),
    (r"\.attention\.attention\.q_bias$", ".attention.attention.query.bias"),
    (r"\.attention\.attention\.v_bias$", ".attention.attention.value.bias"),
    (r"^(encoder\.layer\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"^(encoder\.layer\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc1\.", r"\1.intermediate.dense."),
    (r"^(encoder\.layer\.\d+)\.mlp\.fc2\.", r"\1.output.dense."),
    # Pretrained encoders end in a norm of every token; fine-tuned ones have it behind the pooling.
    (r"^(?:norm|fc_norm)\.", "layernorm."),
    (r"^head\.", "classifier."),
)
_FUSED = re.compile(r"^(encoder\.layer\..*\.)qkv\.weight$")


def convert(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The hub's files and the authors' own, pretrained or fine-tuned, under one set of names.

    The decoder keeps its names and is left over; so is the classifier where nothing asks for it.
    """
    converted: dict[str, Tensor] = {}
    for name, value in published.items():
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        fused = _FUSED.match(name)
        if fused:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            converted.update({f"{fused[1]}{part}.weight": piece for part, piece in parts})
        else:
            converted[name] = value
    return converted
