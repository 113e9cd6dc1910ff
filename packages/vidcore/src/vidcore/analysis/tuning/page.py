"""``tuning.html``: how the search went, what mattered, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vidcore.analysis.pages import pages
from vidcore.analysis.plots import svg
from vidcore.analysis.tuning.headline import headline
from vidcore.training.files import write_text


def write_page(found: Mapping[str, Any], path: Path, *, higher: bool) -> None:
    """Write the page of what ``Tuning.as_dict`` gives; ``higher``: a larger score is better."""
    metric = found["metric"].replace("_", " ")
    done = [trial for trial in found["trials"] if trial["score"] is not None]
    kept = [
        {
            **one,
            "values": _in_words(one["values"]),
            "search_score": f"{one['search_score']:.4f}",
            "score": f"{one['score']:.4f}",
        }
        for one in found["kept"]
    ]
    trials = [
        {
            "number": trial["trial"] + 1,
            "state": trial["state"],
            "score": "" if trial["score"] is None else f"{trial['score']:.4f}",
            "epochs": trial["epochs"],
            "values": _in_words(trial["values"]) if trial["error"] is None else trial["error"].splitlines()[0],
        }
        for trial in sorted(found["trials"], key=lambda t: _rank(t["score"], higher))
    ]
    template = pages().get_template("tuning/tuning.html.j2")
    # The SVGs are our own drawings; the keys in them are escaped by matplotlib.
    plots = [history(done, metric, higher=higher)] if done else []
    plots += [importance(found["importance"])] if found["importance"] else []
    plots += [slices(done, found["importance"], metric)] if found["importance"] else []
    page = template.render(
        name=path.parent.resolve().name,
        metric=metric,
        kept=kept,
        headline=headline(found) if kept else [],
        trials=trials,
        space=found["space"],
        plots=[Markup(plot) for plot in plots],
    )
    write_text(path, page)


def history(trials: list[dict[str, Any]], metric: str, *, higher: bool) -> str:
    """Every trial's score in the order they ran, and the best so far."""
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axes = figure.subplots()
    numbers = np.array([trial["trial"] + 1 for trial in trials])
    scores = np.array([trial["score"] for trial in trials])
    whole = np.array([trial["state"] == "complete" for trial in trials])
    axes.scatter(numbers[whole], scores[whole], s=18, label="whole trial")
    if not whole.all():
        axes.scatter(numbers[~whole], scores[~whole], s=18, marker="x", color="grey", label="stopped early")
    if whole.any():
        best = (np.maximum if higher else np.minimum).accumulate(scores[whole])
        axes.step(numbers[whole], best, where="post", color="C1", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"validation {metric}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return svg(figure)


def importance(shares: Mapping[str, float]) -> str:
    """Share of the score's variation that each option explains."""
    names = sorted(shares, key=shares.__getitem__)
    figure = Figure(figsize=(4.6, 0.8 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([key_in_words(name) for name in names], [shares[name] for name in names])
    axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=3)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("importance (share of variation, fANOVA)")
    return svg(figure)


def slices(trials: list[dict[str, Any]], shares: Mapping[str, float], metric: str) -> str:
    """The score against each of the most important options."""
    names = sorted(shares, key=shares.__getitem__, reverse=True)[:3]
    figure = Figure(figsize=(3.1 * len(names), 3.0), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names, strict=True):
        points = [(t["values"][name], t["score"]) for t in trials if name in t["values"]]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value, _ in points)
        values: list[Any] = [value if numbers else str(value) for value, _ in points]
        axes.scatter(values, [score for _, score in points], s=16)
        if numbers and min(values) > 0 and max(values) / min(values) > 20:
            axes.set_xscale("log")
        axes.set_xlabel(key_in_words(name))
        axes.grid(alpha=0.3)
        axes.label_outer()
    figure.axes[0].set_ylabel(f"validation {metric}")
    return svg(figure)


def key_in_words(name: str) -> str:
    """``readout.options.dropout`` as ``readout dropout``, ``train.lr`` as ``lr``."""
    return name.replace(".options.", " ").replace("train.", "")


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key_in_words(k)} {f'{v:.3g}' if isinstance(v, float) else v}" for k, v in values.items())


def _rank(score: float | None, higher: bool) -> float:
    if score is None:
        return float("inf")
    return -score if higher else score
