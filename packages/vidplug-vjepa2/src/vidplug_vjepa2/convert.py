"""Published V-JEPA 2 parameter names -> those of transformers' ``VJEPA2Encoder``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_WRAPPERS = re.compile(r"^(?:(?:network|vjepa2|encoder|target_encoder|module|backbone)\.)+")
_FUSED = re.compile(r"^(layer\..*\.)qkv\.(weight|bias)$")
_RULES = (
    (r"^patch_embed\.", "embeddings.patch_embeddings."),
    (r"^blocks\.", "layer."),
    (r"^(layer\.\d+)\.attn\.", r"\1.attention."),
    (r"^norm\.", "layernorm."),
)


def convert(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder of the hub's files and of the authors' own under one set of names.

    The authors' checkpoints hold ``encoder`` beside its moving average, ``target_encoder``. The average is taken: it is
    what their evaluations load (``checkpoint_key: target_encoder`` in configs/eval and configs/inference), so the
    published scores and probes belong to it. Their torch.hub entry loads ``encoder``, from which the hub's files were
    converted. What is no part of the encoder (predictor, pooler, classifier, optimiser) keeps its name
    and is left over; the student and the authors' unused position table are dropped.
    """
    averaged = any(name.startswith("target_encoder.") for name in published)
    converted: dict[str, Tensor] = {}
    for name, value in published.items():
        if averaged and name.startswith("encoder."):
            continue
        name = _WRAPPERS.sub("", name)
        if name == "pos_embed":
            continue
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        fused = _FUSED.match(name)
        if fused:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            converted.update({f"{fused[1]}{part}.{fused[2]}": piece for part, piece in parts})
        else:
            converted[name] = value
    return converted
