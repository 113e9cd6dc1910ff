"""Folds of the training rows by which a penalty is chosen."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np
from torch import Tensor

FOLDS = 5
# From here on one held-out fifth measures a loss as well as five do.
_MANY = 5000

Fold = tuple[list[int], list[int]]
"""Positions to fit on, and positions to judge by."""


def inner_folds(targets: Tensor, kind: str, units: Sequence[Hashable], seed: int) -> list[Fold]:
    """Up to five folds that divide no unit (group or video) and spread the classes; one of them where rows are many.

    Rows whose class is not among those a fold fits on judge nothing there. Where no fold can be made (a single
    unit, or one row of every class), there is none.

    Args:
        targets: (N,) classes, or (N, ...) others.
        kind: of the targets.
        units: what stays together, one per row.
        seed: of the draw.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    codes = {unit: code for code, unit in enumerate(dict.fromkeys(units))}
    groups = np.array([codes[unit] for unit in units])
    count = min(FOLDS, len(codes))
    if count < 2:
        return []
    rows = np.zeros(len(groups))
    with warnings.catch_warnings():
        # A class with fewer rows than folds is expected here, and dealt with below.
        warnings.simplefilter("ignore", UserWarning)
        if kind == "class":
            classes = targets.numpy()
            # More folds than the largest class has rows cannot be stratified.
            count = min(count, int(np.bincount(classes).max()))
            if count < 2:
                return []
            drawn = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, classes, groups)
        else:
            drawn = GroupKFold(count, shuffle=True, random_state=seed).split(rows, groups=groups)
        found = [(fit.tolist(), judge.tolist()) for fit, judge in drawn]
    if kind == "class":
        found = [_known_classes(fold, targets) for fold in found]
    found = [fold for fold in found if fold[0] and fold[1]]
    return found[:1] if len(rows) > _MANY else found


def _known_classes(fold: Fold, targets: Tensor) -> Fold:
    fit, judge = fold
    known = set(targets[fit].tolist())
    return (fit, [row for row in judge if int(targets[row]) in known]) if len(known) > 1 else ([], [])
