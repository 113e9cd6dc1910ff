"""Scores of a classification: what they are, how sure they are, and what guessing gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Counts = NDArray[Any]

RESAMPLES = 2000
FEWEST_UNITS = 10
"""Of fewer clips or groups a bootstrap knows nothing: often all resamples say the same."""
CALIBRATION_BINS = 15
DEFINITIONS = {
    "accuracy": "share of clips whose most probable class is the true one",
    "top5_accuracy": "share of clips whose true class is among the five most probable",
    "macro_f1": "F1 of each class that occurs, averaged without weights; F1 is 0 where a class is never right",
    "ece": f"expected calibration error, {CALIBRATION_BINS} bins of equal width (Guo et al., arXiv:1706.04599)",
}

_OF_NUMBERS = {
    "mse": "mean squared error over all numbers of a target",
    "rmse": "root of the mean squared error",
    "nrmse": "root of the mean squared error, in standard deviations of the training rows",
    "r2": "coefficient of determination, averaged over columns",
    "mean_average_precision": "average precision of each label, averaged over labels without weights",
}


def definition(name: str) -> str:
    """What a score is."""
    if name.startswith("rmse_"):
        return f"{_OF_NUMBERS['rmse']} of {name.removeprefix('rmse_')}"
    return DEFINITIONS.get(name) or _OF_NUMBERS.get(name) or f"the head's {name}"


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """All that is measured on one set of clips.

    ``intervals`` are 95 % bootstrap intervals, over groups where the clips have any: clips of one source
    are not independent. Where every answer is right, or none is, accuracy has its exact interval instead.
    Of fewer than ten clips or groups there is no other interval.
    ``per_class`` has precision, recall, F1 and support; ``confusion[i][j]`` counts clips of class i taken
    for class j.
    """

    clips: int
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    baselines: dict[str, dict[str, float]]
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    resampled: str
    units: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data; every score with its definition, interval and baseline."""
        scores = {
            name: {
                "value": value,
                **({"interval95": list(self.intervals[name])} if name in self.intervals else {}),
                "definition": DEFINITIONS[name],
                "baseline": self.baselines.get(name, {}),
            }
            for name, value in self.scores.items()
        }
        return {
            "clips": self.clips,
            "scores": scores,
            "interval": f"95 % bootstrap over {self.resampled}, {RESAMPLES} resamples, seed 0"
            if self.units >= FEWEST_UNITS
            else f"no bootstrap over {self.units} {self.resampled}; it takes {FEWEST_UNITS}",
            "per_class": self.per_class,
            "confusion": self.confusion,
        }


def judge(
    probabilities: NDArray[np.floating[Any]],
    targets: NDArray[np.integer[Any]],
    classes: Sequence[str],
    majority: int,
    groups: Sequence[str | None] | None = None,
) -> Judgement:
    """Measure class probabilities (N, C) against class indices (N,).

    Args:
        probabilities: rows sum to one.
        targets: the true classes.
        classes: names, in the order of the columns.
        majority: the class that occurs most often in the training data; always answering it is the baseline.
        groups: the group of each clip, where there are groups.
    """
    # Here, because importing it takes longer than loading a model, and predicting needs none of it.
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    answers = probabilities.argmax(1)
    labels = np.arange(len(classes))
    confusion = confusion_matrix(targets, answers, labels=labels)
    precision, recall, f1, support = precision_recall_fscore_support(targets, answers, labels=labels, zero_division=0.0)
    scores = {"accuracy": float((answers == targets).mean()), "macro_f1": float(f1[support > 0].mean())}
    if len(classes) > 5:
        best = np.argsort(-probabilities, 1, kind="stable")[:, :5]
        scores["top5_accuracy"] = float((best == targets[:, None]).any(1).mean())
    # Importing torchmetrics costs seconds, and prediction imports this module without scoring anything.
    from torchmetrics.functional.classification import multiclass_calibration_error

    scores["ece"] = float(
        multiclass_calibration_error(
            torch.from_numpy(np.asarray(probabilities, np.float32)),
            torch.from_numpy(np.asarray(targets, np.int64)),
            len(classes),
            n_bins=CALIBRATION_BINS,
        )
    )
    units, resampled = _units(len(targets), groups)
    return Judgement(
        clips=len(targets),
        scores=scores,
        intervals=_intervals(targets, answers, len(classes), units),
        baselines=_baselines(targets, majority, classes),
        per_class={
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
        confusion=confusion.tolist(),
        resampled=resampled,
        units=int(units.max()) + 1,
    )


def _macro_f1(right: Counts, true: Counts, said: Counts) -> float:
    """From counts per class (C,): clips right, clips of the class, clips taken for it."""
    occurs = true > 0
    f1 = 2 * right / np.maximum(true + said, 1e-12)
    return float(f1[occurs].mean()) if occurs.any() else 0.0


def _units(clips: int, groups: Sequence[str | None] | None) -> tuple[NDArray[np.int64], str]:
    """Number of the unit that each clip is drawn with: its group, or itself."""
    if groups is None or all(group is None for group in groups):
        return np.arange(clips), "clips"
    names = [f"clip {i}" if group is None else f"group {group}" for i, group in enumerate(groups)]
    return np.unique(names, return_inverse=True)[1], "groups"


def _intervals(
    targets: NDArray[np.integer[Any]], answers: NDArray[np.integer[Any]], classes: int, units: NDArray[np.int64]
) -> dict[str, tuple[float, float]]:
    count = int(units.max()) + 1
    right = answers == targets
    if right.all() or not right.any():
        # Every resample says the same, which is no certainty: the exact limit for a share of 0 or 1 instead
        # (Clopper and Pearson 1934), over the independent units.
        limit = 0.025 ** (1 / count)
        return {"accuracy": (limit, 1.0) if right.all() else (0.0, 1 - limit)}
    if count < FEWEST_UNITS:
        return {}
    generator = np.random.default_rng(0)
    accuracy, f1 = np.empty(RESAMPLES), np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        weights = np.bincount(generator.integers(count, size=count), minlength=count)[units].astype(np.float64)
        accuracy[i] = weights[right].sum() / weights.sum()
        f1[i] = _macro_f1(
            np.bincount(targets[right], weights[right], classes),
            np.bincount(targets, weights, classes),
            np.bincount(answers, weights, classes),
        )
    return {"accuracy": _middle(accuracy), "macro_f1": _middle(f1)}


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _baselines(targets: NDArray[np.integer[Any]], majority: int, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    always = np.full_like(targets, majority)
    counts = np.bincount(targets, minlength=len(classes)).astype(np.float64)
    said = np.bincount(always, minlength=len(classes)).astype(np.float64)
    chance = {"five classes at random": min(5 / len(classes), 1.0)}
    return {
        "accuracy": {"majority class": float((always == targets).mean()), "random class": 1 / len(classes)},
        "macro_f1": {"majority class": _macro_f1(np.minimum(counts, said), counts, said)},
        **({"top5_accuracy": chance} if len(classes) > 5 else {}),
    }
