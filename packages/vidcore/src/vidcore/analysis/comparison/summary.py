"""From the run folder of a cell to a row of the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.analysis.comparison.answers import Answers, read_answers
from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.costs import Cost, together
from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.analysis.comparison.row import Baseline, Row, Score
from vidcore.data.manifest import read_source
from vidcore.training.baselines import read_baselines
from vidcore.training.files import read_json
from vidcore.training.intervals import jackknife, mean_interval, units_of
from vidcore.training.run import RunFolder
from vidcore.training.summary import NO_WEIGHTS


def row_of(folder: ComparisonFolder, cell: Cell, label: str, costs: Sequence[Cost]) -> Row:
    """The row of a cell that is done; ``costs`` are those of its extractors, empty where one was not measured.

    Raises:
        RunError: a file of the run is missing or is not what a run writes.
    """
    run = folder.run(cell)
    results = run.read_results()
    told = read_json(run.progress)
    cost = together(costs) if costs else None
    test = results["test"]
    metric = results["score"]["name"]
    answers = _answers(run)
    classes = {name: found for name, found in test.get("per_class", {}).items() if found["support"]}
    return Row(
        cell=cell,
        label=label,
        folder=str(run.root.relative_to(folder.root)),
        metric=metric,
        lower_is_better=results["score"]["lower_is_better"],
        score=_score(results, metric),
        macro_f1=_mean(classes, "f1"),
        precision=_mean(classes, "precision"),
        recall=_mean(classes, "recall"),
        trained=results["parameters"]["trained"],
        parameters=results["parameters"]["total"],
        cost=cost,
        extraction_seconds=told.get("extraction_seconds"),
        extracted_clips=told.get("extracted_clips"),
        training_seconds=results["training_seconds"],
        width=cost.width if cost else None,
        weights=_weights(list(results["extractors"].values())),
        confusion=tuple(tuple(counts) for counts in test.get("confusion", ())),
        classes=tuple(test.get("per_class", ())),
        answers=answers,
        baselines=_baselines(run, metric, answers),
        complete=results.get("complete", True),
    )


def _score(results: Mapping[str, Any], metric: str) -> Score:
    pooled = results["test"]["scores"][metric]
    limits = pooled.get("interval95")
    interval = (limits[0], limits[1]) if limits else None
    each = tuple(fold[metric] for fold in results["folds"]["each"]) if "folds" in results else ()
    return Score(pooled["value"], interval, each)


def _mean(classes: Mapping[str, Mapping[str, float]], name: str) -> float | None:
    return statistics.fmean(found[name] for found in classes.values()) if classes else None


def _weights(extractors: Sequence[Mapping[str, Any]]) -> str:
    """``random``, or the tag or file name with the beginning of its hash; one per extractor."""
    found = []
    for facts in extractors:
        if facts["weights"] in ("random", NO_WEIGHTS):
            found.append(facts["weights"])
        else:
            name = facts["weights"].rpartition("/")[2].removesuffix(".safetensors")
            found.append(f"{name} {facts['sha256'][:12]}")
    return " + ".join(found)


def _answers(run: RunFolder) -> Answers | None:
    kind = read_json(run.data)["kind"]
    if kind == "multilabel":
        # Its score is no mean over clips, so there is nothing to pair.
        return None
    rows = read_source(run.split, labels=False, check_files=False)
    groups = {str(row.extra["row"]): row.group for row in rows}
    # As the head's score, errors of several columns count in standard deviations.
    std = read_json(run.model)["targets"].get("std", ()) if kind == "value" else ()
    return read_answers(run.predictions, groups, std)


def _baselines(run: RunFolder, metric: str, answers: Answers | None) -> tuple[Baseline, ...]:
    if answers is None:
        return ()
    units, _ = units_of(len(answers.clips), answers.groups)
    found = []
    for name, known in read_baselines(run.baselines).items():
        quality = np.array([known[clip] for clip in answers.clips])
        score, limits = _as_score(quality, units, metric)
        found.append(Baseline(name, metric, score, limits, Answers(answers.clips, quality, answers.groups)))
    return tuple(found)


def _as_score(
    quality: NDArray[np.float64], units: NDArray[np.int64], metric: str
) -> tuple[float, tuple[float, float] | None]:
    """The mean quality as a number of the metric: itself for accuracy, the error or its root for numbers."""
    if metric == "accuracy":
        # Of classes of one frequency it is the same for every clip, and no estimate.
        limits = mean_interval(quality, units) if np.ptp(quality) > 0 else None
        return float(quality.mean()), limits and (max(limits[0], 0.0), min(limits[1], 1.0))
    sums, sizes = np.bincount(units, -quality), np.bincount(units)
    power = 0.5 if metric.startswith(("rmse", "nrmse")) else 1.0
    if len(sums) < 2:
        return float((-quality).mean() ** power), None
    without = ((sums.sum() - sums) / (sizes.sum() - sizes)) ** power
    value = float((-quality).mean() ** power)
    return value, jackknife(value, without, "error")
