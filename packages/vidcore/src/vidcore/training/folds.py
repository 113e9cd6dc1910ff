"""Cross-validation: a model per fold from data that was read once, and the model that is shipped."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from vidcore.data.splits import Splits
from vidcore.errors import TrainingError
from vidcore.training.batches import BatchSource, Predictions, TrainingData
from vidcore.training.checkpoints import Checkpoints, trained_state
from vidcore.training.choosing import TOGETHER, numbers_by_grid
from vidcore.training.files import read_json, replacing, write_json
from vidcore.training.fitting import takes_no_steps
from vidcore.training.fold_results import write_fold_results
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.predicting import scored
from vidcore.training.results import judged_answers, model_facts, training_facts
from vidcore.training.run import RunFolder
from vidcore.training.selection import Selected
from vidcore.training.session import Session
from vidcore.training.sharding import whole
from vidcore.training.state import Row
from vidcore.training.trained import load_tensors, save_part
from vidcore.training.trainer import Trainer

Fold = dict[str, Any]
"""What ``results.json`` in a fold's folder says."""


def cross_validate(session: Session) -> bool:
    """Train and test a model per fold, skipping those that are done, then ship a model.

    The model that is shipped is trained on the rows of all folds for the median of the folds' best epochs,
    or with ``train.refit=false`` it is that of the fold with the lowest validation loss.

    Returns:
        ``True``: it came to its end.

    Raises:
        RunInterruptedError: the time was up; the folds that are done stay.
    """
    base = session.trainer()
    base.prepare(session.model)
    sources = _shared_sources(session, base)
    sessions = _by_grid(session, sources["fixed"]) if session.config.train.grid is not None else {}
    done: list[Fold] = []
    for number, splits in enumerate(session.data.folds, 1):
        folder = session.run.fold(number)
        if not base.processes.from_first(folder.done):
            own = replace(sessions.get(number, session), splits=session.splits)
            _train_fold(own, sources, number, splits, [row for fold in done for row in fold["history"]])
        done.append(base.processes.from_first(_tidied(folder) if base.processes.first else {}))
        session.splits = max(session.splits, done[-1]["splits"])
    answers = base.processes.from_first(_pooled(session, done) if base.processes.first else None)
    if answers is None:
        raise TrainingError("the first process has no answers of the folds")
    rows = [row for fold in done for row in fold["history"]]
    best = None if session.config.train.refit else _best_fold(done)
    trainer = _refit(sessions.get(TOGETHER, session), sources, done, rows) if best is None else _ship(session, best)
    held = trainer.predict(sources["held"], "test") if "held" in sources else None
    write_fold_results(session, trainer, done, best, answers, held)
    return True


def _by_grid(session: Session, source: BatchSource) -> dict[int, Session]:
    """For each fold, and for the model that is shipped, the session with the numbers that a grid chose."""
    place = {row: i for i, row in enumerate(session.data.splits.train)}
    folds = {
        number: ([place[row] for row in splits.train], [place[row] for row in splits.val])
        for number, splits in enumerate(session.data.folds, 1)
    }
    return numbers_by_grid(session, [source], folds)


def _tidied(folder: RunFolder) -> Fold:
    """The results of a fold that is done; what else it leaves is its model and its answers."""
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    found: Fold = read_json(folder.results)
    return found


def _shared_sources(session: Session, trainer: Trainer) -> dict[str, BatchSource]:
    """``train`` and ``fixed`` over the rows of all folds, and ``held`` over those kept out.

    Where clips are the same in every epoch, one source serves all folds and parts; where training draws them
    at random, the other parts need one that does not.
    """
    rows, held = session.data.splits.train, session.data.splits.test
    given = session.sources(Splits(rows, rows if session.config.redraws_clips else [], held), trainer)
    found = {"train": given["train"], "fixed": given.get("val", given["train"])}
    return found | ({"held": given["test"]} if "test" in given else {})


