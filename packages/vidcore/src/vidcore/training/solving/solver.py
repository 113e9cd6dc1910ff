"""Penalty and mixture of the streams by inner folds, then one fit to all rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.heads.base import Head
from vidcore.training.calibration import calibrated, can_calibrate, doubt, negative_log_likelihood, temperature_of
from vidcore.training.predicting import scored
from vidcore.training.solving.inner_folds import Fold, inner_folds
from vidcore.training.solving.linear import LinearFit, Vector, joined
from vidcore.training.solving.reading import ReadRows
from vidcore.training.solving.solution import Solution
from vidcore.training.solving.space import RowSpace

# Rows have mean square norm 1, so these mean the same whatever the width. From strong to weak: each fit starts from
# the one before.
PENALTIES = tuple(10.0 ** (-exponent / 2) for exponent in range(15))
_WITHOUT_FOLDS = 1e-3
# Penalties without a lower loss after which weaker ones are not tried.
_PATIENCE = 3
# Steps about the penalty of the best stream alone that mixtures are tried with.
_AROUND = 2
# What a further stream may take of the mean square norm.
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The best penalty for one mixture of streams, by the inner folds' pooled answers.

    cost          what choices are compared by: the loss, and what the prior of the temperature adds to it
    losses        (M,) of these answers, their logits divided by ``temperature``
    predictions   (M, ...) calibrated
    targets       (M, ...)
    """

    shares: Mapping[str, float]
    penalty: float
    cost: float
    losses: Tensor
    temperature: float
    predictions: Tensor
    targets: Tensor

    def is_clearly_beaten_by(self, other: Choice) -> bool:
        """Whether the other's losses are lower by more than a standard error of the difference, clip by clip."""
        apart = self.losses - other.losses
        return other.cost < self.cost and float(apart.mean()) > float(apart.std() / len(apart) ** 0.5)


def solve(
    head: Head, rows: ReadRows, units: Sequence[Hashable], seed: int, over: Callable[[], bool] = lambda: False
) -> Solution:
    """Fit a linear head to rows, its penalty and the mixture of the streams chosen by pooled inner folds.

    A mixture is found stream by stream: the one with the lowest loss of its own first, then each further one at the
    share that lowers the loss most, none included (a greedy form of banded ridge regression, Dupre la Tour et al.
    2022, doi:10.1016/j.neuroimage.2022.119728). A stream whose help is not more than a standard error is left out.

    Args:
        head: nothing but its output layer.
        rows: what it reads of the training and validation rows, standardised.
        units: what inner folds keep together, one per row.
        seed: of the inner folds.
        over: whether to stop looking for better mixtures.
    """
    fit = LinearFit(head)
    space = RowSpace(rows.vectors, rows.columns)
    folds = inner_folds(rows.targets, head.targets.kind, units, seed)
    alive = space.alive
    if folds and alive:
        choice = _mixture(fit, space, rows.targets, folds, over)
    else:
        shares = {name: 1 / len(alive) for name in alive}
        choice = Choice(shares, _WITHOUT_FOLDS, 0.0, torch.zeros(0), 1.0, rows.targets, rows.targets)
    whole = space.at(choice.shares) if alive else None
    z = whole.z if whole is not None else rows.vectors
    theta = fit.start(z.shape[1])
    for penalty in (p for p in PENALTIES if p > choice.penalty):
        theta = fit.fit(z, rows.targets, penalty, theta)
    theta = fit.fit(z, rows.targets, choice.penalty, theta, exact=True)
    inner, bias = fit.split(theta)
    weight = inner @ whole.back if whole is not None else inner
    return Solution(
        weight=(weight / choice.temperature).float(),
        bias=None if bias is None else (bias / choice.temperature).float(),
        penalty=choice.penalty,
        temperature=choice.temperature,
        shares={name: choice.shares.get(name, 0.0) for name in rows.columns},
        rows=len(rows.targets),
        folds=len(folds) if alive else 0,
        train_loss=fit.loss(fit.answers(z, theta), rows.targets),
        loss=float(choice.losses.mean()) if folds and alive else None,
        scores=scored(head, choice.predictions, choice.targets) if folds and alive else {},
    )


def _mixture(
    fit: LinearFit, space: RowSpace, targets: Tensor, folds: Sequence[Fold], over: Callable[[], bool]
) -> Choice:
    alone = [_best_penalty(fit, space, {name: 1.0}, targets, folds) for name in space.alive]
    first, *others = sorted(alone, key=lambda choice: choice.cost)
    best = first
    place = PENALTIES.index(first.penalty)
    near = PENALTIES[max(place - _AROUND, 0) : place + _AROUND + 1]
    for other in others:
        (name,) = other.shares
        mixed = [
            _best_penalty(fit, space, {**_scaled(best.shares, 1 - share), name: share}, targets, folds, near)
            for share in _SHARES
            if not over()
        ]
        mix = min(mixed, key=lambda choice: choice.cost, default=best)
        best = mix if best.is_clearly_beaten_by(mix) else best
    return best


def _scaled(shares: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: factor * share for name, share in shares.items()}


def _best_penalty(
    fit: LinearFit,
    space: RowSpace,
    shares: Mapping[str, float],
    targets: Tensor,
    folds: Sequence[Fold],
    penalties: Sequence[float] = PENALTIES,
) -> Choice:
    """The penalty with the lowest loss of the pooled answers."""
    z = space.at(shares).z
    true = torch.cat([targets[judge] for _, judge in folds])
    thetas: list[Vector] = [fit.start(z.shape[1]) for _ in folds]
    best: Choice | None = None
    stale = 0
    for penalty in penalties:
        thetas = [fit.fit(z[rows], targets[rows], penalty, t) for t, (rows, _) in zip(thetas, folds, strict=True)]
        outputs = joined([fit.answers(z[judge], t) for t, (_, judge) in zip(thetas, folds, strict=True)])
        found = _judged(fit, shares, penalty, outputs, true)
        if best is None or found.cost < best.cost:
            best, stale = found, 0
        else:
            stale += 1
        if stale >= _PATIENCE:
            break
    if best is None:
        raise ValueError("no penalty")
    return best


def _judged(
    fit: LinearFit, shares: Mapping[str, float], penalty: float, outputs: Mapping[str, Tensor], true: Tensor
) -> Choice:
    said, kind = fit.head.predictions(dict(outputs)), fit.head.targets.kind
    if not can_calibrate(fit.head):
        each = fit.losses(dict(outputs), true)
        return Choice(shares, penalty, float(each.mean()), each, 1.0, said, true)
    temperature = temperature_of(said, true, kind)
    said = calibrated(said, temperature, kind)
    each = negative_log_likelihood(said, true, kind)
    cost = float(each.mean()) + doubt(temperature, len(true))
    return Choice(shares, penalty, cost, each, temperature, said, true)
