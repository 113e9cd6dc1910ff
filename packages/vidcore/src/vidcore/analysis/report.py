"""``report.html``: one page that holds all that a person wants to see of a run, and needs no other file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vidcore.analysis import plots
from vidcore.analysis.comparison.answers import read_answers
from vidcore.analysis.pages import pages
from vidcore.training.files import read_json, write_text
from vidcore.training.run import RunFolder
from vidcore.training.summary import fold_rows, grid_rows, weights_in_words

_SHOWN_CLASSES = 30


def write_report(run: RunFolder) -> Path:
    """Write the page of a run that is done, and return its path.

    Raises:
        RunError: the run is not done, or the page cannot be written.
    """
    results = run.read_results()
    template = pages().get_template("report.html.j2")
    test = results["test"]
    scores = [_score(name, score) for name, score in test["scores"].items()]
    config = run.read_config()
    page = template.render(
        name=run.root.name,
        headline=scores[0],
        scores=scores,
        where=f"of the {test['split']} split" if "folds" not in results else "answered by the models of the folds",
        folds=fold_rows(results) if "folds" in results else [],
        grid=results.get("grid"),
        grid_rows=grid_rows(results["grid"], most=10) if "grid" in results else [],
        held=[_score(name, score) for name, score in results.get("held_out", {}).get("scores", {}).items()],
        test={"interval": "", **test},
        heads=[_head(run, label, judged) for label, judged in test.get("heads", {"": test}).items()],
        notes=results["notes"],
        extractors=[
            (stream, weights_in_words(facts), "frozen" if facts["frozen"] else "trained")
            for stream, facts in results["extractors"].items()
        ],
        composition=f"{config.fusion.name} + {config.readout.name} + {config.head_title}",
        parameters=results["parameters"],
        best_epoch=results["best_epoch"],
        epochs=results["epochs"],
        data=read_json(run.data),
        environment=read_json(run.environment),
        config=run.config.read_text(encoding="utf-8"),
        classes_in_words=_classes_in_words,
        curves=Markup(plots.curves(read_history(run))) if run.metrics.exists() else None,
    )
    write_text(run.report, page)
    return run.report


def _head(run: RunFolder, label: str, judged: Mapping[str, Any]) -> dict[str, Any]:
    """How one head errs: its classes, and what it takes for what."""
    found: dict[str, Any] = {"label": label, "per_class": judged.get("per_class", {}), "confusion": None}
    if "confusion" in judged:
        answers = read_answers(run.predictions_of(label) if label else run.predictions)
        # The SVG is our own drawing; class names in it were escaped by matplotlib.
        found["confusion"] = Markup(plots.confusion(judged["confusion"], list(judged["per_class"])))
        if answers.confidence is not None:
            found["reliability"] = Markup(plots.reliability(answers.confidence, answers.quality))
    return found


def read_history(run: RunFolder) -> list[dict[str, float | None]]:
    """The rows of ``metrics.csv`` as numbers."""
    with run.metrics.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)]


def _score(name: str, score: Mapping[str, Any]) -> dict[str, str]:
    interval = score.get("interval95")
    return {
        "name": name.replace("_", " "),
        "value": f"{score['value']:.4f}",
        "interval": f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
        "baseline": ", ".join(f"{what} {value:.4f}" for what, value in score.get("baseline", {}).items()),
        "definition": score["definition"],
    }


def _classes_in_words(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_SHOWN_CLASSES]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more classes" if more > 0 else "")
