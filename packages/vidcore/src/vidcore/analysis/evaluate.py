"""A trained model on any labelled clips."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidcore.catalog import installed
from vidcore.config import TrainConfig
from vidcore.config.classifier import names_extractor
from vidcore.data.datasets import open_source
from vidcore.data.inspect import inspect_source
from vidcore.data.manifest import Row, read_source
from vidcore.data.sampling import Sampling
from vidcore.data.targets import targets_for
from vidcore.errors import ConfigError, RunError
from vidcore.heads._published import match_notes
from vidcore.heads.base import TargetInfo
from vidcore.training.batches import BatchSource, Predictions
from vidcore.training.device import chosen_device
from vidcore.training.head_targets import run_targets
from vidcore.training.loader import ClipLoader, ClipSplit
from vidcore.training.metrics import judge
from vidcore.training.predicting import scored
from vidcore.training.progress import Progress
from vidcore.training.published import load_published
from vidcore.training.results import answers_of_heads, judge_predictions
from vidcore.training.run import RunFolder, open_run
from vidcore.training.stored import storable, store_features
from vidcore.training.trained import TrainedModel, load, sampling_of
from vidcore.training.trainer import Trainer

MISTAKES = 20
# Looks at videos that are answered in one forward.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model is worth on some clips.

    Attributes:
        source: the split of the run, or the data that was named.
        judged: scores with definitions, intervals and baselines, per-class scores, confusion counts.
        mistakes: the wrong answers given with most confidence: video, label, answer, probability.
        skipped: videos left out, and why.
        clips: of each video, whose answers are averaged.
        crops: of each clip.
        notes: what a reader must know of the answers.
    """

    source: str
    judged: dict[str, Any]
    mistakes: list[dict[str, Any]]
    skipped: list[dict[str, str]]
    clips: int = 1
    crops: int = 1
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        views = {"clips": self.clips, "crops": self.crops}
        return {
            "source": self.source,
            "views": views,
            **self.judged,
            "mistakes": self.mistakes,
            "skipped": self.skipped,
            "notes": list(self.notes),
        }


