"""How good one model was on every tested clip, as arrays that can be compared with another model's."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import RunError

Lines = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """How good the answer about each tested clip was.

    Attributes:
        clips: what names each clip: its row in the data.
        quality: (N,) 1 for a right class and 0 for a wrong one; for numbers, minus the mean squared error.
        groups: the group of each clip, or ``None``.
        confidence: (N,) the highest probability of a class; ``None`` for numbers.
    """

    clips: tuple[str, ...]
    quality: NDArray[np.float64]
    groups: tuple[str | None, ...]
    confidence: NDArray[np.float64] | None = None

    @property
    def classes(self) -> bool:
        """Whether an answer is right or wrong, and nothing between."""
        return self.confidence is not None


def read_answers(
    predictions: Path, groups: Mapping[str, str | None] | None = None, std: Sequence[float] = ()
) -> Answers:
    """The rows of a run's ``predictions.csv``; of a cross-validation those that the folds answered.

    Args:
        predictions: the file.
        groups: row -> group; a row that is not in it has none.
        std: of numbers, those by which the errors of the columns are divided; by default none.

    Raises:
        RunError: the file cannot be read, or holds neither probabilities of one class a clip nor numbers.
    """
    try:
        with predictions.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (OSError, csv.Error) as exc:
        raise RunError(f"cannot read {predictions}: {exc}") from exc
    # What the shipped model says about rows that are in no fold is another model's answer.
    lines = [line for line in lines if line.get("fold") not in (None, "0")] or lines
    names = list(lines[0]) if lines else []
    try:
        if chances := [name for name in names if name.startswith("p(") and name.endswith(")")]:
            quality, confidence = _of_classes(lines, chances)
        elif "target0" in names:
            quality, confidence = _of_numbers(lines, names, std), None
        else:
            raise RunError(f"{predictions} holds no answers: expected the columns row, label, p(...) or target0")
        clips = tuple(line["row"] for line in lines)
    except (KeyError, TypeError, ValueError) as exc:
        raise RunError(f"{predictions} has a row that is no answer: {exc!r}") from exc
    return Answers(clips, quality, tuple((groups or {}).get(clip) for clip in clips), confidence)


def _of_classes(lines: Lines, columns: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    place = {name[2:-1]: index for index, name in enumerate(columns)}
    chances = np.array([[float(line[name]) for name in columns] for line in lines])
    targets = np.array([place[line["label"]] for line in lines])
    return (chances.argmax(1) == targets).astype(np.float64), chances.max(1)


def _of_numbers(lines: Lines, names: Sequence[str], std: Sequence[float]) -> NDArray[np.float64]:
    targets, answers = (
        np.array([[float(line[name]) for name in names if name.startswith(start)] for line in lines])
        for start in ("target", "prediction")
    )
    scale = np.array([deviation or 1.0 for deviation in std] or [1.0])
    found: NDArray[np.float64] = -np.square((targets - answers) / scale).mean(1)
    return found
