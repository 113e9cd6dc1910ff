"""Published parameter names -> torchvision's.

Other layouts: Video Swin Transformer (github.com/SwinTransformer/Video-Swin-Transformer) and mmaction2's
(mmaction/models/backbones/swin.py), which have the same names; MViT in PySlowFast (slowfast/models/attention.py,
video_model_builder.py) and mmaction2 (mmaction/models/backbones/mvit.py). torchvision's weights are these projects'
under other names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from vidcore.weights.rename import Layout, Renamed, convert_names

_SWIN = Layout(
    name="Video Swin Transformer",
    sign=r"layers\.0\.blocks\.0\.",
    rules=(
        # Stages and the mergers between them alternate in one sequence.
        *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i}.") for i in range(4)),
        *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i + 1}.") for i in range(4)),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^norm3\.", "norm."),
    ),
)
_MVIT_RULES = (
    (r"^patch_embed\.proj(ection)?\.", "conv_proj."),
    (r"^cls_token$", "pos_encoding.class_token"),
    (r"^pos_embed_(spatial|temporal|class)$", r"pos_encoding.\1_pos"),
    (r"\.attn\.proj\.", ".attn.project.0."),
    (r"\.attn\.(pool_[qkv])\.weight$", r".attn.\1.pool.weight"),
    (r"\.attn\.norm_([qkv])\.", r".attn.pool_\1.norm_act.0."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"^(blocks\.\d+)\.proj\.", r"\1.project."),
    (r"^norm3\.", "norm."),
)
_LAYOUTS = (
    _SWIN,
    Layout(name="mmaction2", sign=r"patch_embed\.projection\.", rules=_MVIT_RULES),
    Layout(name="PySlowFast", sign=r"blocks\.\d+\.attn\.pool_[qkv]\.weight", rules=_MVIT_RULES),
)


def convert(published: Mapping[str, Tensor], own: Collection[str]) -> Renamed:
    """The published names under ``network.``; what the extractor does not have keeps its published name."""
    return convert_names(_fused(published), own, _LAYOUTS)


def _fused(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values in one matrix, where PySlowFast was told to keep them apart (SEPARATE_QKV)."""
    found = dict(published)
    for name in published:
        stem, _, kind = name.rpartition(".q.")
        parts = [f"{stem}.{letter}.{kind}" for letter in "qkv"]
        if stem.endswith(".attn") and all(part in found for part in parts):
            found[f"{stem}.qkv.{kind}"] = torch.cat([found.pop(part) for part in parts])
    return found
