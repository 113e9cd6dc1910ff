"""Where a token is: rotary, sinusoidal or learned, along one axis (time) or two (rows, columns).

Tables are computed from the grid of the clip at hand, never from a stored length, so any number of frames
and any aspect has exact positions; and no buffer is left uninitialised when a module built on the ``meta``
device is materialised. Rows come before columns and columns vary fastest, the order in which
``(B, D, T', H', W').flatten(-2)`` lays out tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .architecture import Position


def grid_positions(grid: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Token indices of a grid, row-major.

    Args:
        grid: tokens along each of A axes.
        device: where the result lives.

    Returns:
        (N, A) float32, N the product of ``grid``.
    """
    axes = [torch.arange(size, device=device, dtype=torch.float32) for size in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def axial_angles(positions: Tensor, pairs: int, base: float) -> Tensor:
    """Angle of every (sine, cosine) pair, the pairs shared equally among the axes.

        angle[n, a * P + i] = positions[n, a] * base^(-i / P),    P = pairs / A,    i = 0 .. P - 1

    For one axis these are the frequencies of Vaswani et al. (arXiv:1706.03762) and of RoFormer (Su et al.,
    arXiv:2104.09864). For two, the first half of the pairs belongs to rows and the second to columns.

    Args:
        positions: (N, A).
        pairs: a multiple of A.
        base: 10,000 in RoFormer and in ViV1T.

    Returns:
        (N, pairs) float32.
    """
    per_axis = pairs // positions.shape[-1]
    exponents = torch.arange(per_axis, device=positions.device, dtype=torch.float32) / per_axis
    return (positions.unsqueeze(-1) * base**-exponents).flatten(1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., arXiv:2104.09864) of queries or keys.

    Channel i forms a pair with channel i + d/2 (the "rotate half" layout of ViV1T, GPT-NeoX and DINOv3) and the
    pair turns by its angle, so that the product of a rotated query and a rotated key depends on the two
    positions through their difference alone.

    ViV1T additionally multiplies queries *and* keys by the decay of xPos (arXiv:2212.10554), which divides keys by
    it; with the same sign on both, logits depend on absolute positions and on the table's length, so it is left out.

    Args:
        x: (..., N, d).
        angles: (N, d / 2).

    Returns:
        (..., N, d) in the dtype of ``x``; the rotation itself is computed in float32 or wider, because half
        precision does not resolve neighbouring positions at the highest frequencies.
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def sinusoids(positions: Tensor, width: int, base: float) -> Tensor:
    """Fixed sinusoidal encoding, axial for more than one axis.

    Args:
        positions: (N, A).
        width: D, a multiple of 2 A.
        base: 10,000 in Vaswani et al.

    Returns:
        (N, D) float32: all sines, then all cosines.
    """
    angles = axial_angles(positions, width // 2, base)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class LearnedTime(nn.Module):
    """One trained vector per time step, counted from the first frame.

    The table is cut to the clip, never stretched over it: stretching would move the early steps when
    later frames arrive, and the network would no longer be causal.

    Args:
        steps: T', the longest clip the table serves.
        width: D.
    """

    def __init__(self, steps: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(steps, width))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, grid: Sequence[int]) -> Tensor:
        """Vectors of the first ``grid[0]`` steps, (T', D).

        Raises:
            ValueError: the clip has more steps than the table.
        """
        (steps,) = grid
        if steps > len(self.table):
            raise ValueError(
                f"the clip has {steps} time steps, the learned temporal positions {len(self.table)}; "
                "pass shorter clips, build with a longer learned_grid, or use temporal_position='rope'"
            )
        return self.table[:steps]


class LearnedSpace(nn.Module):
    """One trained vector per grid cell, resampled (bicubic) when a clip has another grid.

    Args:
        grid: (H', W') of the table.
        width: D.
    """

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(width, *grid))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, grid: Sequence[int]) -> Tensor:
        """Vectors of an (H', W') grid, (H' * W', D)."""
        if tuple(grid) == tuple(self.table.shape[1:]):
            return self.table.flatten(1).T
        resampled = F.interpolate(self.table[None], tuple(grid), mode="bicubic", align_corners=False)
        return resampled[0].flatten(1).T


class PositionEncoding(nn.Module):
    """One of the three encodings behind one interface: what to add to tokens, and by what to turn queries and keys.

    Args:
        kind: ``rope`` gives angles and adds nothing; the other two add and give no angles.
        width: D.
        head_dim: channels of one attention head.
        base: of the frequencies.
        learned: the table's grid, one number for time, two for space; read by ``learned`` only.
    """

    def __init__(
        self, kind: Position, *, width: int, head_dim: int, base: float, learned: tuple[int, ...] | None
    ) -> None:
        super().__init__()
        self.kind = kind
        self.width = width
        self.head_dim = head_dim
        self.base = base
        self.table: LearnedTime | LearnedSpace | None = None
        if kind == "learned":
            if learned is None:
                raise ValueError("learned positions want the grid of their table, got None")
            if len(learned) == 1:
                self.table = LearnedTime(learned[0], width)
            else:
                self.table = LearnedSpace((learned[0], learned[1]), width)

    def forward(self, tokens: Tensor, grid: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Place tokens on their grid.

        Args:
            tokens: (S, N, D), N the product of ``grid``.
            grid: (T',) or (H', W').

        Returns:
            The tokens, (S, N, D), and the rotary angles, (N, head_dim / 2), or None.
        """
        if self.table is not None:
            return tokens + self.table(grid).to(tokens.dtype), None
        positions = grid_positions(grid, tokens.device)
        if self.kind == "rope":
            return tokens, axial_angles(positions, self.head_dim // 2, self.base)
        return tokens + sinusoids(positions, self.width, self.base).to(tokens.dtype), None
