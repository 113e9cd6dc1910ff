"""Features in the smallest space that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Relative to the largest eigenvalue of a Gram matrix in float64.
_RANK = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """Rows ``z`` (N, r), and ``back`` (r, K) from weights there to weights of all columns: (C, r) @ (r, K)."""

    z: Tensor
    back: Tensor


class RowSpace:
    """Blocks of columns, each weighed as a whole, in at most as many dimensions as there are rows.

    An L2 penalty leaves the weights in the span of the rows, and no rotation changes it: with fewer rows than
    columns the problem is solved in coordinates Z (N, r) with Z Z^T = X X^T, X being the weighed columns.

    Args:
        vectors: (N, K) float64.
        columns: {block: its columns}; what is in no block has no weight.
    """

    def __init__(self, vectors: Tensor, columns: Mapping[str, Tensor]) -> None:
        self._vectors = vectors
        self._columns = columns
        self._size = {name: float(vectors[:, own].square().sum(1).mean()) for name, own in columns.items()}
        """Mean square norm of the rows of each block."""
        wide = vectors.shape[1] > len(vectors)
        self._grams = {name: vectors[:, own] @ vectors[:, own].T for name, own in columns.items()} if wide else {}

    @property
    def alive(self) -> list[str]:
        """Blocks in which the rows differ from 0."""
        return [name for name, size in self._size.items() if size > 0]

    def at(self, shares: Mapping[str, float]) -> Coordinates:
        """The rows where block s has ``shares[s]`` of the mean square norm, which is 1; 0 leaves a block out."""
        factors = {name: share / self._size[name] for name, share in shares.items() if share > 0}
        weigh = torch.zeros(self._vectors.shape[1], dtype=self._vectors.dtype)
        for name, factor in factors.items():
            weigh[self._columns[name]] = factor**0.5
        if not self._grams:
            used = weigh > 0
            return Coordinates(self._vectors[:, used] * weigh[used], torch.diag(weigh)[used])
        gram = torch.stack([factor * self._grams[name] for name, factor in factors.items()]).sum(0)
        values, vectors = torch.linalg.eigh(gram)
        kept = values > _RANK * values[-1]
        values, vectors = values[kept], vectors[:, kept]
        # Weights of X weigh: Z^+ X weigh; of X: once more times weigh.
        return Coordinates(vectors * values.sqrt(), (vectors / values.sqrt()).T @ self._vectors * weigh.square())
