"""The run folder: the names of its files, and making, opening and checking one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from vidcore.config import RunConfig, read_yaml, run_config
from vidcore.config.early import check_run_name, refuse_existing
from vidcore.errors import RunError
from vidcore.training.files import read_json, write_text


@dataclass(frozen=True, slots=True)
class RunFolder:
    """What a run leaves behind; every file is written to a temporary name and renamed."""

    root: Path

    @property
    def config(self) -> Path:
        """The full, resolved configuration; ``vidcore train --config`` repeats the run with it."""
        return self.root / "config.yaml"

    @property
    def environment(self) -> Path:
        """Versions of plugins and libraries, Python, machine and device."""
        return self.root / "environment.json"

    @property
    def data(self) -> Path:
        """Where the data came from, its fingerprint, classes and counts."""
        return self.root / "data.json"

    @property
    def split(self) -> Path:
        """Every row with the split it is in: a manifest."""
        return self.root / "split.csv"

    @property
    def folds(self) -> Path:
        """Every row with the fold that tests it and its part in each fold; only there with ``train.folds``."""
        return self.root / "folds.csv"

    def fold(self, number: int) -> RunFolder:
        """The folder of a fold, counted from 1: its results, predictions, model and, while it trains, checkpoints."""
        return RunFolder(self.root / "folds" / str(number))

    @property
    def answers(self) -> Path:
        """In a fold's folder: what its model said about the rows it did not see, at full precision."""
        return self.root / "answers.safetensors"

    @property
    def skipped(self) -> Path:
        """Videos left out, with the reason; only there with ``data.on_error=skip``."""
        return self.root / "skipped.csv"

    @property
    def metrics(self) -> Path:
        """One row per fold and epoch."""
        return self.root / "metrics.csv"

    @property
    def results(self) -> Path:
        """The test's scores with definitions, intervals and baselines; only there when the run is done."""
        return self.root / "results.json"

    @property
    def table(self) -> Path:
        """One row per fold with its scores; only there with ``train.folds``."""
        return self.root / "results.csv"

    @property
    def predictions(self) -> Path:
        """What the model said about every test clip."""
        return self.root / "predictions.csv"

    def predictions_of(self, label: str) -> Path:
        """What one of several heads said."""
        return self.root / f"predictions-{label}.csv"

    @property
    def progress(self) -> Path:
        """State, step, rate, remaining time and heartbeat."""
        return self.root / "progress.json"

    @property
    def trackers(self) -> Path:
        """Names of the run with W&B and MLflow; only there where one of them is used."""
        return self.root / "trackers.json"

    @property
    def log(self) -> Path:
        """What was told to the person who started the run, with times."""
        return self.root / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """``last.pt``, the one before it, and ``best.pt``."""
        return self.root / "checkpoints"

    @property
    def baselines(self) -> Path:
        """How good the answers of each baseline are, clip by clip; not there for several heads or several labels."""
        return self.root / "baselines.csv"

    @property
    def grid(self) -> Path:
        """One row per training of a grid; only there with ``train.grid``."""
        return self.root / "grid.csv"

    @property
    def choice(self) -> Path:
        """What the grid says: the combinations, the best first, and the one chosen, for each fold as well."""
        return self.root / "grid.json"

    @property
    def wreck(self) -> Path:
        """The clips of a step whose loss was not finite; only there when that happened."""
        return self.root / "not_finite"

    @property
    def weights(self) -> Path:
        """All tensors of the best model."""
        return self.root / "model.safetensors"

    @property
    def model(self) -> Path:
        """How to rebuild the model that ``weights`` belongs to."""
        return self.root / "model.json"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.root / "tensorboard"

    @property
    def report(self) -> Path:
        """One self-contained page."""
        return self.root / "report.html"

    @property
    def done(self) -> bool:
        """Whether the run came to its end; one whose time was up has results and a model, and did not."""
        if not (self.results.is_file() and self.weights.is_file()):
            return False
        return bool(read_json(self.results).get("complete", True))

    def read_config(self) -> RunConfig:
        """The configuration of the run, its ``out`` and ``name`` being where the folder is now."""
        tree: dict[str, Any] = read_yaml(self.config)
        return run_config({**tree, "out": str(self.root.parent), "name": self.root.name})

    def write_config(self, config: RunConfig) -> None:
        """Write ``config.yaml``; without the name, so that repeating the run makes another folder."""
        tree = config.model_dump(mode="json", exclude={"name"})
        write_text(self.config, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))

    def read_results(self) -> dict[str, Any]:
        """What ``results.json`` holds.

        Raises:
            RunError: the run is not done.
        """
        if not self.results.is_file():
            raise RunError(f"{self.root} has no results: the run is not done\n  go on with: {self.resume_command}")
        results: dict[str, Any] = read_json(self.results)
        return results

    @property
    def resume_command(self) -> str:
        """What to type to go on."""
        return f"vidcore train --resume {self.root}"


def create_run(config: RunConfig) -> RunFolder:
    """Make the folder of a new run below ``config.out``.

    Raises:
        RunError: a run of that name is there, or the folder cannot be made.
    """
    check_run_name(config)
    run = RunFolder(config.out / (config.name or _free_name(config)))
    try:
        run.root.mkdir(parents=True)
    except FileExistsError:
        # Another process made it after the name was checked.
        refuse_existing(run.root)
    except OSError as exc:
        raise RunError(f"cannot make the run folder {run.root}: {exc.strerror}; give another --out") from exc
    return run


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """An existing run folder.

    Raises:
        RunError: it is not there, or is no run folder.
    """
    run = RunFolder(Path(path))
    if not run.root.is_dir():
        raise RunError(f"no run folder {run.root}")
    if not run.config.is_file():
        raise RunError(f"{run.root} is not a run folder: it has no {run.config.name}")
    return run


def _free_name(config: RunConfig) -> str:
    parts = [choice.name for choice in config.extractors]
    stem = "+".join(parts) + "-" + Path(config.data.source).stem
    stem = re.sub(r"[^A-Za-z0-9_.+-]+", "_", stem)[:80]
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name, number = f"{stem}-{stamp}", 2
    while (config.out / name).exists():
        name, number = f"{stem}-{stamp}-{number}", number + 1
    return name
