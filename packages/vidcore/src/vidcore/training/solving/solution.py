"""What solving a linear head found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vidcore.heads.base import Head


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Weights of a head's output layer, and how they were chosen.

    weight       (C, K), already divided by the temperature
    bias         (C,)
    penalty      factor of half the squared norm of the weights, beside the mean loss
    temperature  by which the logits of the inner folds had to be divided; 1 where answers are no probabilities
    shares       of each stream in the mean square norm that the penalty sees; they sum to 1, and 0 is left out
    rows         that it was fitted to
    folds        inner folds; 0: none could be made, and the penalty is a fixed one
    train_loss   mean loss on the rows, without the penalty
    loss         mean loss of the inner folds' answers, calibrated; ``None`` without folds
    scores       the head's metrics of these answers
    """

    weight: Tensor
    bias: Tensor | None
    penalty: float
    temperature: float
    shares: Mapping[str, float]
    rows: int
    folds: int
    train_loss: float
    loss: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    @torch.no_grad()
    def apply(self, head: Head) -> None:
        """Give ``head`` these weights.

        Raises:
            TypeError: it has no output layer.
        """
        layer = head.output_layer
        if layer is None:
            raise TypeError(f"head {head.spec.name!r} has no linear output layer")
        layer.weight.copy_(self.weight)
        if layer.bias is not None and self.bias is not None:
            layer.bias.copy_(self.bias)

    def facts(self) -> dict[str, Any]:
        """Plain data for ``results.json``."""
        return {
            "penalty": self.penalty,
            "temperature": self.temperature,
            "shares": dict(self.shares),
            "rows": self.rows,
            "inner_folds": self.folds,
            "inner_loss": self.loss,
            "inner_scores": dict(self.scores),
        }

    def in_words(self) -> str:
        """One line."""
        if self.loss is None:
            how = f"penalty {self.penalty:.2g}, fixed: the rows cannot be divided into inner folds"
        else:
            scores = "".join(f", {name.replace('_', ' ')} {value:.3f}" for name, value in self.scores.items())
            held = f"{self.folds} inner folds" if self.folds > 1 else "a held-out part"
            how = f"penalty {self.penalty:.2g} by {held}: loss {self.loss:.3f}{scores}"
        mixed = ""
        if len(self.shares) > 1:
            parts = [f"{name} {share:.0%}" if share else f"{name} left out" for name, share in self.shares.items()]
            mixed = f"; {', '.join(parts)}"
        return f"solved on {self.rows} rows, {how}{mixed}"
