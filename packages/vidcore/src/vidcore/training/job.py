"""A whole training, from a configuration to a run folder, and going on with one that was stopped."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vidcore.assemble import assemble
from vidcore.catalog import FusionSpec, HeadSpec, ReadoutSpec, Registry, installed
from vidcore.config import RunConfig, component_config
from vidcore.errors import RunError, VidcoreError
from vidcore.model import VideoModel
from vidcore.training.contents import data_changes
from vidcore.training.device import chosen_device, chosen_precision, make_fabric
from vidcore.training.environment import changes, describe_environment
from vidcore.training.files import read_json, write_json
from vidcore.training.folds import cross_validate
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.preparation import PreparedData, open_data, prepare_data, split_sizes, stored_data
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder, create_run, open_run
from vidcore.training.seeding import seed_all
from vidcore.training.session import Session
from vidcore.training.single import train_one
from vidcore.training.summary import header


def train(config: RunConfig, *, show: bool = False, registry: Registry | None = None) -> RunFolder:
    """Train what ``config`` describes and test it; everything is left in a new run folder.

    Args:
        config: the run; fields left open are chosen and written to the folder's ``config.yaml``.
        show: print a header, progress and one line per epoch.
        registry: components; by default those installed.

    Raises:
        VidcoreError: a wrong name, option, video or split, before training; a loss that is not finite, a full disk.
        RunInterruptedError: Ctrl-C or SIGTERM; its message says how to go on.
    """
    registry = registry or installed()
    check_names(config, registry)
    with Progress(show=show) as progress:
        data = prepare_data(config, registry, open_data(config, registry, progress), progress)
    seed_all(config.train.seed)
    model = assemble(config, data.info, registry)
    config = resolved(config, model)
    run = create_run(config)
    run.write_config(config)
    data.write(run)
    write_json(run.data, data.as_dict(config.data.source))
    return _carry_out(run, config, data, model, registry, show)


def resume(
    folder: str | os.PathLike[str], *, force: bool = False, show: bool = False, registry: Registry | None = None
) -> RunFolder:
    """Go on with a run that was stopped, bit for bit as if it had not been.

    Args:
        folder: the run folder.
        force: go on although data, plugins or torch changed; the change is written to the log.
        show: as ``train``.
        registry: as ``train``.

    Raises:
        RunError: no run folder, a run that is done, or one whose data or versions changed: the message names what.
    """
    registry = registry or installed()
    run = open_run(folder)
    if run.done:
        raise RunError(f"{run.root} is done: there is nothing to resume\n  see it with: vidcore evaluate {run.root}")
    config = run.read_config()
    check_names(config, registry)
    with Progress(show=show) as progress:
        source = open_data(config, registry, progress)
        others = data_changes(config.data.source, source, run, read_json(run.data)["fingerprint"])
        if others and force:
            data = prepare_data(config, registry, source, progress)
        elif not others:
            data = stored_data(config, registry, source, run)
    changed = list(others)
    if run.environment.exists():
        now = describe_environment(config, registry, _device(config))
        changed += changes(read_json(run.environment), now)
    if changed and not force:
        lines = "\n  ".join(changed)
        raise RunError(f"{run.root} cannot be resumed exactly; what changed:\n  {lines}\n  go on anyway with: --force")
    seed_all(config.train.seed)
    model = assemble(config, data.info, registry)
    if others:
        data.write(run)
        write_json(run.data, data.as_dict(config.data.source))
        if data.folds:
            # Folds of other rows: what was found in the ones before is about another question.
            changed.append("the folds are drawn and trained anew")
            for folder in (run.fold(1).root.parent, run.checkpoints):
                shutil.rmtree(folder, ignore_errors=True)
    return _carry_out(run, config, data, model, registry, show, changed)


def check_names(config: RunConfig, registry: Registry) -> None:
    """Refuse unknown names and options before any slow work.

    Raises:
        UnknownNameError, NameCollisionError, ConfigError: naming the part.
    """
    for choice in config.extractors:
        component_config(registry.find("extractor", choice.name)[0].spec, choice.options)
    component_config(registry.get(FusionSpec, config.fusion.name), config.fusion.options)
    component_config(registry.get(ReadoutSpec, config.readout.name), config.readout.options)
    component_config(registry.get(HeadSpec, config.head.name), config.head.options)
    chosen_precision(config.train)


def resolved(config: RunConfig, model: VideoModel) -> RunConfig:
    """The configuration with every open choice made: freezing, frames, jitter, precision."""
    formats = [model.extractor(stream).clip for stream in model.streams]
    extractors = tuple(
        choice.model_copy(update={"freeze": stream in model.frozen})
        for choice, stream in zip(config.extractors, model.streams, strict=True)
    )
    jitter = config.data.jitter if config.data.jitter is not None else len(model.frozen) < len(model.streams)
    frames = config.data.frames or max(form.frames or 16 for form in formats)
    return config.model_copy(
        update={
            "extractors": extractors,
            "data": config.data.model_copy(update={"frames": frames, "jitter": jitter}),
            "train": config.train.model_copy(update={"precision": chosen_precision(config.train)}),
        }
    )


def _carry_out(
    run: RunFolder,
    config: RunConfig,
    data: PreparedData,
    model: VideoModel,
    registry: Registry,
    show: bool,
    changed: list[str] | None = None,
) -> RunFolder:
    with Progress(run.progress, show=show, log=run.log) as progress, _last_words(run, progress):
        fabric = make_fabric(config.train)
        if not changed and not run.environment.exists():
            write_json(run.environment, describe_environment(config, registry, fabric.device))
        for line in header(model, config, _sizes(data), fabric.device, str(config.train.precision)):
            progress.note(line)
        for line in [*data.notes, *_skipped_note(data), *(f"changed: {line}" for line in changed or [])]:
            progress.note(line)
        session = Session(run, config, data, registry, progress, fabric, model, bool(changed))
        if data.folds:
            cross_validate(session)
        else:
            train_one(session)
        progress.end("done")
    return run


def _sizes(data: PreparedData) -> str:
    if not data.folds:
        return split_sizes(data.splits)
    held = f", {len(data.splits.test)} test" if data.splits.test else ""
    return f"{len(data.splits.train)} in {len(data.folds)} folds{held}"


def _skipped_note(data: PreparedData) -> list[str]:
    return [f"{len(data.skipped)} videos were skipped; they are listed in skipped.csv"] if data.skipped else []


def _device(config: RunConfig) -> Any:
    import torch

    return torch.device(chosen_device(config.train.device))


@contextmanager
def _last_words(run: RunFolder, progress: Progress) -> Iterator[None]:
    """Whatever ends the run is written to ``progress.json`` and the log, with what to do next."""
    try:
        yield
    except (RunInterruptedError, KeyboardInterrupt) as exc:
        what = str(exc) or "stopped"
        kept = f"go on with: {run.resume_command}" if _can_resume(run) else "no step was finished"
        progress.end("stopped", what)
        progress.log(what)
        raise RunInterruptedError(f"{what}\n  {kept}") from exc
    except OSError as exc:
        full = exc.errno == errno.ENOSPC
        message = f"the disk is full ({exc})" if full else f"{type(exc).__name__}: {exc}"
        progress.end("failed", message)
        if not full:
            raise
        raise RunError(f"{message}\n  free some space and go on with: {run.resume_command}") from exc
    except VidcoreError as exc:
        progress.end("failed", str(exc))
        progress.log(f"failed: {exc}")
        raise
    except BaseException as exc:
        progress.end("failed", f"{type(exc).__name__}: {exc}")
        raise


def _can_resume(run: RunFolder) -> bool:
    kept = ("checkpoints/*.pt", "folds/*/checkpoints/*.pt", "folds/*/results.json")
    return any(any(run.root.glob(pattern)) for pattern in kept)
