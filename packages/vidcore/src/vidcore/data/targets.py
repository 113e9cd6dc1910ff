"""Labels and numbers of rows as tensors: what a head is asked to predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from vidcore.data._cells import LABEL, cells, number, point, points
from vidcore.data._rows import SEPARATOR
from vidcore.data.manifest import Row
from vidcore.errors import DataError

TargetKind = Literal["class", "multilabel", "value", "position", "several"]


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets of rows.

    classes   names of the classes, in the order of their indices; none where targets are numbers
    values    class: (N,) int64 class indices; multilabel: (N, C) int64 in {0, 1}; value: (N, columns) float32;
              position: (N, horizons, coordinates) float32; several: (N, W) float32, the values of every part
              flattened, side by side, NaN where a row is in another data set
    names     of the columns, or of the horizons, counted from 1
    parts     of kind several: the targets of each head, by its label
    rows      of a part: the places of its rows within all rows
    """

    classes: tuple[str, ...]
    values: Tensor
    kind: TargetKind = "class"
    names: tuple[str, ...] = ()
    parts: Mapping[str, Targets] = field(default_factory=dict)
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.values)

    def at(self, rows: Sequence[int]) -> list[int]:
        """Where a part has those of the rows at these places that it has."""
        place = {row: number for number, row in enumerate(self.rows)}
        return [place[row] for row in rows if row in place]

    def counts(self, rows: Sequence[int]) -> tuple[int, ...]:
        """How many of the rows at these positions each class has; nothing where targets are numbers."""
        if not self.classes:
            return ()
        chosen = self.values[list(rows)]
        if chosen.dim() == 2:
            return tuple(int(count) for count in chosen.sum(0))
        return tuple(torch.bincount(chosen, minlength=len(self.classes)).tolist())

    def facts(self, rows: Sequence[int]) -> dict[str, Any]:
        """What a head is told that trains on the rows at these positions: the fields of ``TargetInfo``."""
        if self.kind == "several":
            parts = {label: part.facts(part.at(rows)) for label, part in self.parts.items()}
            return {"kind": self.kind, "rows": len(rows), "parts": parts}
        known = {"kind": self.kind, "classes": self.classes, "counts": self.counts(rows), "rows": len(rows)}
        if self.classes:
            return known
        chosen = self.values[list(rows)].double().flatten(1)
        mean, std = chosen.mean(0), chosen.std(0, correction=0)
        shape = tuple(self.values.shape[1:])
        return {**known, "shape": shape, "names": self.names, "mean": tuple(mean.tolist()), "std": tuple(std.tolist())}


def targets_for(
    kind: str, rows: Sequence[Row], options: object = None, classes: Sequence[str] | None = None
) -> Targets:
    """Targets of the kind that a head predicts, from the columns that its options name.

    Args:
        kind: ``class``, ``multilabel``, ``value`` or ``position``: the head spec's ``targets``.
        rows: with their extra columns.
        options: the head's options; ``column``, ``columns``, ``origin`` and ``multilabel`` are read where it has them.
        classes: the classes a trained model knows; by default those of the rows.

    Raises:
        DataError: a column is missing, a value is not what the kind needs, a label is not among ``classes``.
    """
    column = str(getattr(options, "column", LABEL))
    if kind == "multilabel" or getattr(options, "multilabel", False):
        return multilabel_targets(rows, classes, column=column)
    match kind:
        case "class":
            return class_targets(rows, classes, column=column)
        case "value":
            return value_targets(rows, tuple(getattr(options, "columns", (column,))))
        case "position":
            return position_targets(rows, column, origin=getattr(options, "origin", None))
    raise DataError(f"a manifest holds no {kind!r} targets; it can hold class, multilabel, value and position targets")


def several_targets(parts: Mapping[str, tuple[Sequence[int], Targets]], rows: int) -> Targets:
    """The targets of several heads as one tensor.

    Args:
        parts: by label, the places of the rows that a head has targets for, and those targets.
        rows: how many rows there are in all.
    """
    columns, kept = [], {}
    for label, (places, part) in parts.items():
        own = (part.values.flatten(1) if part.values.dim() > 1 else part.values[:, None]).float()
        column = torch.full((rows, own.shape[1]), torch.nan)
        column[list(places)] = own
        columns.append(column)
        kept[label] = replace(part, rows=tuple(places))
    return Targets((), torch.cat(columns, 1), "several", parts=kept)


