"""What cross-validation found: scores per fold, their mean and spread, and the pooled answers."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vidcore.training.batches import Predictions
from vidcore.training.files import replacing, write_json
from vidcore.training.fitting import takes_no_steps
from vidcore.training.results import (
    closing_notes,
    judged_answers,
    run_facts,
    training_facts,
    write_predictions,
    write_run_baselines,
)
from vidcore.training.run import RunFolder
from vidcore.training.session import Session
from vidcore.training.trainer import Trainer


def write_fold_results(
    session: Session,
    trainer: Trainer,
    folds: Sequence[Mapping[str, Any]],
    best: Mapping[str, Any] | None,
    pooled: Predictions,
    held: Predictions | None,
) -> None:
    """Write ``predictions.csv`` and ``results.json``; the latter comes last.

    Args:
        session: the run.
        trainer: has the model that is shipped.
        folds: what was found in each.
        best: the fold whose model is shipped; ``None``: it was trained on the rows of all folds.
        pooled: every row as the model of the fold that had not seen it answers.
        held: rows that are in no fold as the shipped model answers.
    """
    if best is not None:
        shipped = f"that of fold {best['fold']}, which has the lowest validation loss"
    elif takes_no_steps(trainer.model, trainer.config):
        shipped = "fitted to the rows of all folds"
    else:
        shipped = f"trained on the rows of all folds for {trainer.state.epoch} epochs, the median of the folds' best"
    results = {
        "test": {"split": "folds", **judged_answers(session, pooled, session.data.info, session.model.head)},
        "folds": summarise(folds),
        **(
            {"held_out": {"split": "test", **judged_answers(session, held, session.data.info, trainer.model.head)}}
            if held
            else {}
        ),
        "shipped": shipped,
        "notes": closing_notes(session, [f"the model that is shipped is {shipped}; the scores are the folds'"]),
        **(training_facts(trainer) if best is None else {name: best[name] for name in training_facts(trainer)}),
        "training_seconds": round(sum(fold["training_seconds"] for fold in folds) + trainer.state.seconds, 1),
        **run_facts(session, trainer),
    }
    if trainer.processes.first:
        write_predictions(session.run, [pooled, *([held] if held else [])], session.data)
        write_run_baselines(session, pooled, session.model.head)
        _write_table(session.run, results["folds"]["each"])
        write_json(session.run.results, results)


def _write_table(run: RunFolder, each: Sequence[Mapping[str, Any]]) -> None:
    with replacing(run.table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(each[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(each)


def summarise(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of every score over the folds, and each fold's scores.

    The mean over folds is another quantity than the pooled score: it weighs every fold alike, however many clips it
    tests, and a score such as macro F1 is no mean over clips. It has no interval: folds share training rows, so no
    unbiased estimate of its variance exists (Bengio and Grandvalet, JMLR 2004).
    """
    names = folds[0]["test"]["scores"]
    return {
        "count": len(folds),
        "scores": {name: _spread([fold["test"]["scores"][name]["value"] for fold in folds]) for name in names},
        "each": [
            {
                "fold": fold["fold"],
                "clips": fold["test"]["clips"],
                "best_epoch": fold["best_epoch"],
                "epochs": fold["epochs"],
                "training_seconds": fold["training_seconds"],
                **{name: fold[name] for name in ("lr", "weight_decay") if name in fold},
                **{name: score["value"] for name, score in fold["test"]["scores"].items()},
            }
            for fold in folds
        ],
    }


def _spread(values: list[float]) -> dict[str, Any]:
    # A score that a fold does not have, as R2 of a single clip, is left out.
    known = [value for value in values if math.isfinite(value)]
    sd = statistics.stdev(known) if len(known) > 1 else math.nan
    return {"mean": statistics.fmean(known) if known else math.nan, "sd": sd}
