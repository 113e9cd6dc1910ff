"""Learning rate and weight decay of a run, chosen by a grid that is trained before it."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vidcore.config import RunConfig
from vidcore.errors import ConfigError, DataError, TrainingError
from vidcore.model import VideoModel
from vidcore.training.batches import BatchSource, in_order
from vidcore.training.encoded import EncodedClips
from vidcore.training.files import read_json, replacing, write_json
from vidcore.training.fitting import is_fitted
from vidcore.training.grid import GridData, GridResult, fit_grid, starting_from
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.preparation import PreparedData
from vidcore.training.run import RunFolder
from vidcore.training.session import Session
from vidcore.training.sweep import GridChoice, choose, member_rows, members_of

_READ_AT_ONCE = 256
# The number under which what all folds together say is kept; the folds count from 1.
TOGETHER = 0


def check_grid(config: RunConfig, model: VideoModel, data: PreparedData) -> None:
    """Refuse a grid where clips have no features that stay, or there is nothing to choose by.

    Raises:
        ConfigError, DataError: naming why, and what to type instead.
    """
    if config.train.grid is None:
        return
    instead = "leave train.grid away, or search with: vidcore tune"
    if config.heads:
        raise ConfigError(f"a grid trains one head, and there are {len(config.heads)}; {instead}")
    if is_fitted(model):
        raise ConfigError(f"head {model.head.spec.name!r} is fitted in one go and has no learning rate; {instead}")
    for number, stream in enumerate(model.streams):
        if stream not in model.frozen:
            raise ConfigError(
                f"a grid is trained on stored features, and extractor {stream!r} is trained itself; "
                f"set extractors.{number}.freeze=true, or {instead}"
            )
    if config.redraws_clips:
        raise ConfigError(
            f"a grid is trained on stored features, and training clips are drawn anew in every epoch "
            f"(data.jitter or augment); {instead}"
        )
    if config.train.devices != 1 or config.train.nodes != 1:
        raise ConfigError("a grid is one computation on one device; set train.devices=1 train.nodes=1")
    if not all(splits.val for splits in data.folds or (data.splits,)):
        raise DataError("a grid is chosen by validation rows and there are none; set data.val_fraction=0.15")


def numbers_by_grid(
    session: Session, sources: Sequence[BatchSource], folds: Mapping[int, tuple[Sequence[int], Sequence[int]]]
) -> dict[int, Session]:
    """The session with the numbers that have the lowest validation loss, for each fold and for all together.

    A fold chooses by its own validation rows, so that its test rows take no part. What was chosen is kept in the run
    folder, and a run that is resumed chooses once.

    Args:
        session: of the run.
        sources: which hold all clips, one after the other.
        folds: {number: (training clips, validation clips)}.

    Raises:
        RunInterruptedError: the time was up.
        TrainingError, ConfigError: no member came to its end; the features do not fit into memory.
    """
    if not session.run.choice.exists():
        _train_grid(session, sources, folds)
    chosen = read_json(session.run.choice)["chosen"]
    return {int(number): _with(session, one) for number, one in chosen.items()}


def _with(session: Session, chosen: Mapping[str, Any]) -> Session:
    numbers = {name: chosen[name] for name in ("lr", "weight_decay")}
    train = session.config.train.model_copy(update=numbers)
    return replace(session, config=session.config.model_copy(update={"train": train}))


def _train_grid(
    session: Session, sources: Sequence[BatchSource], folds: Mapping[int, tuple[Sequence[int], Sequence[int]]]
) -> None:
    config = session.config.train
    if config.grid is None:
        raise ConfigError("the run has no train.grid")
    members = members_of(config.grid, config, folds)
    data, began = GridData(_in_memory(sources), folds), time.monotonic()
    splits = dict(enumerate(session.data.folds, 1)) or {TOGETHER: session.data.splits}
    build = starting_from(lambda seed, fold: session.fresh_model(splits[fold], seed))
    try:
        result = fit_grid(build, data, members, config, progress=session.progress, deadline=session.deadline)
    except TrainingError:
        if session.deadline.over:
            raise RunInterruptedError("the time budget was over before an epoch of the grid was complete") from None
        raise
    if session.deadline.over:
        raise RunInterruptedError("the time budget was over before the grid was trained")
    seconds = time.monotonic() - began
    choice = choose(result)
    _write_members(session.run, result)
    write_json(session.run.choice, _facts(result, choice, folds, seconds))
    best = choice.best
    tied = f"; {choice.ties} others are within one standard error of it" if choice.ties else ""
    session.progress.note(
        f"grid: {len(members)} trainings in {seconds:.1f} s; lowest mean validation loss: learning rate {best.lr:g}, "
        f"weight decay {best.weight_decay:g} (loss {best.loss:.4f}, {choice.score} {best.mean:.4f}){tied}"
    )


def _in_memory(sources: Sequence[BatchSource]) -> EncodedClips:
    if not all(isinstance(source, EncodedClips) for source in sources):
        raise ConfigError(
            "a grid holds the features of all clips in memory, and they take more than a quarter of it; "
            "search with: vidcore tune"
        )
    if len(sources) == 1 and isinstance(sources[0], EncodedClips):
        return sources[0]
    return EncodedClips([part for one in sources for part in one.batches(in_order(one, _READ_AT_ONCE), 0)])


def _facts(result: GridResult, choice: GridChoice, folds: Mapping[int, Any], seconds: float) -> dict[str, Any]:
    rows = choice.rows()
    chosen = {TOGETHER: rows[0]}
    if len(folds) > 1:
        for fold in folds:
            own = tuple(member for member in result.members if member.member.fold == fold)
            chosen[fold] = choose(replace(result, members=own)).rows()[0]
    return {
        "score": choice.score,
        "trainings": len(result.members),
        "seconds": round(seconds, 1),
        "chosen": {str(number): row for number, row in chosen.items()},
        "combinations": rows,
        "notes": list(result.notes),
    }


def _write_members(run: RunFolder, result: GridResult) -> None:
    rows = member_rows(result)
    with replacing(run.grid) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