def classes_in_order(rows: Sequence[Row], order: Sequence[str], *, several: bool) -> tuple[str, ...]:
    """The classes that rows have, in the order that their data set states.

    Args:
        rows: with labels.
        order: all classes of the data set.
        several: whether a label may name several.

    Raises:
        DataError: a label names several classes, and one is wanted.
    """
    labels = {str(row.label) for row in rows if row.label is not None}
    parts = {part.strip() for label in labels - set(order) for part in label.split(SEPARATOR)}
    if parts and not several and parts <= set(order):
        named = sum(str(row.label) not in set(order) for row in rows)
        raise DataError(
            f"the labels of {named} rows name several classes, and the head gives one: train it with "
            "head.options.multilabel=true"
        )
    return tuple(name for name in order if name in labels or name in parts)


def class_targets(rows: Sequence[Row], classes: Sequence[str] | None = None, *, column: str = LABEL) -> Targets:
    """One class per row; the classes are the labels in sorted order, unless they are given.

    Raises:
        DataError: a row without a label, or a label that is not among the given classes.
    """
    labels = [str(cell) for cell in cells(rows, column)]
    names = tuple(classes) if classes is not None else tuple(sorted(set(labels)))
    index = {name: place for place, name in enumerate(names)}
    _refuse_unknown(Counter(label for label in labels if label not in index), names)
    return Targets(names, torch.tensor([index[label] for label in labels], dtype=torch.int64))


def multilabel_targets(rows: Sequence[Row], classes: Sequence[str] | None = None, *, column: str = LABEL) -> Targets:
    """Several classes per row, separated by ``|`` in its label; otherwise as ``class_targets``."""
    labels = [[part.strip() for part in str(cell).split(SEPARATOR) if part.strip()] for cell in cells(rows, column)]
    names = tuple(classes) if classes is not None else tuple(sorted({label for row in labels for label in row}))
    index = {name: place for place, name in enumerate(names)}
    _refuse_unknown(Counter(label for row in labels for label in row if label not in index), names)
    values = torch.zeros(len(rows), len(names), dtype=torch.int64)
    for place, row in enumerate(labels):
        values[place, [index[label] for label in row]] = 1
    return Targets(names, values, "multilabel")


def value_targets(rows: Sequence[Row], columns: Sequence[str] = (LABEL,)) -> Targets:
    """Numbers of one or several columns, (N, columns) float32.

    Raises:
        DataError: a column is missing, or a cell is not a finite number; the rows are named.
    """
    values = [
        [number(cell, row, column) for row, cell in zip(rows, cells(rows, column), strict=True)] for column in columns
    ]
    return Targets((), torch.tensor(values, dtype=torch.float32).T.contiguous(), "value", tuple(columns))


def position_targets(rows: Sequence[Row], column: str, *, origin: str | None = None) -> Targets:
    """Positions after the video, (N, horizons, coordinates) float32, from cells such as ``[[0.1, 0.5], [0.2, 0.5]]``.

    Args:
        rows: with their extra columns; every row has the same number of steps and coordinates.
        column: its cells are lists of positions, one per step ahead, in JSON or as JSON Lines holds them.
        origin: column with the position from which those are counted, ``[0.1, 0.4]``.

    Raises:
        DataError: a column is missing, a cell is not of that form, or rows differ in their number of steps.
    """
    ahead = [points(cell, row, column) for row, cell in zip(rows, cells(rows, column), strict=True)]
    shapes = Counter((len(steps), len(steps[0])) for steps in ahead)
    if len(shapes) > 1:
        (usual, _), (other, count) = shapes.most_common(2)
        raise DataError(
            f"column {column!r}: most rows have {usual[0]} positions of {usual[1]} coordinates, {count} have "
            f"{other[0]} of {other[1]}; a head predicts the same number of each for every row"
        )
    values = torch.tensor(ahead, dtype=torch.float32).reshape(len(ahead), *next(iter(shapes), (0, 0)))
    if origin is not None:
        start = [
            point(cell, row, origin, values.shape[2])
            for row, cell in zip(
                rows, cells(rows, origin, "for positions as they are, head.options.origin=null"), strict=True
            )
        ]
        values = values - torch.tensor(start, dtype=torch.float32).reshape(len(start), 1, -1)
    return Targets((), values, "position", tuple(str(step + 1) for step in range(values.shape[1])))


def _refuse_unknown(unknown: Counter[str], classes: Sequence[str]) -> None:
    if unknown:
        shown = ", ".join(f"{label!r} ({count} rows)" for label, count in unknown.most_common(3))
        raise DataError(
            f"the data has {len(unknown)} labels that the model does not know: {shown}; "
            f"its classes are: {', '.join(classes[:20])}{', ...' if len(classes) > 20 else ''}"
        )
