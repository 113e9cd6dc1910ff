"""Is one row better than another, or does it only look so? One procedure for all rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidcore.analysis.comparison.answers import Answers
from vidcore.training.intervals import mean_interval, units_of

LEVEL = 0.05
LEAST_UNITS = 6
"""Of n units there are 2^n patterns of signs, and a pattern and its opposite say the same: with five units the smallest
p is 1/16, above the level; with six it is 1/32."""
METHOD = (
    "model confidence set (Hansen, Lunde and Nason, Econometrica 2011): range statistic over all pairs of rows, "
    "sign flips of whole groups, family-wise error 5 %"
)
_ALL_PATTERNS = 12
_DRAWS = 4095
# Signs drawn at a time.
_AT_ONCE = 2_000_000

Verdict = Literal["best", "worse", "no difference shown", "not tested"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row against the best one, on the clips that all tested rows answered.

    Attributes:
        clips: how many those are.
        units: independent units among them: groups where there are any, else clips.
        difference: mean quality of the row minus that of the best one: of accuracy, or of minus the squared error.
        interval95: of this difference alone, by the jackknife over units: not corrected for the number of rows or for
            the choice of the best; ``None`` where the units are too few.
        only_best: clips that only the best row got right, or that it answered with the smaller error.
        only_row: the same for this row.
        p: family-wise: the level at which the row leaves the model confidence set; 1 for the row that stays longest.
        verdict: ``worse`` where ``p`` is at most 0.05: the row is not among the best. ``best`` is the row with the
            highest mean.
        reason: why nothing was tested or shown, where that needs a word.
    """

    clips: int = 0
    units: int = 0
    difference: float = 0.0
    interval95: tuple[float, float] | None = None
    only_best: int = 0
    only_row: int = 0
    p: float = 1.0
    verdict: Verdict = "not tested"
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        found = asdict(self)
        return {**found, "interval95": list(self.interval95) if self.interval95 else None}


def against_best(rows: Sequence[Answers], best: int) -> list[Difference]:
    """Each row against row number ``best``; that one itself is called ``best``.

    All rows are tested together on the clips that all of them answered; a row without a clip in common with the best
    one is not tested.
    """
    named = [set(row.clips) for row in rows]
    tested = [place for place, clips in enumerate(named) if clips & named[best]]
    shared = set.intersection(*(named[place] for place in tested))
    clips = [clip for clip in rows[best].clips if clip in shared]
    if not clips:
        reason = "no clip that all rows answered"
        return [
            Difference(verdict="best" if place == best else "not tested", reason=reason) for place in range(len(rows))
        ]
    quality = np.stack([_on(rows[place], clips) for place in tested])
    group_of = dict(zip(rows[best].clips, rows[best].groups, strict=True))
    units, _ = units_of(len(clips), [group_of[clip] for clip in clips])
    count = int(units.max()) + 1
    chances = confidence_set(quality, units) if count >= LEAST_UNITS else np.ones(len(tested))
    found = [Difference(reason="no clip in common with the best row") for _ in rows]
    for place, p, own in zip(tested, chances.tolist(), quality, strict=True):
        differences = own - quality[tested.index(best)]
        found[place] = Difference(
            clips=len(clips),
            units=count,
            difference=float(differences.mean()),
            interval95=mean_interval(differences, units),
            only_best=int((differences < 0).sum()),
            only_row=int((differences > 0).sum()),
            p=p,
            verdict="best" if place == best else "worse" if p <= LEVEL else "no difference shown",
            reason="" if count >= LEAST_UNITS else f"only {count} independent groups; it takes {LEAST_UNITS}",
        )
    return found


def confidence_set(quality: Floats, units: NDArray[np.int64]) -> Floats:
    """Family-wise p of each row: the level at which it leaves the model confidence set; 1 for the last one.

    With D_ij,g the summed difference of rows i and j over the clips of unit g,

        t_ij = sum_g D_ij,g / sqrt(sum_g D_ij,g^2),    T = max_ij |t_ij|

    T is compared with its values when the signs of whole units are flipped, those of all pairs together, which keeps
    the dependence between rows and between clips of a unit and needs no correction for their number. Where T is
    significant, the row with the largest t_ij against it leaves, and the others are tested anew. A pair that is chosen
    because it looks extreme is compared with the most extreme pair of every draw: the choice of the best is part of
    the resampling. The signs are exact where differences are symmetric; all 2^n patterns for up to twelve units,
    4,095 random ones beyond (seed 0).

    Args:
        quality: (rows, N), larger is better.
        units: (N,) the unit of each clip, from 0.

    Returns:
        (rows,) p; a row is shown to be worse than the best at 5 % where it is at most 0.05.
    """
    rows = len(quality)
    sums = np.stack([np.bincount(units, row) for row in quality])
    # Only differences between rows count, and of units about which all rows agree there is none.
    sums = (sums - sums[0])[:, np.ptp(sums, axis=0) > 0]
    found = np.ones(rows)
    if rows < 2 or not sums.size:
        return found
    first, second = np.triu_indices(rows, 1)
    length = np.sqrt(np.square(sums[first] - sums[second]).sum(1))
    length[length == 0] = 1.0
    observed = (sums[first] - sums[second]).sum(1) / length
    flipped = np.concatenate([np.abs(part[:, first] - part[:, second]) / length for part in _flipped(sums)])
    inside, reached = np.ones(rows, dtype=bool), 0.0
    while inside.sum() > 1:
        among = inside[first] & inside[second]
        extreme = np.abs(observed[among]).max()
        # A draw that ties with what was seen counts; rounding must not decide it.
        reached = max(reached, float((flipped[:, among].max(1) >= extreme - 1e-9).mean()))
        deficit = np.full(rows, -np.inf)
        np.maximum.at(deficit, first[among], -observed[among])
        np.maximum.at(deficit, second[among], observed[among])
        leaving = int(np.argmax(deficit))
        found[leaving] = reached
        inside[leaving] = False
    return found


def _flipped(sums: Floats) -> Iterator[Floats]:
    """(some draws, rows) sums over units of ``sums`` (rows, units) under flips of sign; the first is what was seen."""
    units = sums.shape[1]
    if units <= _ALL_PATTERNS:
        # The sign of one unit is kept: a pattern and its opposite give the same.
        patterns = np.arange(2 ** (units - 1))
        yield (1.0 - 2.0 * (patterns[:, None] >> np.arange(units) & 1)) @ sums.T
        return
    yield sums.sum(1)[None]
    generator = np.random.default_rng(0)
    block = max(_AT_ONCE // units, 1)
    for start in range(0, _DRAWS, block):
        draws = min(block, _DRAWS - start)
        bits = np.frombuffer(generator.bytes(draws * -(-units // 8)), np.uint8).reshape(draws, -1)
        yield (1.0 - 2.0 * np.unpackbits(bits, axis=1, count=units)) @ sums.T


def _on(row: Answers, clips: Sequence[str]) -> Floats:
    place = {clip: number for number, clip in enumerate(row.clips)}
    return row.quality[[place[clip] for clip in clips]]
