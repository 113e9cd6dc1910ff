"""Several heads at once, which training takes for one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vidcore.heads.base import LOSS, Head, TargetInfo

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


@dataclass(frozen=True, slots=True)
class Share:
    """One head's columns of what all heads are told and say together.

    label        of the head
    info         what it predicts
    targets      columns of its targets, flattened
    predictions  columns of its predictions, flattened
    """

    label: str
    info: TargetInfo
    targets: slice
    predictions: slice

    def known(self, targets: Tensor) -> Tensor:
        """(N, W) -> (N,) bool: the clips that have a target for this head."""
        return ~targets[:, self.targets.start].isnan()

    def true(self, targets: Tensor) -> Tensor:
        """(N, W) of clips that have one -> this head's targets, (N,) or (N, ...)."""
        own = targets[:, self.targets].contiguous()
        if self.info.kind == "class":
            return own[:, 0].long()
        return own.long() if self.info.kind == "multilabel" else own.reshape(-1, *self.info.shape)

    def said(self, predictions: Tensor) -> Tensor:
        """(N, P) -> this head's predictions, (N, C) or (N, ...)."""
        # Contiguous, because metrics take views of it.
        return predictions[:, self.predictions].contiguous().reshape(-1, *_said_shape(self.info))


def shares(info: TargetInfo) -> list[Share]:
    """The columns of every head, in the order of ``info.parts``."""
    found: list[Share] = []
    target = prediction = 0
    for label, part in info.parts.items():
        said = math.prod(_said_shape(part))
        width = 1 if part.kind == "class" else said
        found.append(Share(label, part, slice(target, target + width), slice(prediction, prediction + said)))
        target, prediction = target + width, prediction + said
    return found


def _said_shape(info: TargetInfo) -> tuple[int, ...]:
    return (len(info.classes),) if info.classes else info.shape


class SeveralHeads(Head):
    """Heads side by side; a clip counts for those that it has targets for.

        loss = sum over clips i and heads h that i has a target for of w_h l_h(i), over the number of clips

    so that a step made of parts has the loss of the whole, and a head without a clip in a batch gets a gradient of
    zero. Which epoch is best is decided by this loss on the validation clips: scores of different heads are no
    numbers to add.

    Input   {label: (B, K) or (B, T, K)}, as ``SeveralReadouts`` gives them
    Output  ``label.output`` for each output of each head
    Targets (B, W) float32: those of every head flattened, side by side; NaN where a clip has none for a head

    Args:
        heads: by label.
        weights: of the heads' losses.
        targets: of kind ``several``, its parts in the order of ``heads``.
    """

    def __init__(self, heads: Mapping[str, Head], weights: Mapping[str, float], targets: TargetInfo) -> None:
        # Not a component: it has no spec and no options of its own.
        nn.Module.__init__(self)
        self.targets = targets
        self.weights = tuple(weights[label] for label in heads)
        self.shares = shares(targets)
        # A list: a label may be a word that modules use themselves.
        self.heads = nn.ModuleList(heads.values())

    def each(self) -> Iterator[tuple[Share, Head]]:
        """Every head with its columns."""
        for share, head in zip(self.shares, self.heads, strict=True):
            if isinstance(head, Head):
                yield share, head

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        """{label: (B, K) or (B, T, K)} -> {label.output: (B, ...)}."""
        return {
            f"{share.label}.{name}": tensor
            for share, head in self.each()
            for name, tensor in head(features[share.label]).items()
        }

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """The weighted losses of all heads, each over the clips that it has targets for; per clip of the batch."""
        total = torch.zeros((), device=targets.device)
        for weight, (share, head) in zip(self.weights, self.each(), strict=True):
            own, known = _outputs(outputs, share.label), share.known(targets)
            if not known.any():
                # Its parameters stay part of the graph, which processes that share gradients rely on.
                total = total + 0.0 * torch.stack([tensor.float().sum() for tensor in own.values()]).sum()
                continue
            true = share.true(targets[known])
            mean = head.loss({name: tensor[known] for name, tensor in own.items()}, true)
            total = total + weight * head.loss_weight(true) * mean
        return total / len(targets)

    def metrics(self) -> MetricCollection:
        """The metrics of every head, as ``label/metric``."""
        from torchmetrics import MetricCollection

        from vidcore.heads._share_metric import ShareMetric

        return MetricCollection(
            {
                f"{share.label}/{name}": ShareMetric(metric, share)
                for share, head in self.each()
                for name, metric in head.metrics().items()
            },
            compute_groups=False,
        )

    @property
    def score(self) -> str:
        """The loss."""
        return LOSS

    @property
    def lower_is_better(self) -> bool:
        """Yes."""
        return True

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """(B, P): the predictions of every head flattened, side by side."""
        said = [head.predictions(_outputs(outputs, share.label)) for share, head in self.each()]
        return torch.cat([tensor.flatten(1) for tensor in said], 1)


def _outputs(outputs: Mapping[str, Tensor], label: str) -> dict[str, Tensor]:
    start = f"{label}."
    return {name.removeprefix(start): tensor for name, tensor in outputs.items() if name.startswith(start)}
