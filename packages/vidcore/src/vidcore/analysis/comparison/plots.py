"""Score against cost: the picture a choice is made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from vidcore.analysis.plots import svg

_SINGLE, _FUSED, _FRONT = "#1f6fb4", "#d1681f", "#7a7a7a"
# Pixels of the figure: where a number may stand beside its point, and how far from everything else.
_CORNERS = [(dx * reach, dy * reach) for reach in (13, 22, 31) for dx, dy in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
_APART = 13.0


@dataclass(frozen=True, slots=True)
class Point:
    """A row in the plot; ``number`` is its number in the table."""

    number: int
    cost: float
    score: float
    interval: tuple[float, float] | None
    fused: bool


def pareto_front(points: Sequence[Point], *, lower_is_better: bool = False) -> list[Point]:
    """The points that no other beats: none is at least as good for less, or better for as much; cheapest first."""
    sign = -1 if lower_is_better else 1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -sign * p.score)):
        if not front or sign * point.score > sign * front[-1].score:
            front.append(point)
    return front


def score_against_cost(
    panels: Sequence[tuple[str, str, Sequence[Point]]], metric: str, *, lower_is_better: bool = False
) -> str:
    """One panel per kind of cost (label, unit, points), cost on a logarithmic axis, Pareto front marked."""
    fronts = {label: pareto_front(points, lower_is_better=lower_is_better) for label, _, points in panels}
    figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
    for axes, (label, unit, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, points, fronts[label])
        axes.set_xlabel(label)
        axes.set_ylabel(metric)
        axes.xaxis.set_major_formatter(EngFormatter(unit, sep=" "))
    # Where things are on the paper is known once they were drawn.
    figure.draw_without_rendering()
    for axes, (label, _, points) in zip(figure.axes, panels, strict=True):
        _number(axes, points, fronts[label])
    return svg(figure)


def _draw(axes: Axes, points: Sequence[Point], front: Sequence[Point]) -> None:
    axes.set_xscale("log")
    axes.grid(alpha=0.25)
    costs = [point.cost for point in points]
    # Two decades of 1, 2 and 5 are as many labels as fit.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(costs) < 100 * min(costs) else (1,), numticks=12))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.step([p.cost for p in front], [p.score for p in front], where="post", color=_FRONT, linewidth=1,
              linestyle="--", label="Pareto front", zorder=1)  # fmt: skip
    for fused, colour, name in ((False, _SINGLE, "one extractor"), (True, _FUSED, "fused")):
        shown = [point for point in points if point.fused == fused]
        if shown:
            axes.scatter([p.cost for p in shown], [p.score for p in shown], s=42, color=colour, label=name, zorder=3)
    for point in points:
        if point.interval:
            axes.plot([point.cost] * 2, point.interval, color=_FUSED if point.fused else _SINGLE, alpha=0.35, zorder=2)
        if point in front:
            axes.scatter([point.cost], [point.score], s=110, facecolors="none", edgecolors="black", zorder=4)
    axes.legend(fontsize=8)
    axes.margins(x=0.15, y=0.12)


def _number(axes: Axes, points: Sequence[Point], front: Sequence[Point]) -> None:
    """Write each point's number beside it, in the first corner that is free of other numbers and points."""
    taken = [tuple(axes.transData.transform((point.cost, point.score))) for point in points]
    for point, (x, y) in zip(points, list(taken), strict=True):
        places = [(x + dx, y + dy) for dx, dy in _CORNERS]
        room = [min(math.dist(place, other) for other in taken) for place in places]
        best = next((place for place, free in zip(places, room, strict=True) if free > _APART), None)
        place = best or places[room.index(max(room))]
        taken.append(place)
        axes.annotate(str(point.number), (point.cost, point.score), xytext=(place[0] - x, place[1] - y),
                      textcoords="offset pixels", fontsize=9, ha="center", va="center",
                      fontweight="bold" if point in front else "normal")  # fmt: skip
