"""The end of a run: the best model on the test clips, and what is written about it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import numpy as np

from vidcore.config import RunConfig
from vidcore.heads.base import TargetInfo
from vidcore.training.batches import BatchSource, Predictions
from vidcore.training.files import replacing, write_json
from vidcore.training.metrics import judge
from vidcore.training.preparation import PreparedData
from vidcore.training.run import RunFolder
from vidcore.training.summary import parameter_counts, weights_facts
from vidcore.training.trained import save_trained
from vidcore.training.trainer import Trainer


def write_results(
    run: RunFolder, config: RunConfig, data: PreparedData, trainer: Trainer, sources: Mapping[str, BatchSource]
) -> dict[str, Any]:
    """Test the trained model once and write its weights, predictions and results; ``results.json`` comes last."""
    state, model = trainer.state, trainer.model
    split = "test" if "test" in sources else "val" if "val" in sources else "train"
    answers = trainer.predict(sources[split], "test")
    groups = [data.rows[row].group for row in answers.rows]
    judged = judge_predictions(answers, data.info, groups)
    results: dict[str, Any] = {
        "test": {"split": split, **judged},
        "notes": [*data.notes, *_about_split(split), *_about_skipped(data)],
        "best_epoch": state.best_epoch,
        "best_score": state.best_score,
        "epochs": state.epoch,
        "updates": state.updates,
        "training_seconds": round(state.seconds, 1),
        "parameters": parameter_counts(model),
        "extractors": weights_facts(model),
        "clips": data.as_dict(config.data.source)["splits"],
        "skipped": len(data.skipped),
    }
    facts = {
        "weights": weights_facts(model),
        "parameters": parameter_counts(model),
        "precision": config.train.precision,
        "best_epoch": state.best_epoch,
        "scores": {name: score["value"] for name, score in judged["scores"].items()},
    }
    save_trained(run.root, model, config, data.info, facts)
    write_predictions(run, answers, data)
    write_json(run.results, results)
    return results


def judge_predictions(answers: Predictions, info: TargetInfo, groups: list[str | None]) -> dict[str, Any]:
    """Scores with definitions, intervals and baselines; for other targets than classes, the head's own metrics."""
    if info.kind != "class":
        scores = {name: {"value": value, "definition": f"the head's {name}"} for name, value in answers.scores.items()}
        return {"clips": len(answers.rows), "scores": scores}
    majority = int(np.argmax(info.counts))
    return judge(answers.predictions.float().numpy(), answers.targets.numpy(), info.classes, majority, groups).as_dict()


def write_predictions(run: RunFolder, answers: Predictions, data: PreparedData) -> None:
    """``predictions.csv``: one row per test clip with the probability of every class."""
    classes = data.targets.classes
    with replacing(run.predictions) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video", "label", *(f"p({name})" for name in classes)])
        for row, chances in zip(answers.rows, answers.predictions.tolist(), strict=True):
            writer.writerow([data.rows[row].video, data.rows[row].label, *(f"{chance:.6f}" for chance in chances)])


def _about_split(split: str) -> list[str]:
    if split == "test":
        return []
    return [f"there is no test split: these are the scores on {split}, which training has seen or chosen by"]


def _about_skipped(data: PreparedData) -> list[str]:
    return [f"skipped {skipped.video}: {skipped.reason}" for skipped in data.skipped]
