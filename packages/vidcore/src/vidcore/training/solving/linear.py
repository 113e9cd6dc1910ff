"""A linear head with an L2 penalty, fitted to convergence."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidcore.heads.base import Head

Vector = NDArray[np.float64]

_EXACT = {"maxiter": 1000, "maxcor": 20, "gtol": 1e-6, "ftol": 1e-10}
# Enough to compare penalties, whose losses differ in the third digit, in a third of the time.
_NEAR = {"maxiter": 200, "maxcor": 20, "gtol": 1e-4, "ftol": 1e-6}


class LinearFit:
    """Minimises the head's own mean loss plus ``penalty / 2`` times the squared norm of the weights.

    The bias is free. The minimum is unique; L-BFGS (Liu & Nocedal 1989; SciPy's) finds it from any start.

    Args:
        head: nothing but its ``output_layer``.
    """

    def __init__(self, head: Head) -> None:
        self.head = copy.deepcopy(head).cpu().eval().requires_grad_(False)
        layer = self.head.output_layer
        if layer is None:
            raise TypeError(f"head {head.spec.name!r} has no linear output layer")
        self.outputs = layer.out_features
        self._biased = layer.bias is not None
        # The head then takes what the layer would give, and the product stays out of autograd.
        self.head.set_submodule(next(name for name, part in self.head.named_modules() if part is layer), nn.Identity())

    def start(self, width: int) -> Vector:
        """Zeros for weights (C, width) and bias (C,), as one vector."""
        return np.zeros(self.outputs * (width + self._biased))

    def fit(self, z: Tensor, targets: Tensor, penalty: float, start: Vector, *, exact: bool = False) -> Vector:
        """Weights and bias as one vector; ``start`` decides how long it takes, not what is found.

        Args:
            z: (N, r) float64.
            targets: (N, ...).
            penalty: above 0.
            start: such a vector.
            exact: whether to go on until nothing changes any more, or only near that.
        """
        from scipy.optimize import minimize

        rows = z.numpy()

        def cost(theta: Vector) -> tuple[float, Vector]:
            weight, bias = self._parts(theta)
            given = torch.from_numpy(rows @ weight.T + bias).requires_grad_()
            loss = self.head.loss(self.head(given), targets)
            (slope,) = torch.autograd.grad(loss, given)
            found = slope.numpy().T @ rows + penalty * weight
            parts = [found.ravel(), slope.numpy().sum(0)] if self._biased else [found.ravel()]
            return loss.item() + penalty / 2 * float((weight * weight).sum()), np.concatenate(parts)

        found: Vector = minimize(cost, start, jac=True, method="L-BFGS-B", options=_EXACT if exact else _NEAR).x
        return found

    @torch.no_grad()
    def answers(self, z: Tensor, theta: Vector) -> dict[str, Tensor]:
        """The head's outputs for rows ``z``."""
        weight, bias = self._parts(theta)
        found: dict[str, Tensor] = self.head(torch.from_numpy(z.numpy() @ weight.T + bias))
        return found

    @torch.no_grad()
    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> float:
        """The head's mean loss."""
        return float(self.head.loss(outputs, targets))

    @torch.no_grad()
    def losses(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """(N,) the head's loss of each row by itself."""
        rows = range(len(targets))
        parts = ({name: tensor[i : i + 1] for name, tensor in outputs.items()} for i in rows)
        each = [self.head.loss(part, targets[i : i + 1]) for i, part in zip(rows, parts, strict=True)]
        return torch.stack(each).double()

    def split(self, theta: Vector) -> tuple[Tensor, Tensor | None]:
        """Weights (C, r) and bias (C,)."""
        weight, bias = self._parts(theta)
        return torch.from_numpy(weight), torch.from_numpy(bias) if self._biased else None

    def _parts(self, theta: Vector) -> tuple[Vector, Vector]:
        width = len(theta) // self.outputs - self._biased
        size = self.outputs * width
        bias = theta[size:] if self._biased else np.zeros(self.outputs)
        return theta[:size].reshape(self.outputs, width), bias


def joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Outputs of several folds as those of one set of rows."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
