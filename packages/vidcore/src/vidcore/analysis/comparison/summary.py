"""From the run folder of a cell to a row of the table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vidcore.analysis.comparison.answers import Answers, read_answers
from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.costs import Cost, together
from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.analysis.comparison.row import Row, Score
from vidcore.data.manifest import read_source
from vidcore.training.files import read_json
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
        answers=_answers(run),
        complete=results.get("complete", True),
    )


def _score(results: Mapping[str, Any], metric: str) -> Score:
    pooled = results["test"]["scores"][metric]
    limits = pooled.get("interval95")
    interval = (limits[0], limits[1]) if limits else None
    if "folds" not in results:
        return Score(pooled["value"], interval95=interval)
    over = results["folds"]["scores"][metric]
    each = tuple(fold[metric] for fold in results["folds"]["each"])
    return Score(over["mean"], over["sd"], interval, each)


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
    if read_json(run.data)["kind"] == "multilabel":
        # Its score is no mean over clips, so there is nothing to pair.
        return None
    rows = read_source(run.split, check_files=False)
    return read_answers(run.predictions, {str(row.extra["row"]): row.group for row in rows})
