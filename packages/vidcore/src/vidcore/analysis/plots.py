"""Plots of a run, as SVG text that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

_WIDE = (7.0, 3.0)
# More classes than this and the cells are too small to hold numbers.
_NUMBERED_CLASSES = 15


def curves(history: Sequence[Mapping[str, float | None]]) -> str:
    """Loss and validation scores over the epochs, side by side."""
    figure = Figure(figsize=_WIDE, layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for name in history[0]:
        axes = losses if name.endswith("loss") else scores if name.startswith("val_") else None
        if axes is not None:
            axes.plot(epochs, [row.get(name) for row in history], marker=".", label=name.replace("_", " "))
    for axes, title in ((losses, "loss"), (scores, "validation scores")):
        axes.set_xlabel("epoch")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    return _svg(figure)


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
    return _svg(figure)


def reliability(confidence: Sequence[float], right: Sequence[bool], bins: int = 15) -> str:
    """Share of right answers by the confidence they were given with; the diagonal is perfect calibration."""
    sure, hit = np.asarray(confidence), np.asarray(right, dtype=float)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = count > 0
    height = np.bincount(place, hit, bins)[filled] / count[filled]
    figure = Figure(figsize=(3.4, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.bar((np.arange(bins)[filled] + 0.5) / bins, height, width=0.9 / bins)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Text stays text, and the same plot has the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "vidcore"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
