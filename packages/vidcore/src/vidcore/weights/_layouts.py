"""Prefixes that wrap a network's names, and the layouts that are known by sight."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

# Attributes under which training programs keep the network; any nesting of them is taken off.
_USUAL = frozenset(
    {
        "_orig_mod",
        "backbone",
        "base_model",
        "ema",
        "ema_model",
        "encoder",
        "extractor",
        "feature_extractor",
        "model",
        "model_ema",
        "module",
        "net",
        "network",
        "student",
        "teacher",
        "video_model",
        "visual_encoder",
    }
)
_MOST_PREFIXES = 16

# (layout, a name of it begins so); the first that most names fit is named in messages.
_KNOWN = (
    ("PySlowFast", r"s[1-5](_fuse)?\.(pathway\d|conv_f2s|bn)"),
    ("mmaction2", r"(backbone\.)?((slow_path|fast_path)\.|layer[1-4]\.\d+\.conv\d\.(conv|bn)\.|conv1(_s|_t)?\.conv\.)"),
    ("mmaction2", r"(backbone\.)?transformer_layers\.layers\.\d+\.attentions\."),
    ("PyTorchVideo", r"blocks\.\d+\.(res_blocks|multipathway|conv\.|norm\.|pathway)"),
    ("I3D Inception (pytorch-i3d)", r"(Conv3d_\w+|Mixed_\w+)\."),
    ("torchvision's ResNet", r"(stem\.\d|layer[1-4]\.\d+\.(conv\d|bn\d|downsample))"),
    ("Swin Transformer", r"(layers|features)\.\d+\.(blocks\.)?\d+\.(attn|norm1)"),
    ("CLIP", r"(visual\.)?transformer\.resblocks\."),
    ("V-JEPA", r"(target_encoder|predictor)\."),
    ("transformers", r"([a-z0-9_]+\.)?(encoder\.layers?|embeddings|layers?)\.(\d+\.|[a-z_]+embed|cls_token)"),
    ("timm or the authors' ViT", r"(blocks\.\d+\.(attn|norm|mlp)|patch_embed\.|pos_embed|cls_token)"),
    ("a trained vidcore run", r"extractors\."),
)


def without_prefixes(published: Mapping[str, Tensor]) -> Iterable[tuple[str, dict[str, Tensor]]]:
    """The file's tensors as they are, then once for each usual prefix, without it; shortest first.

    Names that lack the prefix stay as they are, so that a classifier beside the backbone keeps its name.
    """
    yield "", dict(published)
    prefixes = {prefix for name in published for prefix in _usual_prefixes(name)}
    # A teacher is the average of its student.
    for prefix in sorted(prefixes, key=lambda p: (p.count("."), "teacher" not in p, p))[:_MOST_PREFIXES]:
        rest = {name: tensor for name, tensor in published.items() if not name.startswith(prefix)}
        inner = {n.removeprefix(prefix): tensor for n, tensor in published.items() if n.startswith(prefix)}
        yield prefix, {**rest, **inner}


def _usual_prefixes(name: str) -> Iterable[str]:
    words = name.split(".")[:-1]
    for place, word in enumerate(words, 1):
        if word not in _USUAL:
            return
        yield ".".join(words[:place]) + "."


def recognised(names: Iterable[str]) -> str:
    """The project whose layout most of the names have, or nothing."""
    bare = [_without_usual(name) for name in names]
    counts = {layout: sum(re.match(sign, name) is not None for name in bare) for layout, sign in reversed(_KNOWN)}
    best = max(reversed(counts), key=lambda layout: counts[layout])
    return best if bare and 3 * counts[best] > len(bare) else ""


def _without_usual(name: str) -> str:
    prefixes = [prefix for prefix in _usual_prefixes(name) if prefix not in ("encoder.",)]
    return name.removeprefix(prefixes[-1]) if prefixes else name
