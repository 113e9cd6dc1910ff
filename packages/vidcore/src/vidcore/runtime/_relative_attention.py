"""MViT's attention with its relative positions inside one fused product."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.runtime._copy import replace

Grid = tuple[int, int, int]


class RelativeAttention(nn.Module):
    """What torchvision's ``MultiscaleAttention`` computes, without its (queries, keys) table of positions.

    The published logits (Li et al. 2022, arXiv:2112.01526) are

        a_ij = s q_i k_j + q_i R^t[t_i, t_j] + q_i R^h[h_i, h_j] + q_i R^w[w_i, w_j]

    and each of the last three is a product of a row of q_i R (one entry per key position on that axis) and the
    one-hot position of key j. So with both appended to queries and keys

        a_ij = [s q_i, q_i R^t, q_i R^h, q_i R^w] . [k_j, e(t_j), e(h_j), e(w_j)]

    which scaled-dot-product attention takes as it is. Class tokens get zeros, as published. torchvision adds a table of
    the size of the attention map in place into a slice of it, which took most of the time in OpenVINO.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, thw: Grid) -> tuple[Tensor, Grid]:
        """Tokens (B, 1 + T*H*W, C), class token first, and their grid -> the same after attention and pooling."""
        attention: Any = self.attention
        batch = x.shape[0]
        heads, width = attention.num_heads, attention.head_dim
        query, key, value = attention.qkv(x).unflatten(2, (3, heads, width)).permute(2, 0, 3, 1, 4).unbind(0)
        grid = thw
        if attention.pool_k is not None:
            key, grid = attention.pool_k(key, thw)
        if attention.pool_v is not None:
            value = attention.pool_v(value, thw)[0]
        if attention.pool_q is not None:
            query, thw = attention.pool_q(query, thw)
        scaled = attention.scaler * query
        if attention.rel_pos_h is None:
            out = F.scaled_dot_product_attention(scaled, key, value, scale=1.0)
        else:
            scaled = torch.cat([scaled, self._positions(query, thw, grid)], -1)
            key = torch.cat([key, one_hot_positions(grid, key).expand(batch, heads, -1, -1)], -1)
            # Fused kernels want values as wide as queries; the added columns are zeros and cut off.
            padded = F.pad(value, (0, key.shape[-1] - width))
            out = F.scaled_dot_product_attention(scaled, key, padded, scale=1.0)[..., :width]
        if attention.residual_pool:
            first = 0 if attention.residual_with_cls_embed else 1
            out = out + query if first == 0 else torch.cat([out[:, :, :1], out[:, :, 1:] + query[:, :, 1:]], 2)
        return attention.project(out.transpose(1, 2).flatten(2)), thw

    def _positions(self, query: Tensor, queries: Grid, keys: Grid) -> Tensor:
        """q_i R on each axis: (B, heads, 1 + queries, sum of the keys' grid)."""
        attention: Any = self.attention
        cells = query[:, :, 1:].unflatten(2, queries)
        tables = [
            relative_table(table, length, other)
            for table, length, other in zip(
                (attention.rel_pos_t, attention.rel_pos_h, attention.rel_pos_w), queries, keys, strict=True
            )
        ]
        axes = [
            torch.einsum(equation, cells, table)
            for equation, table in zip(
                ("bnthwc,tkc->bnthwk", "bnthwc,hkc->bnthwk", "bnthwc,wkc->bnthwk"), tables, strict=True
            )
        ]
        return F.pad(torch.cat(axes, -1).flatten(2, 4), (0, 0, 1, 0))


def relative_table(table: Tensor, queries: int, keys: int) -> Tensor:
    """Embedding of each (query, key) distance on one axis: (distances, C) -> (queries, keys, C)."""
    wanted = 2 * max(queries, keys) - 1
    if table.shape[0] != wanted:
        table = F.interpolate(table.T[None], size=wanted, mode="linear")[0].T
    stretch, squeeze = max(keys / queries, 1.0), max(queries / keys, 1.0)
    rows = torch.arange(queries, device=table.device)[:, None] * stretch
    columns = (torch.arange(keys, device=table.device)[None] + (1.0 - keys)) * squeeze
    return table[(rows - columns).long()]


def one_hot_positions(grid: Grid, like: Tensor) -> Tensor:
    """Positions of a class token and the cells of ``grid``: (1 + T*H*W, T + H + W), the class token's all zero."""
    where = torch.meshgrid(*(torch.arange(length, device=like.device) for length in grid), indexing="ij")
    hot = [F.one_hot(axis.flatten(), length) for axis, length in zip(where, grid, strict=True)]
    return F.pad(torch.cat(hot, 1), (0, 0, 1, 0)).to(like.dtype)


def use_relative_attention(root: nn.Module) -> bool:
    """Replace torchvision's attention in ``root``; whether there was any."""
    # Importing torchvision takes as long as importing torch; a network that holds such a module has done so.
    mvit = sys.modules.get("torchvision.models.video.mvit")
    if mvit is None:
        return False
    # A subclass may compute something else.
    names = [name for name, module in root.named_modules() if type(module) is mvit.MultiscaleAttention]
    for name in names:
        replace(root, name, RelativeAttention(root.get_submodule(name)))
    return bool(names)
