"""One row of a comparison: what a cell scored, and what it costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from vidcore.analysis.comparison.answers import Answers
from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.costs import Cost
from vidcore.analysis.comparison.significance import Difference
from vidcore.training.baselines import CLASS


@dataclass(frozen=True, slots=True)
class Score:
    """A score of all tested clips, and the scores of the folds.

    Attributes:
        value: of all tested clips together, each answered by a model that had not seen it.
        interval95: over groups where there are any, else over clips; ``None`` where there are too few.
        folds: the value of each fold; empty without folds.
    """

    value: float
    interval95: tuple[float, float] | None = None
    folds: tuple[float, ...] = ()

    @property
    def fold_mean(self) -> float | None:
        """Mean over the folds, another quantity than ``value``: each fold counts alike."""
        return float(np.mean(self.folds)) if self.folds else None

    @property
    def fold_std(self) -> float | None:
        """Standard deviation between folds (n - 1); ``None`` for fewer than two."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        limits = list(self.interval95) if self.interval95 else None
        return {
            "value": self.value,
            "interval95": limits,
            "fold_mean": self.fold_mean,
            "fold_std": self.fold_std,
            "folds": list(self.folds),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What answers that look at no video score on the tested clips of a comparison.

    Attributes:
        name: ``most frequent class``, ``training mean``, ``constant velocity``, ``constant acceleration``.
        metric: name of the score.
        score: the mean over clips, in the unit of the score: accuracy, or the (root of the) mean squared error.
        interval95: of the score.
        answers: how good the answer about every clip is.
        difference: the baseline against the best row, tested together with all rows.
    """

    name: str
    metric: str
    score: float
    interval95: tuple[float, float] | None
    answers: Answers
    difference: Difference = field(default_factory=Difference)

    @property
    def label(self) -> str:
        """Its name in the table."""
        return f"chance: {self.name}" if self.name == CLASS else f"baseline: {self.name}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the answers about single clips."""
        limits = list(self.interval95) if self.interval95 else None
        return {
            "name": self.name,
            "metric": self.metric,
            "score": self.score,
            "interval95": limits,
            "difference": self.difference.as_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A cell that is done.

    Attributes:
        cell: what was trained.
        label: its name in the table.
        folder: its run folder, relative to the comparison.
        metric: name of the task's score, by which the best epoch was chosen: ``accuracy`` for classes.
        lower_is_better: whether that score is an error.
        score: that score.
        macro_f1, precision, recall: mean over the classes that occur; ``None`` for other targets than classes.
        trained, parameters: parameters that were trained, and all.
        cost: what the extractors need for one clip; ``None`` where it could not be measured.
        extraction_seconds: time spent on features of frozen extractors; ``None`` where an extractor was trained.
        extracted_clips: the clips this was spent on; the others' features were in the store.
        training_seconds: time in optimiser steps, over all folds.
        width: channels the extractors give together.
        weights: per extractor ``random``, or a tag with the beginning of the file's sha256.
        confusion: clips of class i taken for class j; empty for other targets.
        classes: names of the classes.
        answers: how good the answer about every clip was; ``None`` where the score is no mean over clips.
        difference: the row against the best one.
        baselines: what answers without a look at the video score, on the same clips.
        complete: whether it trained as long as it should; a time budget may end it before.
    """

    cell: Cell
    label: str
    folder: str
    metric: str
    lower_is_better: bool
    score: Score
    macro_f1: float | None
    precision: float | None
    recall: float | None
    trained: int
    parameters: int
    cost: Cost | None
    extraction_seconds: float | None
    extracted_clips: int | None
    training_seconds: float
    width: int | None
    weights: str
    confusion: tuple[tuple[int, ...], ...] = ()
    classes: tuple[str, ...] = ()
    answers: Answers | None = None
    difference: Difference = field(default_factory=Difference)
    baselines: tuple[Baseline, ...] = ()
    complete: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the answers about single clips."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("cell", "answers", "baselines")}
        return plain | {
            "cell": self.cell.as_dict(),
            "score": self.score.as_dict(),
            "cost": asdict(self.cost) if self.cost else None,
            "difference": self.difference.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell that is not done, and why."""

    cell: Cell
    label: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"cell": self.cell.as_dict(), "label": self.label, "error": self.error}
