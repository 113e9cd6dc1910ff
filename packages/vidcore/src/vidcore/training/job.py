"""A whole training, from a configuration to a run folder, and going on with one that was stopped."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from vidcore.assemble import assemble, check_wiring
from vidcore.catalog import Registry, installed
from vidcore.config import RunConfig
from vidcore.config.classifier import with_classifier
from vidcore.config.early import check_parts, check_run, check_trackers
from vidcore.data.sampling import Sampling
from vidcore.errors import RunError, VidcoreError
from vidcore.model import VideoModel
from vidcore.training.augmentation import augmentation_of
from vidcore.training.budget import resolved_training, steps_in_words, training_notes
from vidcore.training.callbacks import Callback
from vidcore.training.choosing import check_grid
from vidcore.training.contents import data_changes
from vidcore.training.deadline import Deadline
from vidcore.training.device import chosen_precision, make_fabric
from vidcore.training.ending import last_words
from vidcore.training.environment import changes, describe_environment
from vidcore.training.files import read_json, write_json
from vidcore.training.fitting import check_fitted
from vidcore.training.folds import cross_validate
from vidcore.training.preparation import PreparedData, open_data, prepare_data, split_sizes, stored_data
from vidcore.training.processes import Processes
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder, create_run, open_run
from vidcore.training.seeding import deterministic, seed_all
from vidcore.training.session import Session
from vidcore.training.single import train_one
from vidcore.training.summary import header

if TYPE_CHECKING:
    from vidcore.training.device import Launched

T = TypeVar("T")


def train(
    config: RunConfig,
    *,
    show: bool = False,
    verbose: bool = False,
    callbacks: Sequence[Callback] = (),
    registry: Registry | None = None,
) -> RunFolder:
    """Train what ``config`` describes and test it; everything is left in a new run folder.

    Args:
        config: the run; fields left open are chosen and written to the folder's ``config.yaml``.
        show: print a header, progress and results.
        verbose: also one line per epoch.
        callbacks: your own code.
        registry: components; by default those installed.

    Raises:
        VidcoreError: a wrong name, option, video or split, before training; a loss that is not finite, a full disk.
        RunInterruptedError: Ctrl-C or SIGTERM; its message says how to go on.
    """
    registry = registry or installed()
    config = with_classifier(config, registry)
    check_run(config, registry)
    chosen_precision(config.train)
    check_wiring(config, registry)
    deadline = Deadline(config.train.time_budget)
    fabric = make_fabric(config.train)
    processes = Processes(fabric)

    def prepare() -> PreparedData:
        with Progress(show=show) as progress:
            return prepare_data(config, registry, open_data(config, registry, progress), progress)

    def make() -> RunFolder:
        run = create_run(chosen)
        run.write_config(chosen)
        data.write(run)
        write_json(run.data, data.as_dict(config.data.source))
        return run

    data = _by_first(processes, prepare)
    seed_all(config.train.seed)
    model = assemble(config, data.info, registry)
    chosen = resolved_training(resolved(config, model), model, data)
    augmentation_of(chosen, data, model)
    check_fitted(model, chosen)
    check_grid(chosen, model, data)
    run = _by_first(processes, make)
    return _carry_out(run, chosen, data, model, registry, fabric, deadline, show, verbose, callbacks)


def resume(
    folder: str | os.PathLike[str],
    *,
    force: bool = False,
    show: bool = False,
    verbose: bool = False,
    time_budget: float | None = None,
    callbacks: Sequence[Callback] = (),
    registry: Registry | None = None,
) -> RunFolder:
    """Go on with a run that was stopped, bit for bit as if it had not been.

    Args:
        folder: the run folder.
        force: go on although data, plugins or torch changed; the change is written to the log.
        show: as ``train``.
        verbose: as ``train``.
        time_budget: seconds of this sitting; by default that of the run.
        callbacks: as ``train``.
        registry: as ``train``.

    Raises:
        RunError: no run folder, a run that is done, or one whose data or versions changed: the message names what.
    """
    registry = registry or installed()
    run = open_run(folder)
    if run.done:
        raise RunError(f"{run.root} is done: there is nothing to resume\n  see it with: vidcore evaluate {run.root}")
    config = run.read_config()
    check_parts(config, registry)
    check_trackers(config)
    chosen_precision(config.train)
    deadline = Deadline(time_budget or config.train.time_budget)
    fabric = make_fabric(config.train)

    def prepare() -> tuple[PreparedData, list[str]]:
        return _data_of(run, config, registry, fabric, force=force, show=show)

    data, changed = _by_first(Processes(fabric), prepare)
    seed_all(config.train.seed)
    model = assemble(config, data.info, registry)
    # A comparison prepares its runs by itself, and leaves open what depends on the model.
    config = resolved_training(config, model, data)
    run.write_config(config)
    check_fitted(model, config)
    check_grid(config, model, data)
    return _carry_out(run, config, data, model, registry, fabric, deadline, show, verbose, callbacks, changed)


def _data_of(
    run: RunFolder, config: RunConfig, registry: Registry, fabric: Launched, *, force: bool, show: bool
) -> tuple[PreparedData, list[str]]:
    """The data of a run that is gone on with, and what changed since it began."""
    with Progress(show=show) as progress:
        source = open_data(config, registry, progress)
        others = data_changes(config.data.source, source, run, read_json(run.data)["fingerprint"])
        if others and force:
            data = prepare_data(config, registry, source, progress)
        elif not others:
            data = stored_data(config, registry, source, run)
    changed = list(others)
    if run.environment.exists():
        changed += changes(read_json(run.environment), describe_environment(config, registry, fabric.device))
    if changed and not force:
        lines = "\n  ".join(changed)
        raise RunError(f"{run.root} cannot be resumed exactly; what changed:\n  {lines}\n  go on anyway with: --force")
    if others:
        data.write(run)
        write_json(run.data, data.as_dict(config.data.source))
        run.choice.unlink(missing_ok=True)
        if data.folds:
            # Folds of other rows: what was found in the ones before is about another question.
            changed.append("the folds are drawn and trained anew")
            for folder in (run.fold(1).root.parent, run.checkpoints):
                shutil.rmtree(folder, ignore_errors=True)
    return data, changed


def resolved(config: RunConfig, model: VideoModel) -> RunConfig:
    """The configuration with every open choice made: freezing, frames, jitter, precision."""
    formats = [model.extractor(stream).clip for stream in model.streams]
    extractors = tuple(
        choice.model_copy(update={"freeze": stream in model.frozen})
        for choice, stream in zip(config.extractors, model.streams, strict=True)
    )
    redrawn = config.augments or len(model.frozen) < len(model.streams)
    jitter = config.data.jitter if config.data.jitter is not None else redrawn
    asked = Sampling.asked(config.data, formats)
    frames = None if asked.kind == "published" else asked.frames
    return config.model_copy(
        update={
            "extractors": extractors,
            "data": config.data.model_copy(update={"sampling": asked.kind, "frames": frames, "jitter": jitter}),
            "train": config.train.model_copy(update={"precision": chosen_precision(config.train)}),
        }
    )


def _by_first(processes: Processes, make: Callable[[], T]) -> T:
    """What the first process makes, or the error that it meets, in all of them."""
    if processes.alone:
        return make()
    made: T | None = None
    failure: VidcoreError | None = None
    if processes.first:
        try:
            made = make()
        except VidcoreError as exc:
            failure = exc
    shared, failure = processes.from_first((made, failure))
    if failure is not None and not processes.first:
        # The first process says why.
        sys.exit(failure.exit_code)
    if failure is not None or shared is None:
        raise failure or RunError("the first process made nothing")
    return shared


def _carry_out(
    run: RunFolder,
    config: RunConfig,
    data: PreparedData,
    model: VideoModel,
    registry: Registry,
    fabric: Launched,
    deadline: Deadline,
    show: bool,
    verbose: bool,
    callbacks: Sequence[Callback],
    changed: list[str] | None = None,
) -> RunFolder:
    first = Processes(fabric).first
    told = Progress(run.progress, show=show, log=run.log, verbose=verbose) if first else Progress()
    with told as progress, last_words(run, progress), deterministic(config.train.deterministic):
        if first and not changed and not run.environment.exists():
            write_json(run.environment, describe_environment(config, registry, fabric.device))
        for line in header(model, config, _sizes(data), steps_in_words(config, model, data), fabric):
            progress.note(line)
        notes = [*augmentation_of(config, data, model).notes, *training_notes(config, model, data)]
        notes += [*data.notes, *_skipped_note(data)]
        for line in [*notes, *(f"changed: {line}" for line in changed or [])]:
            progress.note(line)
        session = Session(run, config, data, registry, progress, fabric, model, deadline, bool(changed), callbacks)
        finished = cross_validate(session) if data.folds else train_one(session)
        progress.end("done" if finished else "stopped", "" if finished else "the time budget was over")
    return run


def _sizes(data: PreparedData) -> str:
    if not data.folds:
        return split_sizes(data.splits)
    held = f", {len(data.splits.test)} test" if data.splits.test else ""
    return f"{len(data.splits.train)} in {len(data.folds)} folds{held}"


def _skipped_note(data: PreparedData) -> list[str]:
    return [f"{len(data.skipped)} videos were skipped; they are listed in skipped.csv"] if data.skipped else []
