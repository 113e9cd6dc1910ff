"""AdamW for many models at once: a learning rate, a decay and a count of steps per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from vidcore.training.optimisation import warmup_cosine

# Those of torch.optim.AdamW, which the trainer leaves as they are.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class StackedAdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) on the rows of (K, P).

    The update is that of ``torch.optim.AdamW`` with its defaults, after clipping each row by its own norm as
    ``torch.nn.utils.clip_grad_norm_`` does. Rows that take no part in a step keep their moments.

    Args:
        parameters: (K, P), a leaf; a step reads its ``grad`` and drops it.
        decayed: how many columns, from the left, are decayed.
        clip_norm: largest norm of a row's gradient; ``None``: any.
    """

    def __init__(self, parameters: Tensor, decayed: int, clip_norm: float | None) -> None:
        self.parameters = parameters
        self._decayed = decayed
        self._clip_norm = clip_norm
        self._mean = torch.zeros_like(parameters, requires_grad=False)
        self._square = torch.zeros_like(parameters, requires_grad=False)

    @torch.no_grad()
    def step(self, facts: Tensor, rows: Tensor | None) -> Tensor:
        """Take a step.

        Args:
            facts: (K, 3), a row of ``step_facts`` per member.
            rows: (A,) rows that take the step; ``None``: all.

        Returns:
            (A,) norms of the gradients before clipping.
        """
        gradient = self.parameters.grad
        if gradient is None:
            raise RuntimeError("no backward pass before this step")
        self.parameters.grad = None
        values, mean, square = self.parameters, self._mean, self._square
        if rows is not None:
            gradient, facts = gradient[rows], facts[rows]
            values, mean, square = values[rows], mean[rows], square[rows]
        norm: Tensor = torch.linalg.vector_norm(gradient, dim=1)
        if self._clip_norm is not None:
            gradient.mul_((self._clip_norm / (norm + 1e-6)).clamp_(max=1.0)[:, None])
        kept, size, correction = facts.to(values.dtype).split(1, 1)
        values[:, : self._decayed].mul_(kept)
        mean.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        # The gradient is used up: its memory holds the denominator, then the step.
        torch.sqrt(square, out=gradient)
        gradient.div_(correction).add_(EPSILON)
        values.sub_(torch.div(mean, gradient, out=gradient).mul_(size))
        if rows is not None:
            for whole, part in ((self.parameters, values), (self._mean, mean), (self._square, square)):
                whole.index_copy_(0, rows, part)
        return norm


def step_facts(rates: Sequence[float], weight_decay: float, first: int) -> Tensor:
    """What AdamW needs to know of each of the steps that follow ``first`` steps, for one member.

    Args:
        rates: (S,) learning rates.
        weight_decay: of the decayed parameters.
        first: steps taken before.

    Returns:
        float64 (S, 3): the factor 1 - lr wd of decayed parameters, the step's size lr / (1 - beta1^t), and the
        square root of 1 - beta2^t.
    """
    rate = np.asarray(rates)
    count = first + 1 + np.arange(len(rate), dtype=np.float64)
    return torch.from_numpy(
        np.stack([1 - rate * weight_decay, rate / (1 - BETA1**count), np.sqrt(1 - BETA2**count)], 1)
    )


@cache
def schedule(steps: int, warmup: float) -> Callable[[int], float]:
    """The factor of the learning rate after so many steps: the one rule of ``optimisation.warmup_cosine``."""
    carrier = SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    scale: Callable[[int], float] = warmup_cosine(carrier, steps, warmup).lr_lambdas[0]
    return scale
