"""Trackers that people install themselves: Weights & Biases and MLflow. Each training is one run there."""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from vidcore.config import RunConfig
from vidcore.training.files import read_json, write_json
from vidcore.training.run import RunFolder
from vidcore.training.state import Row

_PROJECT = "vidcore"


class WandbTracker:
    """Weights & Biases; project and account are those of its environment variables, the project else ``vidcore``.

    A resumed training goes on in the same run there.
    """

    def __init__(self, run: RunFolder, config: RunConfig, fold: int) -> None:
        wandb: Any = importlib.import_module("wandb")
        name = _name(run, fold)
        known = _known(run)
        own = hashlib.sha256(f"{run.root.absolute()}/{fold}".encode()).hexdigest()[:16]
        identity = known.setdefault(f"wandb/{fold}", own)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=name,
            group=run.root.name if fold else None,
            id=identity,
            resume="allow",
            dir=str(run.root),
            config=config.model_dump(mode="json"),
        )
        write_json(run.trackers, known)

    def step(self, updates: int, numbers: Mapping[str, float]) -> None:
        """One point per step."""
        self._run.log(dict(numbers), step=updates)

    def epoch(self, history: Sequence[Row]) -> None:
        """One point per epoch, at the step the epoch ended with."""
        self._run.log(_numbers(history[-1]), step=int(history[-1]["updates"] or 0))

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class MlflowTracker:
    """MLflow; server and experiment are those of its environment variables. A resumed training goes on in its run."""

    def __init__(self, run: RunFolder, config: RunConfig, fold: int) -> None:
        self._mlflow: Any = importlib.import_module("mlflow")
        known = _known(run)
        before = known.get(f"mlflow/{fold}")
        started = self._mlflow.start_run(run_id=before) if before else self._mlflow.start_run(run_name=_name(run, fold))
        known[f"mlflow/{fold}"] = started.info.run_id
        write_json(run.trackers, known)
        if not before:
            self._mlflow.log_params(_flat(config.model_dump(mode="json")))

    def step(self, updates: int, numbers: Mapping[str, float]) -> None:
        """One point per step."""
        self._mlflow.log_metrics(dict(numbers), step=updates)

    def epoch(self, history: Sequence[Row]) -> None:
        """One point per epoch, at the step the epoch ended with."""
        self._mlflow.log_metrics(_numbers(history[-1]), step=int(history[-1]["updates"] or 0))

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


def _name(run: RunFolder, fold: int) -> str:
    return f"{run.root.name}/fold{fold}" if fold else run.root.name


def _known(run: RunFolder) -> dict[str, str]:
    known: dict[str, str] = read_json(run.trackers) if run.trackers.exists() else {}
    return known


def _numbers(row: Row) -> dict[str, float]:
    names = (name for name, value in row.items() if isinstance(value, float) and name not in ("seconds", "lr"))
    return {f"epoch/{name}": float(row[name] or 0.0) for name in names}


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": [1]}}`` as ``{"a.b.0": 1}``."""
    if isinstance(tree, Mapping):
        items = list(tree.items())
    elif isinstance(tree, list):
        items = list(enumerate(tree))
    else:
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for name, part in items:
        flat |= _flat(part, f"{prefix}.{name}" if prefix else str(name))
    return flat
