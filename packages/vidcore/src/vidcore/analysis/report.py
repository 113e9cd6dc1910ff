"""``report.html``: one page that holds all that a person wants to see of a run, and needs no other file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vidcore.analysis import plots
from vidcore.training.files import read_json, write_text
from vidcore.training.run import RunFolder
from vidcore.training.summary import weights_in_words

_SHOWN_CLASSES = 30


def write_report(run: RunFolder) -> Path:
    """Write the page of a run that is done, and return its path.

    Raises:
        RunError: the run is not done, or the page cannot be written.
    """
    results = run.read_results()
    pages = Environment(
        loader=PackageLoader("vidcore.analysis", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    test = results["test"]
    scores = [_score(name, score) for name, score in test["scores"].items()]
    config = run.read_config()
    page = pages.get_template("report.html.j2").render(
        name=run.root.name,
        headline=scores[0],
        scores=scores,
        test={"interval": "", "per_class": {}, **test},
        notes=results["notes"],
        extractors=[
            (stream, weights_in_words(facts), "frozen" if facts["frozen"] else "trained")
            for stream, facts in results["extractors"].items()
        ],
        composition=f"{config.fusion.name} + {config.readout.name} + {config.head.name}",
        parameters=results["parameters"],
        best_epoch=results["best_epoch"],
        epochs=results["epochs"],
        data=read_json(run.data),
        environment=read_json(run.environment),
        config=run.config.read_text(encoding="utf-8"),
        classes_in_words=_classes_in_words,
        **_plots(run, test),
    )
    write_text(run.report, page)
    return run.report


def _plots(run: RunFolder, test: Mapping[str, Any]) -> dict[str, Markup | None]:
    drawn: dict[str, Markup | None] = {"curves": None, "confusion": None, "reliability": None}
    # The SVG is our own drawing; class names in it were escaped by matplotlib.
    if run.metrics.exists():
        drawn["curves"] = Markup(plots.curves(read_history(run)))
    if "confusion" in test:
        classes = list(test["per_class"])
        confidence, right = _confidences(run)
        drawn["confusion"] = Markup(plots.confusion(test["confusion"], classes))
        drawn["reliability"] = Markup(plots.reliability(confidence, right))
    return drawn


def read_history(run: RunFolder) -> list[dict[str, float | None]]:
    """The rows of ``metrics.csv`` as numbers."""
    with run.metrics.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)]


def _confidences(run: RunFolder) -> tuple[list[float], list[bool]]:
    confidence, right = [], []
    with run.predictions.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chances = {name[2:-1]: float(value) for name, value in row.items() if name.startswith("p(")}
            best = max(chances, key=chances.__getitem__)
            confidence.append(chances[best])
            right.append(best == row["label"])
    return confidence, right


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
