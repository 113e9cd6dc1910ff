"""95 % intervals of scores over independent units: groups of clips where there are groups, else clips.

One method for every score: the delete-one-group jackknife (Miller, Biometrika 1974; for clusters the CV3 estimate of
MacKinnon, Nielsen and Webb, Journal of Applied Econometrics 2023) with Student's t of one degree of freedom fewer than
there are units, on the logit scale for shares and the logarithmic one for errors, which keeps limits possible and
covers skewed scores better than a symmetric interval. ``benchmarks/significance.py`` measures the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FEWEST_UNITS = 10
"""Below it the coverage is not what it says; in its place stands ``too few``."""
BLOCKS = 40
"""Of more units, so many random blocks are left out in turn where a score is expensive to compute again."""

Scale = Literal["share", "error", "plain"]
Limits = tuple[float, float]
Integers = NDArray[np.integer[Any]]
_AT_ONCE = 2_000_000


def units_of(clips: int, groups: Sequence[str | None] | None) -> tuple[NDArray[np.int64], str]:
    """(clips,) the number of each clip's unit, from 0, and what units are: ``groups`` or ``clips``.

    A clip without a group is a unit of its own.
    """
    if groups is None or all(group is None for group in groups):
        return np.arange(clips), "clips"
    names = [f"clip {i}" if group is None else f"group {group}" for i, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1].astype(np.int64), "groups"


def description(units: int, what: str) -> str:
    """What the intervals of a table are."""
    if units < FEWEST_UNITS:
        return f"too few {what} for an interval: {units}; it takes {FEWEST_UNITS}"
    return f"95 %, jackknife over {units} {what} with Student's t, on the logit scale (errors: logarithmic)"


def jackknife(value: float, without: NDArray[np.float64], scale: Scale, *, least: float = 0.0) -> Limits | None:
    """95 % interval of a score from its values without each unit.

    Args:
        value: the score of all clips.
        without: (units,) the score without each unit in turn.
        scale: share: of [0, 1]; error: not below 0; plain: any number.
        least: the variance is taken to be at least this.

    Returns:
        ``None`` where there are too few units, a value is not finite, or nothing varies.
    """
    from scipy.stats import t

    count = len(without)
    if count < FEWEST_UNITS or not np.isfinite([value, *without]).all():
        return None
    variance = max((count - 1) / count * float(np.square(without - without.mean()).sum()), least)
    reach = float(t.ppf(0.975, count - 1)) * math.sqrt(variance)
    if scale == "plain":
        return value - reach, value + reach
    slope = value * (1 - value) if scale == "share" else value
    if variance == 0 or slope <= 0:
        return None
    if scale == "error":
        return value * math.exp(-reach / slope), value * math.exp(min(reach / slope, 700.0))
    centre = math.log(value / (1 - value))
    low, high = centre - reach / slope, centre + reach / slope
    return _share(low), _share(high)


def mean_interval(values: NDArray[np.float64], units: Integers) -> Limits | None:
    """Interval of a mean over clips, as of paired differences.

    Args:
        values: (N,) per clip.
        units: (N,) the unit of each clip.
    """
    sums, sizes = np.bincount(units, values), np.bincount(units)
    if len(sums) < 2:
        return None
    return jackknife(float(values.mean()), (sums.sum() - sums) / (sizes.sum() - sizes), "plain")


def accuracy_interval(right: NDArray[np.bool_], units: Integers) -> Limits | None:
    """Interval of the share of right answers, never narrower than that of so many independent clips.

    Where all are right, or none, it is the exact limit for a share of 0 or 1 (Clopper and Pearson 1934), over units.

    Args:
        right: (N,) per clip.
        units: (N,) the unit of each clip.
    """
    count, clips = int(units.max()) + 1, len(right)
    if right.all() or not right.any():
        limit = 0.025 ** (1 / count)
        return (limit, 1.0) if right.all() else (0.0, 1 - limit)
    sums, sizes = np.bincount(units, right.astype(float)), np.bincount(units)
    value = float(right.mean())
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    return jackknife(value, without, "share", least=value * (1 - value) / (clips - 1))


def macro_f1_interval(targets: Integers, answers: Integers, classes: int, units: Integers) -> Limits | None:
    """Interval of the macro F1 over the classes that occur.

    Args:
        targets: (N,) true classes.
        answers: (N,) answered ones.
        classes: how many there are.
        units: (N,) the unit of each clip.
    """
    if int(units.max()) + 1 < FEWEST_UNITS:
        return None
    right = targets[targets == answers]
    counts = [np.bincount(part, minlength=classes) for part in (right, targets, answers)]
    value = macro_f1(*counts)
    clips = _f1_without(targets, answers, classes, np.arange(len(targets)), counts)
    least = (len(clips) - 1) / len(clips) * float(np.square(clips - clips.mean()).sum())
    return jackknife(value, _f1_without(targets, answers, classes, units, counts), "share", least=least)


def score_intervals(
    scores: Callable[[NDArray[np.int64]], dict[str, float]],
    values: dict[str, float],
    scales: dict[str, Scale],
    units: Integers,
) -> dict[str, Limits]:
    """Intervals of any scores, each computed again without every unit, or without each of ``BLOCKS`` random blocks.

    Args:
        scores: the scores of some clips, by their places.
        values: those of all clips.
        scales: of each score.
        units: (N,) the unit of each clip.
    """
    count = int(units.max()) + 1
    if count < FEWEST_UNITS:
        return {}
    blocks = np.random.default_rng(0).permutation(count) % min(count, BLOCKS)
    home = blocks[units]
    without = [scores(np.flatnonzero(home != block)) for block in range(min(count, BLOCKS))]
    found = {
        name: jackknife(value, np.array([one[name] for one in without]), scales[name]) for name, value in values.items()
    }
    return {name: limits for name, limits in found.items() if limits is not None}


def macro_f1(right: Integers, true: Integers, said: Integers) -> float:
    """From counts per class (C,): clips right, clips of the class, clips taken for it."""
    occurs = true > 0
    f1 = 2 * right / np.maximum(true + said, 1)
    return float(f1[occurs].mean()) if occurs.any() else 0.0


def _f1_without(
    targets: Integers, answers: Integers, classes: int, units: Integers, counts: Sequence[Integers]
) -> NDArray[np.float64]:
    """(units,) macro F1 without each unit; a class of which nothing is left is not averaged."""
    found = [
        np.where(true > 0, 2 * right / np.maximum(true + said, 1), 0.0).sum(1) / np.maximum((true > 0).sum(1), 1)
        for right, true, said in _left(targets, answers, classes, units, counts)
    ]
    return np.concatenate(found)


def _left(
    targets: Integers, answers: Integers, classes: int, units: Integers, counts: Sequence[Integers]
) -> Iterator[list[NDArray[np.int64]]]:
    """Counts (some units, C) without each unit, of a number of units at a time that fits into memory."""
    count = int(units.max()) + 1
    order = np.argsort(units, kind="stable")
    starts = np.searchsorted(units[order], np.arange(count + 1))
    step = max(_AT_ONCE // classes, 1)
    for first in range(0, count, step):
        last = min(first + step, count)
        clips = order[starts[first] : starts[last]]
        true, said, own = targets[clips], answers[clips], units[clips] - first
        hit = true == said
        parts = [(own[hit], true[hit]), (own, true), (own, said)]
        yield [
            whole[None] - np.bincount(unit * classes + code, minlength=(last - first) * classes).reshape(-1, classes)
            for whole, (unit, code) in zip(counts, parts, strict=True)
        ]


def _share(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -700.0), 700.0)))
