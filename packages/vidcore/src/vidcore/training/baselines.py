"""Answers that look at no video: the training data's mean or most frequent class, and motion that goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vidcore.data._cells import points
from vidcore.data.manifest import Row
from vidcore.errors import RunError
from vidcore.heads.base import Head, TargetInfo
from vidcore.training.batches import Predictions
from vidcore.training.files import replacing

MEAN, CLASS = "training mean", "most frequent class"
_SEEN = 3


def baseline_answers(info: TargetInfo, rows: Sequence[Row], targets: Tensor, head: Head) -> dict[str, Tensor]:
    """Answers (N, ...) of each baseline about rows with ``targets`` (N, ...), as the head's own predictions are.

    Classes: the one that is most frequent in training, several of equal frequency with equal probability. Several
    labels: their frequencies. Numbers: the mean of the training rows. Positions, where the column of the head's option
    ``history`` holds at least three: those of an object that keeps its last velocity, or its last acceleration.
    """
    found: dict[str, Tensor] = {}
    if info.kind == "class" and info.counts:
        counts = torch.tensor(info.counts)
        most = (counts == counts.max()).double()
        found[CLASS] = (most / most.sum()).expand(len(targets), -1)
    elif info.mean:
        found[MEAN] = torch.tensor(info.mean).reshape(info.shape).expand(targets.shape).contiguous()
    elif info.counts and info.rows:
        found[MEAN] = (torch.tensor(info.counts) / info.rows).expand(targets.shape)
    if info.kind == "position":
        found |= _motion(rows, info.shape[0], getattr(head, "config", None))
    return found


def quality(info: TargetInfo, answers: Tensor, targets: Tensor) -> Tensor:
    """(N,) how good each answer is: the probability of the true class, or minus the mean squared error.

    Columns of ``value`` targets count in standard deviations of the training rows, as the head's score counts them.
    """
    if info.kind == "class":
        return answers.double().gather(1, targets.long()[:, None])[:, 0]
    error = answers.double() - targets.double()
    if info.kind == "value" and info.std:
        error = error / torch.tensor([deviation or 1.0 for deviation in info.std], dtype=torch.float64)
    return -error.square().flatten(1).mean(1)


def write_baselines(path: Path, info: TargetInfo, answers: Predictions, rows: Sequence[Row], head: Head) -> None:
    """One line per tested clip: the number of its row, and how good each baseline's answer is.

    Args:
        path: of the file.
        info: what the head was told.
        answers: of the tested clips.
        rows: those clips, ``extra["row"]`` being their number.
        head: of the run.
    """
    if info.kind not in ("class", "value", "position"):
        return
    found = baseline_answers(info, rows, answers.targets, head)
    columns = [quality(info, said, answers.targets).tolist() for said in found.values()]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", *found])
        writer.writerows(zip((row.extra["row"] for row in rows), *columns, strict=True))


def read_baselines(path: Path) -> dict[str, dict[str, float]]:
    """By name of the baseline, the quality of its answer about each row; nothing where a run has no such file.

    Raises:
        RunError: the file is not what a run writes.
    """
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        names = [name for name in (lines[0] if lines else ()) if name != "row"]
        return {name: {line["row"]: float(line[name]) for line in lines} for name in names}
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as exc:
        raise RunError(f"cannot read {path}: {exc!r}") from exc


def _motion(rows: Sequence[Row], steps: int, config: object) -> Mapping[str, Tensor]:
    """Positions (N, steps, coordinates) if the last velocity, or the last acceleration, stayed what it was.

    With p the last position, v = p - p_1 and a = v - (p_1 - p_2), step h is at p + h v and p + h v + h (h + 1) / 2 a.
    """
    column = getattr(config, "history", None)
    cells = [row.extra.get(column) for row in rows] if column else []
    if not cells or any(cell is None or cell == "" for cell in cells):
        return {}
    seen = [points(cell, row, str(column)) for row, cell in zip(rows, cells, strict=True)]
    if min(map(len, seen)) < _SEEN:
        return {}
    path = torch.tensor([positions[-_SEEN:] for positions in seen], dtype=torch.float64)
    last = path[:, 2:] if getattr(config, "origin", None) is None else torch.zeros_like(path[:, 2:])
    velocity = path[:, 2:] - path[:, 1:2]
    change = velocity - (path[:, 1:2] - path[:, :1])
    ahead = torch.arange(1, steps + 1, dtype=torch.float64)[None, :, None]
    straight = last + ahead * velocity
    return {
        "constant velocity": straight.float(),
        "constant acceleration": (straight + ahead * (ahead + 1) / 2 * change).float(),
    }
