"""Plots of a run, as SVG text that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

_WIDE = (7.0, 3.0)
_FEW_LINES = 5
# More classes than this and the cells are too small to hold numbers.
_NUMBERED_CLASSES = 15


def curves(history: Sequence[Mapping[str, float | None]]) -> str:
    """Loss and validation scores over the epochs, side by side; the folds of a cross-validation over each other."""
    figure = Figure(figsize=_WIDE, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    # One line per fold and number: the folds of a number in one colour.
    folds = dict.fromkeys(row.get("fold") for row in history)
    for name in history[0]:
        axes = losses if name.endswith("loss") else scores if name.startswith("val_") else None
        if axes is None:
            continue
        colour = f"C{len({line.get_color() for line in axes.lines})}"
        for number, fold in enumerate(folds):
            rows = [row for row in history if row.get("fold") == fold]
            axes.plot([row["epoch"] for row in rows], [row.get(name) for row in rows], marker=".", color=colour,
                      alpha=1 if len(folds) == 1 else 0.5, label="" if number else name.replace("_", " "))  # fmt: skip
    for axes, title in ((losses, "loss"), (scores, "validation scores")):
        axes.set_xlabel("epoch")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if axes.lines:
            # Many lines leave no room for their names between them.
            beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(axes.lines) > _FEW_LINES else {}
            axes.legend(fontsize=8, **beside)
    return svg(figure)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Shares of each true class by answer; the counts are written into the cells of small matrices."""
    table = np.asarray(counts, dtype=float)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = min(max(3.0, 0.5 * len(classes) + 1.5), 12.0)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    small = len(classes) <= _NUMBERED_CLASSES
    if small:
        for i, j in np.ndindex(*shares.shape):
            axes.text(j, i, f"{int(table[i, j])}", ha="center", va="center", fontsize=8,
                      color="white" if shares[i, j] > 0.6 else "black")  # fmt: skip
    if len(classes) <= 60:
        size = 8 if small else 5
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=size)
        axes.set_yticks(range(len(classes)), classes, fontsize=size)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    return svg(figure)


def reliability(confidence: NDArray[np.float64], right: NDArray[np.float64], bins: int = 15) -> str:
    """Share of right answers by the confidence they were given with; the diagonal is perfect calibration."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    height = np.bincount(place, right, bins)[filled] / count[filled]
    figure = Figure(figsize=(3.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.bar((np.arange(bins)[filled] + 0.5) / bins, height, width=0.9 / bins)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    return svg(figure)


def svg(figure: Figure) -> str:
    """A figure as an ``<svg>`` element: text stays text, and the same plot has the same bytes."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vidcore"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
