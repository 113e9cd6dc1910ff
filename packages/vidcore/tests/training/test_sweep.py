from __future__ import annotations

import math

import pytest
import torch
from vidcore.config import GridConfig, TrainConfig, parse_grid, run_config
from vidcore.errors import ConfigError, DataError
from vidcore.training.batches import Predictions
from vidcore.training.grid import GridResult
from vidcore.training.member import GridMember, MemberResult
from vidcore.training.state import TrainingState
from vidcore.training.sweep import choose, member_rows, members_of


@pytest.mark.parametrize(
    "texts",
    [
        ["lr=1e-4,3e-4", "wd=0,0.05"],
        ["lr=1e-4,3e-4 wd=0,0.05"],
        ["lr=1e-4,3e-4,wd=0,0.05"],
        ["weight_decay=0,0.05", "lr=1e-4, 3e-4"],
    ],
)
def test_a_grid_is_read(texts):
    assert parse_grid(texts) == GridConfig(lr=(1e-4, 3e-4), weight_decay=(0.0, 0.05))


def test_what_is_not_named_is_the_configurations():
    config = TrainConfig(lr=0.5, weight_decay=0.25, seed=7)
    assert members_of(parse_grid(["seeds=0,1"]), config, folds=(1, 2)) == [
        GridMember(0.5, 0.25, 0, 1),
        GridMember(0.5, 0.25, 0, 2),
        GridMember(0.5, 0.25, 1, 1),
        GridMember(0.5, 0.25, 1, 2),
    ]
    assert members_of(GridConfig(lr=(1.0, 2.0)), config) == [GridMember(1.0, 0.25, 7, 0), GridMember(2.0, 0.25, 7, 0)]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "the grid is empty; write: --grid lr=1e-4,3e-4,1e-3 --grid wd=0,0.05"),
        (["lr="], "the grid gives lr no value; write: --grid lr="),
        (["lr=1,wd="], "the grid gives weight_decay no value"),
        (["1e-3"], "the grid has a value without a key, '1e-3'; write: --grid lr="),
        (["lr=1e-3", "2e-3"], "the grid has a value without a key, '2e-3'"),
        (["weight_decoy=1"], "unknown key 'weight_decoy' in the grid; did you mean 'weight_decay'?"),
        (["momentum=1"], "unknown key 'momentum' in the grid; keys: lr, wd, seed"),
        (["lr=1e-3,fast"], "the grid's lr has a value that is no number: 'fast'"),
        (["lr=0"], "the grid's lr is 0; must be above 0"),
        (["lr=inf"], "the grid's lr is inf; must be above 0"),
        (["wd=-1"], "the grid's weight_decay is -1; must be 0 or above"),
        (["seed=0.5"], "the grid's seed is 0.5; must be a whole number from 0 on"),
        (["lr=1e-3,0.001"], "the grid's lr has 0.001 twice"),
        (["lr=1e-3 wd=0"], "the grid has one value of each: there is nothing to compare"),
        (["wd=1", "weight_decay=2"], "the grid names 'weight_decay' twice; put its values into one: weight_decay=1,2"),
    ],
)
def test_a_grid_that_is_none(texts, message):
    with pytest.raises(ConfigError) as caught:
        parse_grid(texts)
    assert message in str(caught.value)


def test_a_grid_in_a_configuration_is_text_or_keys():
    text = run_config({"train": {"grid": "lr=1e-4,1e-3 wd=0"}}).train.grid
    assert text == run_config({"train": {"grid": {"lr": [1e-4, 1e-3], "weight_decay": [0]}}}).train.grid
    assert text == GridConfig(lr=(1e-4, 1e-3), weight_decay=(0.0,))
    for wrong in ({"lr": [0.1, 0.1]}, {"lr": [0.1]}, {"lr": [-1.0, 1.0]}, "lr=1e-3"):
        with pytest.raises(ConfigError, match=r"train\.grid"):
            run_config({"train": {"grid": wrong}})


def _member(lr, fold, score, loss=1.0, failure=None):
    state = TrainingState(best_score=score, best_loss=loss, best_epoch=3)
    said = Predictions(torch.zeros(1, 2), torch.zeros(1), [0], loss)
    return MemberResult(GridMember(lr, 0.1, fold=fold), state, validation=said, failure=failure)


def test_the_best_has_the_lowest_mean_loss_whatever_the_scores_say():
    members = (
        _member(1.0, 0, 0.5, 0.4), _member(1.0, 1, 0.9, 0.8), _member(2.0, 0, 0.9, 0.9), _member(2.0, 1, 0.9, 1.5)
    )  # fmt: skip
    choice = choose(GridResult(members, "accuracy", lower_is_better=False))
    assert choice.best.lr == 1.0
    assert choice.best.mean == pytest.approx(0.7)
    assert choice.best.std == pytest.approx(math.sqrt(0.08))
    assert choice.best.loss_error == pytest.approx(0.2)
    assert choice.ties == 0
    assert choice.rows()[1] == {
        "lr": 2.0, "weight_decay": 0.1, "members": 2, "failed": 0, "val_accuracy": 0.9, "val_accuracy_std": 0.0,
        "val_loss": 1.2, "best_epoch": 3.0,
    }  # fmt: skip


def test_what_chance_may_have_chosen_is_counted():
    members = (
        _member(1.0, 0, 0.5, 0.4),
        _member(1.0, 1, 0.5, 0.8),
        _member(2.0, 0, 0.5, 0.7),
        _member(2.0, 1, 0.5, 0.7),
    )
    assert choose(GridResult(members, "accuracy", lower_is_better=False)).ties == 1


def test_failures_and_losses_that_are_no_number_come_last():
    members = (
        _member(1.0, 0, 0.5, 0.4), _member(2.0, 0, 0.5, 0.3),
        _member(3.0, 0, 0.9, 0.1), _member(3.0, 1, 0.9, 0.1, failure="a loss is not finite"),
        _member(4.0, 0, 0.9, math.nan),
    )  # fmt: skip
    choice = choose(GridResult(members, "accuracy", lower_is_better=False))
    assert [c.lr for c in choice.combinations] == [2.0, 1.0, 4.0, 3.0]
    assert choice.combinations[0].std is None
    assert (choice.combinations[3].members, choice.combinations[3].failed) == (2, 1)


def test_members_are_rows():
    result = GridResult((_member(1.0, 1, 0.5, failure="why"),), "accuracy", lower_is_better=False)
    assert member_rows(result) == [
        {"lr": 1.0, "weight_decay": 0.1, "seed": 0, "fold": 1, "best_epoch": 3, "val_accuracy": 0.5, "val_loss": 1.0,
         "failure": "why"},
    ]  # fmt: skip


def test_nothing_to_choose_by():
    one = MemberResult(GridMember(1.0, 0.1), TrainingState(best_epoch=3))
    with pytest.raises(DataError, match="compared by their validation clips, and there are none"):
        choose(GridResult((one,), "accuracy", lower_is_better=False))
