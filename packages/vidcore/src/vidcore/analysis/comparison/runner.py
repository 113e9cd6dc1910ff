"""Cell by cell: what is done is skipped, what was stopped goes on, what failed takes nothing else down."""

from __future__ import annotations

import gc
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.costs import guess
from vidcore.analysis.comparison.folder import Base, ComparisonFolder
from vidcore.analysis.comparison.ground import Ground
from vidcore.assemble import check_wiring
from vidcore.catalog import Registry
from vidcore.config import RunConfig
from vidcore.config.classifier import with_classifier
from vidcore.errors import VidcoreError
from vidcore.training.callbacks import Callback
from vidcore.training.device import chosen_device
from vidcore.training.environment import changes, describe_environment
from vidcore.training.files import read_json
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.job import resume
from vidcore.training.run import RunFolder

if TYPE_CHECKING:
    from vidcore.training.trainer import Trainer

Told = Callable[[str], None]
# An estimate is made of so many steps, and given from so many seconds on.
_STEPS_TIMED, _LONG_SECONDS = 3, 120.0


def run_cells(
    folder: ComparisonFolder,
    base: Base,
    cells: Sequence[Cell],
    ground: Ground,
    registry: Registry,
    told: Told,
    *,
    show: bool = False,
) -> None:
    """Train and test every cell that is not done, in the order given; those whose last attempt crashed come last.

    An error of one cell is kept in its record and the next one begins.

    Raises:
        RunInterruptedError: Ctrl-C or SIGTERM; every cell is as its own run left it.
    """
    todo = [cell for cell in cells if folder.state(cell) != "done"]
    # Whatever killed the process (memory, a crash in a driver) would otherwise stand before all the others again.
    todo.sort(key=lambda cell: crashed(folder, cell))
    for number, cell in enumerate(todo, 1):
        told(f"[{number}/{len(todo)}] {cell.title}")
        folder.write_record(cell)
        error = _attempt(folder.run(cell), cell_config(folder, base, cell, registry), ground, registry, show, told)
        if error is not None:
            folder.write_record(cell, error)
            told(f"  failed: {error.splitlines()[0]}")
        elif folder.state(cell) == "done":
            told(f"  {_result(folder.run(cell))}")


class _Estimate(Callback):
    """Says how long a row will take, after a few of its steps, where that is long."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._steps = 0

    def on_step(self, trainer: Trainer, numbers: Mapping[str, float]) -> None:
        """After the steps that warm up and the one that is measured."""
        self._steps += 1
        left = trainer.remaining_seconds
        if self._steps == _STEPS_TIMED and left is not None and left >= _LONG_SECONDS:
            self._told(f"  about {left / 60:.0f} min for this row")


def _result(run: RunFolder) -> str:
    scores = run.read_results()["test"]["scores"]
    return ", ".join(f"{name.replace('_', ' ')} {score['value']:.3f}" for name, score in list(scores.items())[:2])


def in_order(cells: Sequence[Cell], config_of: Callable[[Cell], RunConfig], registry: Registry) -> list[Cell]:
    """Rows that read whole feature maps first, so that rows which read their means find them stored; then the cheap.

    An extractor would otherwise run twice: once for its means, and again for the maps.
    """

    def key(cell: Cell) -> tuple[bool, float, int]:
        try:
            maps = check_wiring(config_of(cell), registry)
        except VidcoreError:
            # What is wrong with it is said when it is its turn.
            maps = False
        return not maps, guess(cell.extractors, registry), len(cell.extractors)

    return sorted(cells, key=key)


def crashed(folder: ComparisonFolder, cell: Cell) -> bool:
    """Whether the last attempt ended without a word."""
    progress = folder.run(cell).progress
    return folder.state(cell) == "unfinished" and progress.exists() and read_json(progress)["state"] == "running"


def cell_config(folder: ComparisonFolder, base: Base, cell: Cell, registry: Registry) -> RunConfig:
    """The run configuration of a cell: the base and its own parts."""
    parts = {"extractors": cell.extractors, "readout": cell.readout, "head": cell.head}
    if cell.fusion is not None:
        parts["fusion"] = cell.fusion
    config = base.config.model_copy(update={**parts, "out": folder.cells, "name": cell.slug})
    return with_classifier(config, registry)


def _attempt(
    run: RunFolder, config: RunConfig, ground: Ground, registry: Registry, show: bool, told: Told
) -> str | None:
    """Why the attempt failed, ``None`` where it did not."""
    try:
        _start(run, config, ground, registry, show, told)
    except (RunInterruptedError, KeyboardInterrupt) as exc:
        raise RunInterruptedError(
            f"stopped in {run.root.name}; nothing that was done is lost\n"
            f"  go on with: vidcore compare --out {run.root.parent.parent}"
        ) from exc
    except VidcoreError as exc:
        return str(exc)
    # A bug in a plugin, or too little memory for one network, says nothing about the other rows.
    except Exception as exc:  # noqa: BLE001
        return f"{type(exc).__name__}: {exc}\n{traceback.format_exc()}"
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return None


def _start(run: RunFolder, config: RunConfig, ground: Ground, registry: Registry, show: bool, told: Told) -> None:
    if run.root.exists() and not _can_go_on(run, config, registry):
        # An attempt that did not get as far as a step, or one by other versions: nothing in it can be used.
        shutil.rmtree(run.root)
    if not run.root.exists():
        ground.begin(config)
    resume(run.root, show=show, verbose=show, callbacks=[_Estimate(told)], registry=registry)


def _can_go_on(run: RunFolder, config: RunConfig, registry: Registry) -> bool:
    if not (run.config.exists() and run.data.exists() and run.environment.exists()):
        return False
    now = describe_environment(config, registry, torch.device(chosen_device(config.train.device)))
    return not changes(read_json(run.environment), now)
