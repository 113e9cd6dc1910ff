"""How often ``vidcore compare`` is wrong about a difference, how much it sees, and what its intervals cover.

Run: uv run python benchmarks/significance.py [--only alarms power coverage] [--repetitions 2000]

Clips are answered right with the probability

    logistic(mean + clip + group + model-by-group + model),    clip ~ N(0, 1), group ~ N(0, 0.5^2)

where clip and group are shared by all rows of a comparison, and model-by-group ~ N(0, sd^2) is each row's own: one
extractor likes one scene, another likes another. Every repetition draws new groups, as new data would have.

- alarms: all rows are equal in expectation. Share of comparisons with at least one row called worse. Target: at most
  0.07 in every cell. Beside it the same for accuracies of 95 % and for squared errors with heavy tails, and for a
  comparison in which half of the rows really are worse: there, how often a row that is not is called worse.
- power: one row is better than all others by so many points of accuracy. Share of the others that are called worse.
- coverage: share of 95 % intervals that hold the population's accuracy, macro F1, or difference of two rows.
  Target: at least 0.93 from ten groups on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from vidcore.analysis.comparison.significance import LEVEL, confidence_set
from vidcore.training.intervals import accuracy_interval, macro_f1, macro_f1_interval, mean_interval

Array = NDArray[np.float64]
CLASSES = 6
GROUPS, ROWS, SPREADS = (0, 6, 10, 20), (2, 5, 10), (0.0, 0.5, 1.0)


def units_of(clips: int, groups: int) -> NDArray[np.int64]:
    """The group of each clip, all of one size; 0 groups: every clip is its own."""
    return np.arange(clips) % groups if groups else np.arange(clips)


def logits(
    rng: np.random.Generator, rows: int, units: NDArray[np.int64], spread: float, mean: float, group: float = 0.5
) -> Array:
    """(rows, clips) of one comparison."""
    count = int(units.max()) + 1
    shared = mean + rng.standard_normal(len(units)) + (group * rng.standard_normal(count))[units]
    return shared + (spread * rng.standard_normal((rows, count)))[:, units]


def answers(rng: np.random.Generator, of: Array) -> Array:
    """Right (1) or wrong (0)."""
    return (rng.random(of.shape) < 1 / (1 + np.exp(-of))).astype(float)


def errors(rng: np.random.Generator, of: Array) -> Array:
    """Minus squared errors of unlike clips: the deviation of the errors grows with the logit."""
    return -np.square(np.exp(0.5 * of) * rng.standard_normal(of.shape))


def alarm(quality: Array, units: NDArray[np.int64], equal: int) -> bool:
    """Whether one of the first ``equal`` rows, which are the best, is called worse."""
    return bool((confidence_set(quality, units)[:equal] <= LEVEL).any())


def alarms(repetitions: int) -> None:
    print("false alarms: share of comparisons with a row called worse, all being equal (model-by-group sd 0, 0.5, 1)")
    for title, mean, make in (
        ("accuracy 72 %", 1.2, answers), ("accuracy 93 %", 3.2, answers), ("squared errors", 0.0, errors)
    ):  # fmt: skip
        for clips, rows, groups in [*((120, k, g) for k in ROWS for g in GROUPS), (600, 10, 6)]:
            rng, units = np.random.default_rng([rows, groups, clips]), units_of(clips, groups)
            rates = [
                np.mean([alarm(make(rng, logits(rng, rows, units, s, mean)), units, rows) for _ in range(repetitions)])
                for s in SPREADS
            ]
            print(f"  {title:15s} {clips} clips {rows:3d} rows {groups or 'no':>3} groups  {shown(rates)}", flush=True)
    for groups in GROUPS:
        rng, units = np.random.default_rng(groups), units_of(120, groups)
        rates = []
        for s in SPREADS:
            worse = np.array([0.0] * 5 + [-1.5] * 5)[:, None]
            rates.append(
                np.mean(
                    [alarm(answers(rng, logits(rng, 10, units, s, 1.2) + worse), units, 5) for _ in range(repetitions)]
                )
            )
        print(f"  5 equal rows, 5 worse ones, {groups or 'no'} groups  {shown(rates)}", flush=True)


def power(repetitions: int) -> None:
    print("power: share of rows called worse that are worse by 5, 10, 20 points (120 clips, accuracy of the best 82 %)")
    effects = {5: 0.38, 10: 0.7, 20: 1.27}
    for rows in ROWS:
        for groups in GROUPS:
            rng, units = np.random.default_rng([rows, groups]), units_of(120, groups)
            rates = []
            for s in (0.0, 0.5):
                for effect in effects.values():
                    lower = np.array([0.0] + [-effect] * (rows - 1))[:, None]
                    found = [
                        (
                            confidence_set(answers(rng, logits(rng, rows, units, s, 1.9) + lower), units)[1:] <= LEVEL
                        ).mean()
                        for _ in range(repetitions)
                    ]
                    rates.append(np.mean(found))
            print(
                f"  {rows:3d} rows {groups or 'no':>3} groups  sd 0: {shown(rates[:3])}   sd 0.5: {shown(rates[3:])}",
                flush=True,
            )


def confused(rng: np.random.Generator, right: Array, true: NDArray[np.int64]) -> NDArray[np.int64]:
    """The answered classes: a wrong one is any other."""
    other = (true + rng.integers(1, CLASSES, right.shape)) % CLASSES
    return np.where(right > 0, true, other)


def population(mean: float, group: float) -> tuple[float, float]:
    """Accuracy and macro F1 of a model over all groups there could be."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(200_000), 6)
    true = np.arange(len(units)) % CLASSES
    right = answers(rng, logits(rng, 1, units, 0.0, mean, group))[0]
    said = confused(rng, right, true)
    hit = np.bincount(true[true == said], minlength=CLASSES)
    return float(right.mean()), macro_f1(hit, np.bincount(true), np.bincount(said, minlength=CLASSES))


