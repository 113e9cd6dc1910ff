"""The Transformer block of the factorised ViViT: pre-norm attention, then a pre-norm SwiGLU, each on a residual."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from .architecture import Architecture, Norm
from .positions import rotate

# The memory-efficient CUDA kernel puts sequences on a grid axis of at most this many (pytorch/pytorch#142228).
# 224 x 224 in 4 x 4 patches reaches it, in the temporal stage, at 21 clips.
MAX_SEQUENCES = 65_535


def make_norm(kind: Norm, width: int) -> nn.Module:
    """Normalisation over the last axis, ``width`` channels."""
    if kind == "rms_norm":
        # torch's default epsilon follows the input's dtype and is as large as 8e-3 in bfloat16.
        return nn.RMSNorm(width, eps=1e-6)
    return nn.LayerNorm(width)


class Attention(nn.Module):
    """Multi-head self-attention through PyTorch's fused kernels, with optional rotary positions.

        o_h = softmax(R q_h (R k_h)^T / sqrt(d) + mask) v_h,    out = W_o [o_1 .. o_heads] + b

    Queries, keys and values come from one linear map without bias, as in V1T and ViV1T.

    Args:
        width: D.
        heads: number of heads.
        head_dim: d.
        causal: a token sees itself and the tokens before it.
        dropout: of the concatenated heads and of the output.
    """

    def __init__(self, width: int, heads: int, head_dim: int, *, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.causal = causal
        self.to_qkv = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, angles: Tensor | None = None) -> Tensor:
        """Attend among the N tokens of each of S sequences.

        Args:
            tokens: (S, N, D).
            angles: (N, d / 2), or None for no rotation.

        Returns:
            (S, N, D).
        """
        qkv = self.to_qkv(tokens).unflatten(-1, (3, self.heads, self.head_dim))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        heads = self.dropout(self._attend(query, key, value).transpose(1, 2).flatten(2))
        out: Tensor = self.dropout(self.to_out(heads))
        return out

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if len(query) <= MAX_SEQUENCES:
            return F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        parts = zip(*(torch.split(x, MAX_SEQUENCES) for x in (query, key, value)), strict=True)
        return torch.cat([F.scaled_dot_product_attention(q, k, v, is_causal=self.causal) for q, k, v in parts])


class SwiGLU(nn.Module):
    """Gated feed-forward of Shazeer (arXiv:2002.05202): ``W_2 (silu(W_g x + b_g) * (W_1 x + b_1)) + b_2``.

    ``W_1`` and ``W_g`` are one linear map, values first and gates second as in ViV1T.

    Args:
        width: D.
        hidden: channels after the gate.
        dropout: of the hidden channels and of the output.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        value, gate = self.expand(tokens).chunk(2, dim=-1)
        out: Tensor = self.dropout(self.contract(self.dropout(F.silu(gate) * value)))
        return out


class Block(nn.Module):
    """``x + drop(attention(norm(x)))``, then ``x + drop(swiglu(norm(x)))``.

    Sequential, as in ViV1T's Sensorium 2023 entry; its 2025 successor (doi:10.1101/2025.09.16.676524) computes both
    branches from one norm in parallel. A dropped branch is dropped for a whole sequence (one time step's
    tokens in a spatial block, one cell's steps in a temporal block) and the surviving ones are scaled up by
    1 / (1 - p), so that the expectation is the branch itself (Huang et al., arXiv:1603.09382).

    Args:
        architecture: the network's numbers.
        causal: attention sees no later token.
    """

    def __init__(self, architecture: Architecture, *, causal: bool) -> None:
        super().__init__()
        a = architecture
        self.attention_norm = make_norm(a.norm, a.width)
        self.attention = Attention(a.width, a.heads, a.head_dim, causal=causal, dropout=a.attention_dropout)
        self.feedforward_norm = make_norm(a.norm, a.width)
        self.feedforward = SwiGLU(a.width, a.feedforward_width, a.feedforward_dropout)
        self.drop = StochasticDepth(a.stochastic_depth, "row")

    def forward(self, tokens: Tensor, angles: Tensor | None = None) -> Tensor:
        """Map (S, N, D) to (S, N, D); ``angles`` as in :meth:`Attention.forward`."""
        tokens = tokens + self.drop(self.attention(self.attention_norm(tokens), angles))
        out: Tensor = tokens + self.drop(self.feedforward(self.feedforward_norm(tokens)))
        return out
