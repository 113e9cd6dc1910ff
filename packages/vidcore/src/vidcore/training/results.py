"""The end of a run: the best model on the test clips, and what is written about it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidcore.data.manifest import Row
from vidcore.data.targets import Targets
from vidcore.heads.base import Head, TargetInfo
from vidcore.heads.several import SeveralHeads, shares
from vidcore.training.baselines import baseline_answers, write_baselines
from vidcore.training.batches import BatchSource, Predictions
from vidcore.training.environment import used_plugins
from vidcore.training.files import read_json, replacing, write_json
from vidcore.training.intervals import Scale, description, score_intervals, units_of
from vidcore.training.metrics import SHARES, definition, judge
from vidcore.training.predicting import scored
from vidcore.training.preparation import PreparedData
from vidcore.training.run import RunFolder
from vidcore.training.session import Session
from vidcore.training.summary import parameter_counts, weights_facts
from vidcore.training.trainer import Trainer


def write_results(session: Session, trainer: Trainer, sources: Mapping[str, BatchSource]) -> None:
    """Test the trained model once and write its weights, predictions and results; ``results.json`` comes last."""
    split = "test" if "test" in sources else "val" if "val" in sources else "train"
    answers = trainer.predict(sources.get("fixed", sources[split]), "test")
    info = session.data.info
    judged = judged_answers(session, answers, info, trainer.model.head)
    results = {
        "test": {"split": split, **judged},
        "complete": not trainer.unfinished,
        "notes": closing_notes(session, [*_about_time(session, trainer), *_about_split(split)]),
        **training_facts(trainer),
        **run_facts(session, trainer),
    }
    scores = {name: score["value"] for name, score in judged["scores"].items()}
    facts = {**model_facts(session, trainer), "scores": scores}
    session.ship(trainer, info, facts)
    if trainer.processes.first:
        write_predictions(session.run, [answers], session.data)
        write_run_baselines(session, answers, trainer.model.head)
        write_json(session.run.results, results)


def training_facts(trainer: Trainer) -> dict[str, Any]:
    """How a training went."""
    state = trainer.state
    return {
        "best_epoch": state.best_epoch,
        "best_score": state.best_score,
        "best_loss": state.best_loss,
        "splits": state.splits,
        "epochs": state.epoch,
        "updates": state.updates,
        "training_seconds": round(state.seconds, 1),
        **({"solution": trainer.solution.facts()} if trainer.solution else {}),
    }


def run_facts(session: Session, trainer: Trainer) -> dict[str, Any]:
    """What ``results.json`` says besides scores; ``score`` is the one that stands for the head in tables."""
    head = trainer.model.head
    return {
        "score": {"name": head.score, "lower_is_better": head.lower_is_better},
        "parameters": parameter_counts(trainer.model),
        "extractors": weights_facts(trainer.model),
        "clips": session.data.as_dict(session.config.data.source)["splits"],
        "skipped": len(session.data.skipped),
        **({"grid": read_json(session.run.choice)} if session.run.choice.exists() else {}),
    }


def model_facts(session: Session, trainer: Trainer) -> dict[str, Any]:
    """What ``model.json`` says besides how to rebuild the model."""
    return {
        "weights": weights_facts(trainer.model),
        "parameters": parameter_counts(trainer.model),
        "precision": session.config.train.precision,
        "plugins": used_plugins(session.config, session.registry),
        "best_epoch": trainer.state.best_epoch,
    }


def judged_answers(session: Session, answers: Predictions, info: TargetInfo, head: Head) -> dict[str, Any]:
    """``judge_predictions`` with the run's rows."""
    return judge_predictions(answers, info, [session.data.rows[row] for row in answers.rows], head)


def judge_predictions(answers: Predictions, info: TargetInfo, rows: Sequence[Row], head: Head) -> dict[str, Any]:
    """Scores with definitions, intervals and baselines; for other targets than classes, the head's own metrics.

    Of several heads, ``heads`` says all this of each, over the clips that have a target for it; their scores stand
    in ``scores`` as ``label/score`` as well.

    Args:
        answers: of the model.
        info: what the head was told.
        rows: the answered clips, in the order of the answers.
        head: of the model.
    """
    if info.parts:
        return _judged_heads(answers, info, rows, head)
    groups = [row.group for row in rows]
    if info.kind == "class":
        majority = int(np.argmax(info.counts))
        probabilities, targets = answers.predictions.float().numpy(), answers.targets.numpy()
        return judge(probabilities, targets, info.classes, majority, groups).as_dict()
    baselines = {
        name: scored(head, said, answers.targets)
        for name, said in baseline_answers(info, rows, answers.targets, head).items()
    }
    units, what = units_of(len(rows), groups)
    limits = score_intervals(
        lambda places: scored(head, answers.predictions[places], answers.targets[places]),
        answers.scores,
        {name: _scale(name, head) for name in answers.scores},
        units,
    )
    scores = {
        name: {
            "value": value,
            **({"interval95": list(limits[name])} if name in limits else {}),
            "definition": definition(name),
            "baseline": {what: found[name] for what, found in baselines.items()},
        }
        for name, value in answers.scores.items()
    }
    count = int(units.max()) + 1
    return {
        "clips": len(rows),
        "scores": scores,
        "interval": description(count, what),
        "units": count,
        "independent": what,
    }