def coverage(repetitions: int) -> None:
    print("coverage of 95 % intervals, 120 clips: accuracy, macro F1, difference of two equal rows")
    for groups, group, mean, even in cells():
        accuracy, f1 = population(mean, group)
        rng = np.random.default_rng([groups, int(10 * group), int(10 * mean)])
        held: list[tuple[bool, bool, bool]] = []
        for _ in range(repetitions):
            units = units_of(120, groups)
            if not even:
                # The largest group has ten times as many clips as the smallest.
                sizes = np.linspace(1, 10, groups)
                units = np.repeat(np.arange(groups), np.maximum(1, np.round(120 * sizes / sizes.sum())).astype(int))
            true = (
                np.arange(len(units)) // max(groups, 1) % CLASSES
                if groups and even
                else np.arange(len(units)) % CLASSES
            )
            right = answers(rng, logits(rng, 2, units, 0.5 if groups else 0.0, mean, group))
            first = answers(rng, logits(rng, 1, units, 0.0, mean, group))[0]
            said = confused(rng, first, true)
            limits = (
                accuracy_interval(first > 0, units),
                macro_f1_interval(true, said, CLASSES, units),
                mean_interval(right[0] - right[1], units),
            )
            held.append(tuple(  # type: ignore[arg-type]  # three of them
                one is None or one[0] - 1e-9 <= value <= one[1] + 1e-9
                for one, value in zip(limits, (accuracy, f1, 0.0), strict=True)
            ))  # fmt: skip
        print(
            f"  {groups or 'no':>3} {'groups' if even else 'unequal groups':14s} sd {group}, accuracy {accuracy:.2f}  "
            f"{shown(np.mean(held, axis=0))}",
            flush=True,
        )


def cells() -> Iterator[tuple[int, float, float, bool]]:
    """Groups, deviation between groups, mean logit, whether all groups have one size."""
    for mean in (1.2, 3.2):
        yield 0, 0.0, mean, True
        for groups in (10, 20):
            for group in (0.0, 0.5, 1.0, 2.0):
                yield groups, group, mean, True
        yield 10, 1.0, mean, False
        yield 20, 1.0, mean, False


def shown(rates: object) -> str:
    return "  ".join(f"{rate:.3f}" for rate in np.asarray(rates).tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=["alarms", "power", "coverage"], default=["alarms", "power", "coverage"]
    )
    parser.add_argument("--repetitions", type=int, default=2000)
    chosen = parser.parse_args()
    for name in chosen.only:
        {"alarms": alarms, "power": power, "coverage": coverage}[name](chosen.repetitions)