def _train_fold(
    session: Session, sources: Mapping[str, BatchSource], number: int, splits: Splits, before: list[Row]
) -> None:
    place = {row: i for i, row in enumerate(session.data.splits.train)}
    train = session.balanced(Selected(sources["train"], [place[row] for row in splits.train]), splits.train)
    val = Selected(sources["fixed"], [place[row] for row in splits.val]) if splits.val else None
    test = Selected(sources["fixed"], [place[row] for row in splits.test])
    config, folder = session.config.train, session.run.fold(number)
    folder.root.mkdir(parents=True, exist_ok=True)
    folds = len(session.data.folds)
    session.progress.tell(fold=number, folds=folds)
    session.progress.detail(f"fold {number} of {folds}: {len(train)} train, {len(splits.val)} val, {len(test)} test")
    # What takes no steps has no epochs.
    steps = (config.epochs or 0) * math.ceil(len(train) / config.batch_size)
    later = steps * (folds - number + config.refit)
    trainer = session.trainer(checkpoints=Checkpoints(folder.checkpoints), fold=number, later=later)
    trainer.prepare(session.fresh_model(splits))
    session.fit(trainer, TrainingData(train, val, session.units), folder, fold=number, before=before)
    _refuse_unfinished(trainer, f"in fold {number} of {folds}")
    temperature = trainer.calibrate(val)
    answers = trainer.predict(test, "test")
    info = session.data.told(splits)
    tensors = whole(trained_state(trainer.model))
    judged = judged_answers(session, answers, info, trainer.model.head)
    if trainer.processes.first:
        _write_answers(folder, answers)
        facts = {"fold": number, **model_facts(session, trainer)}
        save_part(folder.root, tensors, session.config, info, facts, whole=session.run.root)
        # The trainer filled in what the run left open.
        numbers = {"lr": trainer.config.lr, "weight_decay": config.weight_decay, "temperature": temperature}
        found = {"fold": number, **training_facts(trainer), **numbers, "test": {"split": "test", **judged}}
        write_json(folder.results, {**found, "history": trainer.state.history})
    scores = ", ".join(f"{name.replace('_', ' ')} {score['value']:.4f}" for name, score in judged["scores"].items())
    chosen = "" if takes_no_steps(trainer.model, config) else f", model of epoch {trainer.state.best_epoch}"
    session.progress.note(f"fold {number} of {folds}: {scores} on {len(test)} clips{chosen}")


def _refit(session: Session, sources: Mapping[str, BatchSource], done: list[Fold], before: list[Row]) -> Trainer:
    last = max(1, round(statistics.median(fold["best_epoch"] for fold in done)))
    rows = session.data.splits.train
    session.progress.note(
        f"fitting the model that is shipped to all {len(rows)} rows"
        if takes_no_steps(session.model, session.config.train)
        else f"training the model that is shipped on all {len(rows)} rows, {last} epochs: the median of the folds' best"
    )
    trainer = session.trainer(checkpoints=Checkpoints(session.run.checkpoints), last_epoch=last)
    trainer.prepare(session.fresh_model(session.data.splits))
    data = TrainingData(session.balanced(sources["train"], rows), units=session.units)
    session.fit(trainer, data, session.run, before=before)
    _refuse_unfinished(trainer, "while the model that is shipped was trained; all folds are done")
    # There are no held-out clips left to calibrate by: the folds' own temperatures say how sure such a model is.
    trainer.calibrate(None, statistics.geometric_mean(fold["temperature"] for fold in done))
    session.ship(trainer, session.data.info, model_facts(session, trainer))
    return trainer


def _best_fold(done: list[Fold]) -> Fold:
    """The fold with the lowest validation loss; the test scores choose nothing."""
    return min(done, key=lambda fold: math.inf if fold["best_loss"] is None else fold["best_loss"])


def _ship(session: Session, fold: Fold) -> Trainer:
    splits, folder = session.data.folds[fold["fold"] - 1], session.run.fold(fold["fold"])
    session.progress.note(f"the model of fold {fold['fold']} is shipped: it validated best")
    trainer = session.trainer()
    trainer.prepare(session.fresh_model(splits))
    load_tensors(trainer.model, folder.weights)
    facts = {**model_facts(session, trainer), "best_epoch": fold["best_epoch"], "fold": fold["fold"]}
    session.ship(trainer, session.data.told(splits), facts)
    return trainer


def _refuse_unfinished(trainer: Trainer, where: str) -> None:
    if trainer.unfinished:
        raise RunInterruptedError(f"the time budget was over {where}, after {trainer.state.updates} steps")


def _write_answers(folder: RunFolder, answers: Predictions) -> None:
    tensors = {
        "predictions": answers.predictions.contiguous(),
        "targets": answers.targets.contiguous(),
        "rows": torch.tensor(answers.rows),
        "loss": torch.tensor(answers.loss, dtype=torch.float64),
    }
    with replacing(folder.answers, durable=True) as temporary:
        save_file(tensors, str(temporary))


def _read_answers(folder: RunFolder) -> Predictions:
    tensors = load_file(str(folder.answers))
    rows: list[int] = tensors["rows"].tolist()
    return Predictions(tensors["predictions"], tensors["targets"], rows, float(tensors["loss"]))


def _pooled(session: Session, done: list[Fold]) -> Predictions:
    """The answers of all folds as those of one test: every row once, by the model that had not seen it."""
    parts = [_read_answers(session.run.fold(fold["fold"])) for fold in done]
    predictions = torch.cat([part.predictions for part in parts])
    targets = torch.cat([part.targets for part in parts])
    rows = [row for part in parts for row in part.rows]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return Predictions(
        predictions[order],
        targets[order],
        [rows[i] for i in order],
        sum(part.loss * len(part.rows) for part in parts) / len(rows),
        scored(session.model.head, predictions, targets),
    )
