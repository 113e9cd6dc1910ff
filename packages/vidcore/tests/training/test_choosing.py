"""``train.grid``: what is chosen, by which rows, and that it is chosen once."""

from __future__ import annotations

import csv
import json
import os
import signal

import pytest
from vidcore.errors import ConfigError, DataError
from vidcore.training import RunInterruptedError, choosing, resume, train
from vidcore.training.cohort import Cohort
from vidcore.training.trainer import Trainer

GRID = "lr=1e-5,3e-2 wd=0,0.1"


@pytest.fixture
def grid_config(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))

    def make(freeze=True, grid=GRID, data=None, **options):
        config = tiny_config(train={"grid": grid, "epochs": 4, **options}, data=data or {})
        frozen = config.extractors[0].model_copy(update={"freeze": freeze})
        return config.model_copy(update={"extractors": (frozen,)})

    return make


def test_the_chosen_numbers_are_trained_and_give_what_the_grid_gave(grid_config):
    run = train(grid_config())
    found = json.loads(run.choice.read_text())
    assert (found["trainings"], len(found["combinations"])) == (4, 4)
    best = found["combinations"][0]
    assert found["chosen"] == {"0": best}
    with run.grid.open() as file:
        members = list(csv.DictReader(file))
    losses = {(float(row["lr"]), float(row["weight_decay"])): float(row["val_loss"]) for row in members}
    assert losses[best["lr"], best["weight_decay"]] == min(losses.values())
    results = run.read_results()
    # The same training alone: same epoch, score and loss, up to the rounding of sums.
    assert (results["best_epoch"], results["best_score"]) == (best["best_epoch"], best["val_accuracy"])
    assert results["best_loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert results["grid"] == found


def test_each_fold_chooses_by_its_own_rows(grid_config, monkeypatch):
    seen = {}
    before = Trainer.fit

    def fit(trainer, model, data, resume=None):
        seen[trainer._fold] = (trainer.config.lr, trainer.config.weight_decay)
        return before(trainer, model, data, resume)

    monkeypatch.setattr(Trainer, "fit", fit)
    run = train(grid_config(folds=2))
    chosen = json.loads(run.choice.read_text())["chosen"]
    assert {int(fold): (one["lr"], one["weight_decay"]) for fold, one in chosen.items()} == seen
    assert seen.keys() == {0, 1, 2}
    with run.grid.open() as file:
        members = [row for row in csv.DictReader(file) if row["fold"] == "2"]
    assert float(chosen["2"]["val_loss"]) == min(float(row["val_loss"]) for row in members)
    assert chosen["2"]["members"] == 1


def test_a_resumed_run_keeps_what_was_chosen(grid_config, monkeypatch):
    def killed(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(RunInterruptedError):
        patch.setattr(Trainer, "fit", killed)
        train(config := grid_config())
    folder = config.out / "tiny"
    kept = (folder / "grid.json").read_text()
    monkeypatch.setattr(choosing, "fit_grid", killed)
    assert resume(folder).done
    assert (folder / "grid.json").read_text() == kept


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"freeze": False},
            ConfigError,
            r"'basic/patch_transformer' is trained itself; set extractors\.0\.freeze=true",
        ),
        ({"data": {"jitter": True}}, ConfigError, "training clips are drawn anew in every epoch"),
        ({"data": {"val_fraction": 0}}, DataError, "chosen by validation rows and there are none"),
    ],
)
def test_what_has_no_stored_features_or_nothing_to_choose_by(grid_config, options, error, message):
    config = grid_config(**options)
    with pytest.raises(error, match=message):
        train(config)
    assert not config.out.exists()


def test_a_grid_that_is_told_to_stop_ends_with_its_epoch(grid_config, monkeypatch):
    before = Cohort._validate

    def validate(cohort, members):
        os.kill(os.getpid(), signal.SIGTERM)
        return before(cohort, members)

    config = grid_config()
    with (
        monkeypatch.context() as patch,
        pytest.raises(RunInterruptedError, match=r"stopped in the grid after 1 of 4 epochs\n.*begin anew with"),
    ):
        patch.setattr(Cohort, "_validate", validate)
        train(config)
    assert resume(config.out / "tiny").done
