"""Trackers that people install themselves are told every step and epoch, and go on in the run they began."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from vidcore.errors import ConfigError
from vidcore.training import RunInterruptedError, resume, train
from vidcore.training.publishing import MlflowTracker, WandbTracker


class Wandb(ModuleType):
    """What is used of W&B."""

    def __init__(self):
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None)
        self.calls = []

    def init(self, **options):
        self.calls.append(("init", options))
        return SimpleNamespace(
            log=lambda numbers, step: self.calls.append(("log", numbers, step)),
            finish=lambda: self.calls.append(("finish",)),
        )


class Mlflow(ModuleType):
    """What is used of MLflow."""

    def __init__(self):
        super().__init__("mlflow")
        self.__spec__ = ModuleSpec("mlflow", None)
        self.calls = []

    def start_run(self, run_id=None, run_name=None):
        self.calls.append(("start", run_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "r1"))

    def log_params(self, params):
        self.calls.append(("params", params))

    def log_metrics(self, numbers, step):
        assert all(isinstance(value, float) for value in numbers.values())
        self.calls.append(("log", numbers, step))

    def end_run(self):
        self.calls.append(("end",))


@pytest.fixture
def wandb(monkeypatch):
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


@pytest.fixture
def mlflow(monkeypatch):
    module = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def _stop_after(cls, step, monkeypatch):
    import os
    import signal

    before = cls.step

    def told(self, updates, numbers):
        before(self, updates, numbers)
        if updates == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(cls, "step", told)


def test_wandb_is_told_and_goes_on_in_its_run(tiny_config, wandb, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    config = tiny_config(train={"epochs": 1, "trackers": ["wandb"]})
    with monkeypatch.context() as patch:
        _stop_after(WandbTracker, 2, patch)
        with pytest.raises(RunInterruptedError):
            train(config)
    run = resume(config.out / "tiny")
    (_, first), (_, second) = (call for call in wandb.calls if call[0] == "init")
    assert first["id"] == second["id"]
    assert (first["project"], first["name"], first["resume"], first["group"]) == ("mine", "tiny", "allow", None)
    assert first["config"]["train"]["epochs"] == 1
    steps = [(call[2], sorted(call[1])) for call in wandb.calls if call[0] == "log" and "train/loss" in call[1]]
    assert steps == [(step, ["train/loss", "train/lr"]) for step in (1, 2, 3)]
    epoch = next(call for call in wandb.calls if call[0] == "log" and "epoch/val_loss" in call[1])
    assert epoch[2] == 3
    assert epoch[1].keys() == {"epoch/train_loss", "epoch/val_loss", "epoch/val_accuracy", "epoch/val_macro_f1"}
    assert [call for call in wandb.calls if call[0] == "finish"] == [("finish",)] * 2
    assert not run.tensorboard.exists()


def test_mlflow_is_told_and_goes_on_in_its_run(tiny_config, mlflow, monkeypatch):
    config = tiny_config(train={"epochs": 1, "trackers": ["tensorboard", "mlflow"]})
    with monkeypatch.context() as patch:
        _stop_after(MlflowTracker, 1, patch)
        with pytest.raises(RunInterruptedError):
            train(config)
    run = resume(config.out / "tiny")
    assert [call for call in mlflow.calls if call[0] == "start"] == [("start", None, "tiny"), ("start", "r1", None)]
    ((_, params),) = (call for call in mlflow.calls if call[0] == "params")
    assert params["train.epochs"] == 1
    assert params["extractors.0.name"] == "basic/patch_transformer"
    assert [call[2] for call in mlflow.calls if call[0] == "log"] == [1, 2, 3, 3]
    assert run.tensorboard.exists()


def test_every_fold_is_a_run_of_one_group(tiny_config, wandb):
    train(tiny_config(train={"epochs": 1, "folds": 2, "trackers": ["wandb"]}))
    started = [call[1] for call in wandb.calls if call[0] == "init"]
    assert [run["name"] for run in started] == ["tiny/fold1", "tiny/fold2", "tiny"]
    assert [run["group"] for run in started] == ["tiny", "tiny", None]
    assert len({run["id"] for run in started}) == 3


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused(tiny_config, name, monkeypatch):
    monkeypatch.setattr("vidcore.config.early.find_spec", lambda name: None)
    config = tiny_config(train={"trackers": [name]})
    with pytest.raises(ConfigError, match=f"train.trackers names '{name}', which is not installed: pip install {name}"):
        train(config)
    assert not config.out.exists()