def evaluate(
    run: str | os.PathLike[str],
    *,
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
    split: str | None = None,
    head: str | None = None,
    clips: int = 1,
    crops: int = 1,
    skip_bad: bool = False,
    device: str = "auto",
    workers: int | None = None,
    show: bool = False,
    weights: str | None = None,
    classes: str | None = None,
    label_map: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Measure the model of a run on a split of its own data, or on other labelled data.

    Args:
        run: a run folder; or an extractor's name, whose published classifier is measured on ``data``.
        data: a folder, manifest or data set; by default the run's own.
        options: of a named data set.
        split: train, val or test; by default test for the run's own data, and everything for other data.
        head: of a model with several heads the one that ``data`` has targets for; by default all of them.
        clips: so many of each video, and the mean of their answers. Of a model that looks at whole videos (published
            and uniform sampling), each takes other frames of the whole; else they are windows evenly placed in it.
        crops: so many of each clip, evenly placed along its longer side; 1: the centre.
        skip_bad: leave out videos that cannot be read instead of stopping.
        device: auto, cpu or cuda.
        workers: loader processes.
        show: print progress.
        weights: of an extractor, as in ``vidcore.load``.
        classes: label set of those weights, as in ``vidcore.load``.
        label_map: of an extractor: label of the data -> published class, or several; or a YAML file of that.

    Raises:
        RunError: the run is not done, or has no such split.
        DataError: videos that cannot be read, labels the model does not know.
        ConfigError: several views of a model that says where things are, or crops that do not fit.
    """
    if names_extractor(run):
        if data is None:
            raise ConfigError(f"{run} is an extractor, which has no data of its own; name some: --data PATH")
        if split_views := [name for name, count in (("clips", clips), ("crops", crops)) if count != 1]:
            raise ConfigError(f"{split_views[0]} is for runs: a published classifier is shown the whole video")
        chosen = {"weights": weights, "classes": classes, "label_map": label_map, "device": device}
        with Progress(show=show) as progress:
            source, rows = _other_rows(data, options, split, progress)
            rows, skipped = _readable(source, rows, skip_bad, workers, progress)
            return _of_classifier(str(run), source, rows, skipped, chosen, progress)
    if weights or classes or label_map:
        raise ConfigError(f"{run} is a run: weights, classes and label_map are those of a published classifier")
    folder = open_run(run)
    model = load(folder.root, device=device)
    _check_views(model, clips, crops)
    _check_head(model, head, data)
    with Progress(show=show) as progress:
        if data is None:
            source, rows = _own_rows(folder, split or "test")
        else:
            source, rows = _other_rows(data, options, split, progress)
        rows, skipped = _readable(source, rows, skip_bad, workers, progress)
        config = folder.read_config()
        targets = run_targets(config, installed(), rows, model.targets, head)
        answers = _answers(model, rows, targets.values, (clips, crops), config.data.store, device, workers, progress)
    judged = judge_predictions(answers, model.targets, [rows[n] for n in answers.rows], model.model.head)
    return Evaluation(source, judged, _mistakes(answers, rows, model.targets), skipped, clips, crops)


def _readable(
    source: str, rows: list[Row], skip_bad: bool, workers: int | None, progress: Progress
) -> tuple[list[Row], list[dict[str, str]]]:
    """The rows whose videos can be read, and the others with the reasons."""
    with progress.counting("checking videos") as told:
        report = inspect_source(rows, workers=workers or None, progress=told)
    if not skip_bad:
        report.raise_for_failures()
    bad = set(report.bad_rows())
    reasons = {failure.path: f"{failure.stage}: {failure.reason}" for failure in report.failures}
    skipped = [
        {"video": str(rows[n].video), "reason": reasons.get(rows[n].video, "its segment holds no frame")}
        for n in sorted(bad)
    ]
    kept = [row for number, row in enumerate(rows) if number not in bad]
    if not kept:
        raise RunError(f"{source}: no video of it can be read")
    return kept, skipped


def _of_classifier(
    name: str,
    source: str,
    rows: list[Row],
    skipped: list[dict[str, str]],
    chosen: Mapping[str, Any],
    progress: Progress,
) -> Evaluation:
    """A published classifier on the rows: which of its classes stand for theirs is in the notes."""
    targets = targets_for("class", rows)
    counts = targets.counts(range(len(rows)))
    model = load_published(name, labels=targets.classes, counts=counts, registry=installed(), **chosen)
    notes = match_notes(model.model.head.config, targets.classes, counts)
    for note in notes:
        progress.note(note)
    progress.begin("evaluation", len(rows))
    said = []
    for row in rows:
        said.append(model.answer(row).cpu())
        progress.advance()
    chances = torch.cat(said)
    judged = judge(
        chances.numpy(),
        targets.values.numpy(),
        targets.classes,
        int(np.argmax(counts)),
        [row.group for row in rows],
    ).as_dict()
    answers = Predictions(chances, targets.values, list(range(len(rows))), math.nan)
    return Evaluation(source, judged, _mistakes(answers, rows, model.targets), skipped, notes=tuple(notes))


def _own_rows(run: RunFolder, split: str) -> tuple[str, list[Row]]:
    rows = list(read_source(run.split, labels=False))
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        there = ", ".join(sorted({str(row.split) for row in rows}))
        if run.folds.exists():
            raise RunError(
                f"{run.root} was cross-validated and kept no {split} rows: the models of its folds tested every row\n"
                "  see its report; the model that is shipped is measured on other data, with --data"
            )
        raise RunError(f"{run.root} has no split {split!r}; it has: {there}\n  choose one with --split")
    return f"{split} split of the run", chosen


def _other_rows(
    data: str, options: Mapping[str, Any] | None, split: str | None, progress: Progress
) -> tuple[str, list[Row]]:
    with progress.counting(f"preparing {data}") as told:
        rows = list(open_source(data, options, told=told, labels=False))
    if split is None:
        return data, rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        raise RunError(f"{data} has no row whose split is {split!r}; leave --split away to use every row")
    return f"{split} split of {data}", chosen


def _check_views(model: TrainedModel, clips: int, crops: int) -> None:
    for name, count in (("clips", clips), ("crops", crops)):
        if count < 1:
            raise ConfigError(f"{name} is {count}; it must be at least 1")
    told = [model.targets, *model.targets.parts.values()]
    if clips * crops > 1 and any(info.kind == "position" for info in told):
        raise ConfigError(
            "the model predicts positions, which are others in every clip and crop: their mean says nothing; "
            "use clips=1 and crops=1"
        )


def _check_head(model: TrainedModel, head: str | None, data: str | None) -> None:
    if head is None:
        return
    if data is None:
        raise ConfigError("head chooses whose targets other data has; the run's own has those of all: give data too")
    if not model.targets.parts:
        raise ConfigError(f"head={head!r}: the model has one head; leave it out")
    if head not in model.targets.parts:
        near = difflib.get_close_matches(head, model.targets.parts, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"the model has no head {head!r}; {hint}it has: {', '.join(model.targets.parts)}")


def _answers(
    model: TrainedModel,
    rows: Sequence[Row],
    targets: Tensor,
    views: tuple[int, int],
    store: Path | None,
    device: str,
    workers: int | None,
    progress: Progress,
) -> Predictions:
    sampling, every = sampling_of(model.config), range(len(rows))
    # The precision of the run where the device has it, so that the run's own test gives its own scores.
    config = TrainConfig(device=device, precision=model.facts.get("precision"))
    if config.precision == "16-mixed" and chosen_device(device) == "cpu":
        config = TrainConfig(device=device)
    clips, crops = views
    looks = clips * crops
    # Batches of the loader hold whole videos.
    trainer = Trainer(config.model_copy(update={"batch_size": math.ceil(_AT_ONCE / looks)}), progress=progress)
    trainer.prepare(model.model)
    source: BatchSource
    if storable(model.model) and looks == 1:
        data = model.config.data.model_copy(update={"store": store, "workers": workers})
        stored = store_features(model.model, rows, every, targets, sampling, data, trainer.config.precision, progress)
        source = stored.part(every)
    else:
        source = ClipSplit(
            ClipLoader(
                rows,
                targets,
                _several(sampling, clips),
                model.streams,
                size=model.config.data.size,
                crops=crops,
                workers=workers,
            ),
            every,
        )
    progress.begin("evaluation", len(rows) * looks)
    answers = trainer.predict(source, "evaluation", at_once=_AT_ONCE)
    return answers if looks == 1 else _averaged(answers, looks, trainer)


def _several(sampling: Sampling, clips: int) -> Sampling:
    if clips == 1:
        return sampling
    whole = sampling.kind in ("published", "uniform")
    return replace(sampling, kind=sampling.kind if whole else "multi_clip", clips=clips)


def _averaged(answers: Predictions, looks: int, trainer: Trainer) -> Predictions:
    """One answer a video: the mean of those to its looks, which are neighbours."""
    mean = answers.predictions.reshape(-1, looks, *answers.predictions.shape[1:]).mean(1)
    targets = answers.targets[::looks]
    scores = scored(trainer.model.head, mean, targets)
    return Predictions(mean, targets, answers.rows[::looks], answers.loss, scores)


def _mistakes(answers: Predictions, rows: Sequence[Row], told: TargetInfo) -> list[dict[str, Any]]:
    if told.parts:
        return [
            {"head": label, **mistake}
            for label, own in answers_of_heads(answers, told).items()
            for mistake in _mistakes(own, rows, told.parts[label])
        ]
    if told.kind != "class" or not answers.rows:
        return []
    chances, targets = answers.predictions.numpy(), answers.targets.numpy()
    said = chances.argmax(1)
    wrong = np.flatnonzero(said != targets)
    worst = wrong[np.argsort(-chances[wrong, said[wrong]], kind="stable")][:MISTAKES]
    return [
        {
            "video": str(rows[answers.rows[i]].video),
            "label": told.classes[int(targets[i])],
            "answer": told.classes[int(said[i])],
            "probability": float(chances[i, said[i]]),
        }
        for i in worst
    ]
