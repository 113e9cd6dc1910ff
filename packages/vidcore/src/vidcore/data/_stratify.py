"""Units (whole groups) dealt out to parts so that every part gets its share of every class.

Counts are sparse: a unit holds few of the classes, and a thousand classes of twenty thousand units would otherwise be
twenty million numbers, read again for every unit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class UnitCounts:
    """How many rows of each class each unit has.

    Attributes:
        held: per unit the codes of its classes, ascending.
        counts: per unit how many rows it has of each of them.
        totals: (classes,) rows of each class.
        sizes: (units,) rows of each unit.
    """

    held: list[Integers]
    counts: list[Integers]
    totals: Integers
    sizes: Integers

    @classmethod
    def of(cls, units: Sequence[Hashable], labels: Sequence[str], order: Sequence[Hashable]) -> UnitCounts:
        """Count rows, given the unit and the label of each; the units are numbered as in ``order``."""
        codes = {label: code for code, label in enumerate(sorted(set(labels)))}
        numbers = {unit: number for number, unit in enumerate(order)}
        places = np.array([numbers[unit] for unit in units], np.int64)
        classes = np.array([codes[label] for label in labels], np.int64)
        pairs, counts = np.unique(places * len(codes) + classes, return_counts=True)
        cuts = np.searchsorted(pairs // len(codes), np.arange(1, len(order)))
        return cls(
            np.split(pairs % len(codes), cuts),
            np.split(counts, cuts),
            np.bincount(classes, minlength=len(codes)),
            np.bincount(places, minlength=len(order)),
        )

    def spreads(self) -> NDArray[np.float64]:
        """(units,) standard deviation of each unit's counts over all classes."""
        found = np.empty(len(self.sizes))
        for first in range(0, len(found), _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, len(found)))
            dense = np.zeros((len(some), len(self.totals)))
            for row, unit in enumerate(some):
                dense[row, self.held[unit]] = self.counts[unit]
            found[some] = dense.std(1)
        return found


def by_shares(units: UnitCounts, shares: Sequence[float]) -> Integers:
    """Part of each unit, by iterative stratification (Sechidis et al., ECML 2011).

    The rarest class is dealt first, each of its units to the part that lacks the class most.

    Args:
        units: their classes; equals are dealt in their order.
        shares: of the rows, one per part.
    """
    parts, classes = len(shares), len(units.totals)
    desire = np.asarray(shares, float)[:, None] * units.totals
    lacking = np.asarray(shares, float) * units.sizes.sum()
    present = np.zeros((parts, classes), dtype=bool)
    homes = np.full(len(units.sizes), -1, dtype=np.int64)
    owners: list[list[int]] = [[] for _ in range(classes)]
    for unit, held in enumerate(units.held):
        for code in held:
            owners[code].append(unit)
    left = np.array([len(own) for own in owners])
    while (left > 0).any():
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        mine = np.array([unit for unit in owners[rarest] if homes[unit] < 0])
        # The largest first: what does not fit is then small.
        for taken, unit in enumerate(mine[np.argsort(-units.sizes[mine], kind="stable")]):
            without = np.flatnonzero(~present[:, rarest])
            # As many units as parts without the class are left: each of them must get one.
            candidates = without if len(mine) - taken <= len(without) else np.arange(parts)
            keys = zip(desire[candidates, rarest].tolist(), lacking[candidates].round(9).tolist(), strict=True)
            # Of equals the first.
            home = int(candidates[max(enumerate(keys), key=lambda item: (item[1], -item[0]))[0]])
            homes[unit] = home
            held = units.held[unit]
            desire[home, held] -= units.counts[unit]
            lacking[home] -= units.sizes[unit]
            present[home, held] = True
            left[held] -= 1
    return homes


def equally(units: UnitCounts, parts: int) -> Integers:
    """Part of each unit, so that all parts have nearly the same share of every class.

    The greedy rule of scikit-learn's ``StratifiedGroupKFold``, with the same result: units in descending order of the
    spread of their counts, each to the part for which the deviation between parts, averaged over classes, becomes
    smallest; of equals the part with the fewest rows. Only the deviations of the unit's own classes are computed again.

    Args:
        units: their classes; equals are dealt in their order.
        parts: how many.
    """
    counts, rows = np.zeros((parts, len(units.totals))), np.zeros(parts)
    # (tried part, class): deviation between parts if the unit went to the tried part.
    deviations = np.zeros((parts, len(units.totals)))
    homes = np.empty(len(units.sizes), dtype=np.int64)
    tried = np.eye(parts)[:, :, None]
    for unit in np.argsort(-units.spreads(), kind="stable"):
        held, added = units.held[unit], units.counts[unit]
        # Never a single column: numpy adds that in another order, and ties would be decided by the last bit.
        some = held if len(held) > 1 else held.repeat(2)
        now = counts[:, some] + tried * (added if len(held) > 1 else added.repeat(2))
        shares = now / units.totals[some]
        spread = np.sqrt(np.square(shares - shares.mean(1, keepdims=True)).mean(1))
        deviations[:, held] = spread[:, : len(held)]
        home, least = 0, np.inf
        for part, mean in enumerate(deviations.mean(1).tolist()):
            # The tolerance of numpy.isclose.
            near = abs(mean - least) <= 1e-8 + 1e-5 * least if part else False
            if mean < least or (near and rows[part] < rows[home]):
                least, home = mean, part
        homes[unit] = home
        counts[home, held] += added
        rows[home] += units.sizes[unit]
        deviations[:, held] = deviations[home, held]
    return homes


def some_of(units: UnitCounts, share: float) -> Integers:
    """Numbers of units that together come near ``share`` of every class, and leave a unit of every class.

    Greedy: the unit that brings the counts nearest, until none does; at least one, where one can be spared.

    Args:
        units: their classes; equals are taken in their order.
        share: of the rows.
    """
    lacking = share * units.totals
    sources = np.bincount(np.concatenate(units.held), minlength=len(units.totals))
    taken: list[int] = []
    free = list(range(len(units.sizes)))
    while free := [unit for unit in free if (sources[units.held[unit]] > 1).all()]:
        # How much nearer a unit brings the counts of its classes, summed.
        gains = [
            (np.abs(lacking[units.held[unit]]) - np.abs(lacking[units.held[unit]] - units.counts[unit])).sum()
            for unit in free
        ]
        best = free[int(np.argmax(gains))]
        if taken and max(gains) <= 0:
            break
        taken.append(best)
        lacking[units.held[best]] -= units.counts[best]
        sources[units.held[best]] -= 1
        free.remove(best)
    return np.array(sorted(taken), dtype=np.int64)
