"""Scores of a classification: what they are, how sure they are, and what guessing gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidcore.training.intervals import accuracy_interval, description, macro_f1, macro_f1_interval, units_of

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

SHARES = frozenset({*DEFINITIONS, "mean_average_precision"})
"""Scores between 0 and 1."""


def definition(name: str) -> str:
    """What a score is."""
    if name.startswith("rmse_"):
        return f"{_OF_NUMBERS['rmse']} of {name.removeprefix('rmse_')}"
    return DEFINITIONS.get(name) or _OF_NUMBERS.get(name) or f"the head's {name}"


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """All that is measured on one set of clips.

    ``intervals`` are 95 % intervals over groups where the clips have any: clips of one source are not independent
    (see ``vidcore.training.intervals``). Of fewer than ten clips or groups there is none, except
    for an accuracy of 0 or 1.
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
            "interval": description(self.units, self.resampled),
            "units": self.units,
            "independent": self.resampled,
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
    hits = {"accuracy": answers == targets}
    if len(classes) > 5:
        best = np.argsort(-probabilities, 1, kind="stable")[:, :5]
        hits["top5_accuracy"] = (best == targets[:, None]).any(1)
        scores["top5_accuracy"] = float(hits["top5_accuracy"].mean())
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
    units, resampled = units_of(len(targets), groups)
    limits = {name: accuracy_interval(hit, units) for name, hit in hits.items()}
    limits["macro_f1"] = macro_f1_interval(targets, answers, len(classes), units)
    return Judgement(
        clips=len(targets),
        scores=scores,
        intervals={name: found for name, found in limits.items() if found is not None},
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


def _baselines(targets: NDArray[np.integer[Any]], majority: int, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    always = np.full_like(targets, majority)
    counts = np.bincount(targets, minlength=len(classes))
    said = np.bincount(always, minlength=len(classes))
    chance = {"five classes at random": min(5 / len(classes), 1.0)}
    return {
        "accuracy": {"majority class": float((always == targets).mean()), "random class": 1 / len(classes)},
        "macro_f1": {"majority class": macro_f1(np.minimum(counts, said), counts, said)},
        **({"top5_accuracy": chance} if len(classes) > 5 else {}),
    }
