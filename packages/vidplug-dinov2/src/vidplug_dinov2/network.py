"""The networks, built by transformers from a configuration: nothing is looked up on the hub."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from .variants import Variant

# Pretraining ended at 518 pixels, so published position tables are 37 x 37 whatever size one runs at.
PRETRAINED_SIZE = 518


def build_v2(v: Variant) -> Dinov2Model | Dinov2WithRegistersModel:
    """DINOv2, with or without registers, and its 37x37 position table."""
    shared = {
        "hidden_size": v.width,
        "num_hidden_layers": v.depth,
        "num_attention_heads": v.heads,
        "mlp_ratio": 4,
        "use_swiglu_ffn": v.gated,
        "image_size": PRETRAINED_SIZE,
        "patch_size": v.patch,
        "attn_implementation": "sdpa",
    }
    if v.registers:
        return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(num_register_tokens=v.registers, **shared))
    return Dinov2Model(Dinov2Config(**shared))


def build_v3(v: Variant) -> DINOv3ViTModel:
    """DINOv3, whose positions are rotary: no table."""
    return DINOv3ViTModel(
        DINOv3ViTConfig(
            hidden_size=v.width,
            num_hidden_layers=v.depth,
            num_attention_heads=v.heads,
            intermediate_size=v.hidden,
            hidden_act="silu" if v.gated else "gelu",
            use_gated_mlp=v.gated,
            num_register_tokens=v.registers,
            patch_size=v.patch,
            attn_implementation="sdpa",
        )
    )


def embed_v2(network: Dinov2Model | Dinov2WithRegistersModel, frames: Tensor, offset: float) -> Tensor:
    """Frames (N, 3, H, W) -> tokens (N, 1 + registers + H/14 * W/14, D), positions added.

    With ``offset`` the position table is stretched by (H/14 + offset) / 37, as the reference
    implementation does with 0.1 (``interpolate_pos_encoding`` of facebookresearch/dinov2).
    """
    embeddings = network.embeddings
    if not offset:
        tokens: Tensor = embeddings(frames)
        return tokens
    patches = embeddings.patch_embeddings(frames)
    size = network.config.patch_size
    rows, columns = frames.shape[2] // size, frames.shape[3] // size
    table = embeddings.position_embeddings
    side = PRETRAINED_SIZE // size
    grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if (rows, columns) != (side, side):
        registers = hasattr(embeddings, "register_tokens")
        scale = [(rows + offset) / side, (columns + offset) / side]
        # The models with registers were published with antialiased interpolation, the others without.
        grid = F.interpolate(grid.float(), scale_factor=scale, mode="bicubic", antialias=registers).to(table.dtype)
    tokens = patches + grid.flatten(2).transpose(1, 2)
    first = [embeddings.cls_token + table[:, :1]]
    if hasattr(embeddings, "register_tokens"):
        first.append(embeddings.register_tokens)
    return torch.cat([*(token.expand(len(frames), -1, -1) for token in first), tokens], 1)
