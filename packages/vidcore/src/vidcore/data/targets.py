"""Labels as numbers: what a head is asked to predict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidcore.data.manifest import Row
from vidcore.errors import DataError

SEPARATOR = "|"
"""Between the labels of one row, where a head takes several."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets of rows and the names of the classes, in the order of their indices.

    values    (N,) int64 class indices, or (N, C) int64 in {0, 1} with several labels a row
    """

    classes: tuple[str, ...]
    values: Tensor

    def counts(self, rows: Sequence[int]) -> tuple[int, ...]:
        """How many of the rows at these positions each class has."""
        chosen = self.values[list(rows)]
        if chosen.dim() == 2:
            return tuple(int(count) for count in chosen.sum(0))
        return tuple(torch.bincount(chosen, minlength=len(self.classes)).tolist())


def class_targets(rows: Sequence[Row], classes: Sequence[str] | None = None) -> Targets:
    """One class per row; the classes are the labels in sorted order, unless they are given.

    Raises:
        DataError: a label that is not among the given classes.
    """
    labels = [str(row.label) for row in rows]
    names = tuple(classes) if classes is not None else tuple(sorted(set(labels)))
    index = {name: number for number, name in enumerate(names)}
    _refuse_unknown(Counter(label for label in labels if label not in index), names)
    return Targets(names, torch.tensor([index[label] for label in labels], dtype=torch.int64))


def multilabel_targets(rows: Sequence[Row], classes: Sequence[str] | None = None) -> Targets:
    """Several classes per row, separated by ``|`` in its label; otherwise as ``class_targets``."""
    labels = [[part.strip() for part in str(row.label).split(SEPARATOR) if part.strip()] for row in rows]
    names = tuple(classes) if classes is not None else tuple(sorted({label for row in labels for label in row}))
    index = {name: number for number, name in enumerate(names)}
    _refuse_unknown(Counter(label for row in labels for label in row if label not in index), names)
    values = torch.zeros(len(rows), len(names), dtype=torch.int64)
    for number, row in enumerate(labels):
        values[number, [index[label] for label in row]] = 1
    return Targets(names, values)


def _refuse_unknown(unknown: Counter[str], classes: Sequence[str]) -> None:
    if unknown:
        shown = ", ".join(f"{label!r} ({count} rows)" for label, count in unknown.most_common(3))
        raise DataError(
            f"the data has {len(unknown)} labels that the model does not know: {shown}; "
            f"its classes are: {', '.join(classes[:20])}{', ...' if len(classes) > 20 else ''}"
        )