def _scale(name: str, head: Head) -> Scale:
    """On which scale the interval of a score is computed: every error is a number above 0."""
    if name in SHARES:
        return "share"
    return "error" if head.metrics()[name].higher_is_better is False else "plain"


def answers_of_heads(answers: Predictions, info: TargetInfo) -> dict[str, Predictions]:
    """What each of several heads says of the clips that have a target for it."""
    found = {}
    for share in shares(info):
        known = share.known(answers.targets)
        start = f"{share.label}/"
        scores = {name.removeprefix(start): v for name, v in answers.scores.items() if name.startswith(start)}
        rows = [row for row, has in zip(answers.rows, known.tolist(), strict=True) if has]
        said, true = share.said(answers.predictions[known]), share.true(answers.targets[known])
        # The loss is that of all heads together.
        found[share.label] = Predictions(said, true, rows, answers.loss, scores)
    return found


def _judged_heads(answers: Predictions, info: TargetInfo, rows: Sequence[Row], head: Head) -> dict[str, Any]:
    parts = {share.label: own for share, own in head.each()} if isinstance(head, SeveralHeads) else {}
    row_of = dict(zip(answers.rows, rows, strict=True))
    heads = {
        label: judge_predictions(own, info.parts[label], [row_of[row] for row in own.rows], parts[label])
        for label, own in answers_of_heads(answers, info).items()
        if own.rows
    }
    scores = {f"{label}/{name}": score for label, own in heads.items() for name, score in own["scores"].items()}
    return {"clips": len(answers.rows), "scores": scores, "heads": heads}


def write_run_baselines(session: Session, answers: Predictions, head: Head) -> None:
    """``baselines.csv`` of the tested clips."""
    data = session.data
    rows = [replace(row, extra={**row.extra, "row": data.numbers[n]}) for n in answers.rows for row in [data.rows[n]]]
    write_baselines(session.run.baselines, data.info, answers, rows, head)


def write_predictions(run: RunFolder, parts: Sequence[Predictions], data: PreparedData) -> None:
    """``predictions.csv``: one row per tested clip with the probability of every class.

    Several heads have a file each. ``row`` is its place in the source, ``fold`` the fold whose model answered; 0: the
    model that is shipped.
    """
    if not data.targets.parts:
        _write_answers(run.predictions, parts, data, data.targets)
        return
    apart = [answers_of_heads(answers, data.info) for answers in parts]
    for label, targets in data.targets.parts.items():
        _write_answers(run.predictions_of(label), [answers[label] for answers in apart], data, targets)


def _write_answers(path: Path, parts: Sequence[Predictions], data: PreparedData, targets: Targets) -> None:
    fold_of = data.fold_of
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "video", "fold", "label", *_columns(parts[0], targets)])
        for answers in parts:
            lines = zip(answers.rows, answers.targets, _numbers(answers, targets).tolist(), strict=True)
            for row, true, numbers in lines:
                label = targets.classes[int(true)] if targets.kind == "class" else data.rows[row].label
                where = [data.numbers[row], data.rows[row].video, fold_of.get(row, 0), label]
                writer.writerow([*where, *map(full_precision, numbers)])


def full_precision(number: float) -> str:
    """Text from which the same float32 is read again: six digits would change the most probable of many classes."""
    return f"{number:.9g}"


def _numbers(answers: Predictions, targets: Targets) -> torch.Tensor:
    """Class probabilities (N, C); or of other targets the targets and the predictions, flattened, side by side."""
    said = answers.predictions.flatten(1).double() if answers.predictions.dim() > 1 else answers.predictions[:, None]
    if said.shape[1] == len(targets.classes):
        return said
    true = answers.targets.flatten(1) if answers.targets.dim() > 1 else answers.targets[:, None]
    return torch.cat([true.double(), said], 1)


def _columns(answers: Predictions, targets: Targets) -> list[str]:
    total = _numbers(answers, targets).shape[1]
    if total == len(targets.classes):
        return [f"p({name})" for name in targets.classes]
    true = answers.targets[0].numel()
    return [*(f"target{i}" for i in range(true)), *(f"prediction{i}" for i in range(total - true))]


def closing_notes(session: Session, notes: Sequence[str]) -> list[str]:
    """The data's notes, ``notes``, and one for each video that was left out."""
    skipped = [f"skipped {skipped.video}: {skipped.reason}" for skipped in session.data.skipped]
    return [*session.data.notes, *notes, *skipped]


def _about_time(session: Session, trainer: Trainer) -> list[str]:
    if not trainer.unfinished:
        return []
    where = f"epoch {trainer.state.epoch + 1} of {trainer.epochs}"
    note = f"the time budget of {session.deadline.in_words} was over in {where}: this is the best model so far"
    session.progress.note(note)
    return [f"{note}; go on with: {session.run.resume_command}"]


def _about_split(split: str) -> list[str]:
    if split == "test":
        return []
    return [f"there is no test split: these are the scores on {split}, which training has seen or chosen by"]
