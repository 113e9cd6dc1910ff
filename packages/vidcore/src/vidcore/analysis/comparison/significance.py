"""Is one row better than another, or does it only look so? Tests on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidcore.analysis.comparison.answers import Answers, paired

LEVEL = 0.05
RESAMPLES = 2000
# With fewer independent units no test over them can reach the 5 % level: the two extreme ones of the 2^n ways to
# flip the signs of n differences have the probability 2 / 2^n, which is 0.0625 for five units and 0.031 for six.
LEAST_UNITS = 6
# Draws held at a time: 256 resamples of 100,000 clips take 200 MB.
_BLOCK = 256

Verdict = Literal["best", "worse", "no difference shown", "not tested"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row against the best one, on the clips that both answered.

    Attributes:
        clips: how many those are.
        units: independent units among them: groups where there are any, else clips.
        difference: mean quality of the row minus that of the best one: of accuracy, or of minus the squared error.
        interval95: paired bootstrap over the units; ``None`` where they are too few for one.
        only_best: clips that only the best row got right, or that it answered with the smaller error.
        only_row: the same for this row.
        p: for classes the exact two-sided McNemar test of these two counts (McNemar 1947; binomial form), which takes
            clips for independent; for numbers Wilcoxon's signed-rank test of the units' mean differences (1945).
        p_holm: ``p`` corrected for all comparisons with the best row (Holm 1979).
        verdict: ``worse`` only where ``p_holm`` is below 0.05 and the interval, which keeps groups together,
            leaves out zero.
        reason: why nothing was tested or shown, where that needs a word.
    """

    clips: int = 0
    units: int = 0
    difference: float = 0.0
    interval95: tuple[float, float] | None = None
    only_best: int = 0
    only_row: int = 0
    p: float = 1.0
    p_holm: float = 1.0
    verdict: Verdict = "not tested"
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        found = asdict(self)
        return {**found, "interval95": list(self.interval95) if self.interval95 else None}


def against_best(rows: Sequence[Answers], best: int) -> list[Difference]:
    """Each row against row number ``best``; that one itself is called ``best``.

    Holm's correction is over all other rows. Rows that share no clip with the best are not tested.
    """
    found = [
        Difference(verdict="best") if place == best else _measured(row, rows[best]) for place, row in enumerate(rows)
    ]
    tested = [place for place, item in enumerate(found) if place != best and item.clips]
    for place, corrected in zip(tested, holm([found[place].p for place in tested]), strict=True):
        found[place] = _judged(replace(found[place], p_holm=corrected))
    return found


def mcnemar(only_one: int, only_other: int) -> float:
    """Exact two-sided p that a clip on which two models disagree favours either of them with equal chance."""
    from scipy.stats import binomtest

    if only_one + only_other == 0:
        return 1.0
    return float(binomtest(only_one, only_one + only_other, 0.5).pvalue)


def signed_rank(differences: NDArray[np.float64], units: NDArray[np.int64]) -> float:
    """Two-sided p of Wilcoxon's test that the units' mean differences lie evenly around zero.

    Args:
        differences: (N,) per clip.
        units: (N,) number of the unit of each clip, from 0.
    """
    from scipy.stats import wilcoxon

    means = np.bincount(units, differences) / np.bincount(units)
    return float(wilcoxon(means).pvalue) if means.any() else 1.0


def holm(chances: Sequence[float]) -> list[float]:
    """The p values corrected for their number, in the order given (Holm 1979): the family-wise error stays below."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    corrected, largest = [1.0] * len(chances), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min((len(chances) - rank) * chances[place], 1.0))
        corrected[place] = largest
    return corrected


def bootstrap_difference(differences: NDArray[np.float64], units: NDArray[np.int64]) -> tuple[float, float]:
    """95 % percentile interval of a mean over clips when whole units are drawn again with replacement.

    Args:
        differences: (N,) per clip.
        units: (N,) number of the unit of each clip, from 0.
    """
    count = int(units.max()) + 1
    sums, sizes = np.bincount(units, differences, count), np.bincount(units, minlength=count)
    generator = np.random.default_rng(0)
    means = []
    for first in range(0, RESAMPLES, _BLOCK):
        draws = generator.multinomial(count, np.full(count, 1 / count), size=min(_BLOCK, RESAMPLES - first))
        means.append((draws @ sums) / (draws @ sizes))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def _measured(row: Answers, best: Answers) -> Difference:
    here, there = paired(row, best)
    if not len(here):
        return Difference(reason="no clip in common with the best row")
    names = [f"clip {row.clips[i]}" if row.groups[i] is None else f"group {row.groups[i]}" for i in here]
    units = np.unique(names, return_inverse=True)[1]
    count = int(units.max()) + 1
    differences = row.quality[here] - best.quality[there]
    only_best, only_row = int((differences < 0).sum()), int((differences > 0).sum())
    exact = row.classes and best.classes
    return Difference(
        clips=len(here),
        units=count,
        difference=float(differences.mean()),
        interval95=bootstrap_difference(differences, units) if count >= LEAST_UNITS else None,
        only_best=only_best,
        only_row=only_row,
        p=mcnemar(only_best, only_row) if exact else signed_rank(differences, units),
    )


def _judged(item: Difference) -> Difference:
    if item.interval95 is None:
        return replace(item, verdict="no difference shown", reason=f"only {item.units} independent groups")
    if item.p_holm < LEVEL and item.interval95[1] < 0:
        return replace(item, verdict="worse")
    clustered = item.p_holm < LEVEL
    reason = "clips of one group are alike: over groups the interval holds zero" if clustered else ""
    return replace(item, verdict="no difference shown", reason=reason)
