"""Published DINOv2 and DINOv3 parameter names -> the names of the installed transformers.

Three layouts are in circulation: the authors' own files (one fused ``qkv``), the files on the
Hugging Face hub, and the names transformers gives its modules, which changed between its versions
while the hub's files stayed. Every layout is first brought to the hub's, then to the installed one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

_Rules = tuple[tuple[str, str], ...]

_WRAPPERS = re.compile(r"^(?:(?:network|module|backbone|dinov2|dinov2_with_registers)\.)+")
_ORIGINAL_BLOCK = re.compile(r"^blocks\.\d+\.")
_FUSED = re.compile(r"^(.*\.)qkv\.(weight|bias)$")

_ORIGINAL_V2: _Rules = (
    (r"^(cls_token|mask_token|register_tokens)$", r"embeddings.\1"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    # Training checkpoints keep blocks in chunks: the last number is the block's.
    (r"^blocks\.(?:\d+\.)?(\d+)\.", r"encoder.layer.\1."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.(query|key|value)\.", r".attention.attention.\1."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
    (r"\.mlp\.w12\.", ".mlp.weights_in."),
    (r"\.mlp\.w3\.", ".mlp.weights_out."),
    (r"^norm\.", "layernorm."),
)
_NEWER_V2: _Rules = (
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.down_proj\.", ".mlp.weights_out."),
)
_TO_NEWER_V2: _Rules = (
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.mlp\.weights_out\.", ".mlp.down_proj."),
)
_ORIGINAL_V3: _Rules = (
    (r"^(cls_token|mask_token)$", r"embeddings.\1"),
    (r"^storage_tokens$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"^blocks\.(\d+)\.", r"model.layer.\1."),
    (r"^layer\.", "model.layer."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.query\.", ".attention.q_proj."),
    (r"\.attn\.key\.", ".attention.k_proj."),
    (r"\.attn\.value\.", ".attention.v_proj."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
    (r"\.mlp\.w1\.", ".mlp.gate_proj."),
    (r"\.mlp\.(?:fc1|w2)\.", ".mlp.up_proj."),
    (r"\.mlp\.(?:fc2|w3)\.", ".mlp.down_proj."),
)
# The key bias is masked to zero in the authors' attention; the rotary periods are recomputed.
_UNUSED_V3 = re.compile(r"(?:\.qkv\.bias_mask|\.attention\.k_proj\.bias|^rope_embed\.periods)$")


def convert_v2(published: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """DINOv2 weights in any of the three layouts, under the names ``own`` of a ``Dinov2Model``."""
    hub = _merge_gates(_renamed(_split_qkv(_unwrapped(published)), _ORIGINAL_V2 + _NEWER_V2))
    if any(".q_proj." in name for name in own):
        return _split_gates(_renamed(hub, _TO_NEWER_V2))
    return hub


def is_original_v2(published: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the authors' own DINOv2 files."""
    return any(_ORIGINAL_BLOCK.match(_WRAPPERS.sub("", name)) for name in published)


def convert_v3(published: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """DINOv3 weights in the authors' or the hub's layout, under the names ``own`` of a ``DINOv3ViTModel``."""
    named = _renamed(_split_qkv(_unwrapped(published)), _ORIGINAL_V3)
    kept = {name: value for name, value in named.items() if name in own or not _UNUSED_V3.search(name)}
    mask = kept.get("embeddings.mask_token")
    if mask is not None and mask.dim() == 2:
        kept["embeddings.mask_token"] = mask[None]
    return kept


def _unwrapped(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {_WRAPPERS.sub("", name): value for name, value in published.items()}


def _renamed(tensors: Mapping[str, Tensor], rules: _Rules) -> dict[str, Tensor]:
    renamed = {}
    for name, value in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _split_qkv(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split = {}
    for name, value in tensors.items():
        fused = _FUSED.match(name)
        if fused:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            split.update({f"{fused[1]}{part}.{fused[2]}": piece for part, piece in parts})
        else:
            split[name] = value
    return split


def _merge_gates(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gate and value projections of SwiGLU, one above the other as in the published files."""
    merged = {name: value for name, value in tensors.items() if not re.search(r"\.mlp\.(gate|up)_proj\.", name)}
    for name, gate in tensors.items():
        value = tensors.get(name.replace(".gate_proj.", ".up_proj."))
        if ".mlp.gate_proj." in name and value is not None:
            merged[name.replace(".gate_proj.", ".weights_in.")] = torch.cat([gate, value])
    return merged


def _split_gates(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    split = {}
    for name, value in tensors.items():
        if ".mlp.weights_in." in name:
            halves = zip(("gate_proj", "up_proj"), value.chunk(2), strict=True)
            split.update({name.replace("weights_in", half): part for half, part in halves})
        else:
            split[name] = value
    return split
