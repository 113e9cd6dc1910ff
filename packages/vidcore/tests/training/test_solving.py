"""Linear heads on frozen features: solved as scikit-learn solves them, and mixtures that a bad stream cannot spoil."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from vidcore.catalog import HeadSpec, installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, DataError
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.heads.base import TargetInfo
from vidcore.training import train
from vidcore.training.batches import Batch
from vidcore.training.calibration import calibrated, divide_logits, temperature_of
from vidcore.training.encoded import EncodedClips
from vidcore.training.solving import read_rows, solve
from vidcore.training.solving.inner_folds import inner_folds
from vidcore.training.solving.linear import LinearFit
from vidcore.training.solving.reading import ReadRows
from vidcore.training.solving.space import RowSpace
from vidcore.training.statistics import fit_standardisation
from vidcore.training.trained import load

CLASSES = 3


def _head(width, name="classification", info=None, **options):
    spec = installed().get(HeadSpec, name)
    info = info or TargetInfo("class", ("x", "y", "z"), (1,) * CLASSES)
    return load_target(spec)(spec, component_config(spec, options), ReadoutInfo(width), info)


def _clusters(rows=60, width=8, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(rows) % CLASSES
    centres = torch.randn(CLASSES, width, generator=generator, dtype=torch.float64)
    return centres[targets] + spread * torch.randn(rows, width, generator=generator, dtype=torch.float64), targets


@pytest.mark.parametrize("width", [8, 200], ids=["fewer channels than rows", "more channels than rows"])
def test_it_finds_what_scikit_learn_finds(width):
    x, y = _clusters(width=width)
    fit = LinearFit(_head(width))
    space = RowSpace(x, {"a": torch.arange(width)}).at({"a": 1.0})
    penalty = 1e-2
    theta = fit.fit(space.z, y, penalty, fit.start(space.z.shape[1]), exact=True)
    weight = fit.split(theta)[0] @ space.back
    # There the penalty is of plain columns and beside a sum; here of rows with mean square norm 1 beside a mean.
    size = float(x.square().sum(1).mean())
    model = LogisticRegression(C=1 / (penalty * size * len(x)), tol=1e-10, max_iter=10_000).fit(x.numpy(), y.numpy())
    # Both are unique up to a shift that no class sees.
    found = (weight - weight.mean(0)).numpy()
    assert np.allclose(found, model.coef_ - model.coef_.mean(0), atol=2e-4 * np.abs(model.coef_).max() + 1e-5)


def _rows(blocks, targets):
    columns, start = {}, 0
    for name, x in blocks.items():
        columns[name] = torch.arange(start, start + x.shape[1])
        start += x.shape[1]
    x = torch.cat([(x - x.mean(0)) / x.std(0) for x in blocks.values()], 1)
    return ReadRows(x, targets, tuple(range(len(targets))), columns)


def test_a_wide_stream_of_noise_is_left_out_and_costs_nothing():
    x, y = _clusters(spread=0.8)
    noise = torch.randn(60, 2000, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    units = list(range(60))
    alone = solve(_head(8), _rows({"good": x}, y), units, 0)
    both = solve(_head(2008), _rows({"good": x, "noise": noise}, y), units, 0)
    assert both.shares == {"good": 1.0, "noise": 0.0}
    # The same problem in other coordinates, each solved to its tolerance.
    assert both.loss == pytest.approx(alone.loss, rel=1e-3)
    assert "noise left out" in both.in_words()
    plain = solve(
        _head(2008), ReadRows(_rows({"a": x, "b": noise}, y).vectors, y, (), {"all": torch.arange(2008)}), units, 0
    )
    assert plain.loss > 1.2 * both.loss, "without scales the noise would cost much"


def test_streams_that_know_different_things_are_mixed():
    generator = torch.Generator().manual_seed(4)
    y = torch.arange(120) % CLASSES
    one = torch.randn(120, 5, generator=generator, dtype=torch.float64) + 2.0 * (y == 0)[:, None]
    two = torch.randn(120, 5, generator=generator, dtype=torch.float64) + 2.0 * (y == 1)[:, None]
    found = solve(_head(10), _rows({"one": one, "two": two}, y), list(range(120)), 0)
    assert min(found.shares.values()) >= 0.1
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.scores["accuracy"] > 0.9


def test_numbers_are_solved_as_ridge_regression():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    y = (x @ torch.randn(6, 2, generator=generator, dtype=torch.float64)).float()
    info = TargetInfo("value", shape=(2,), names=("a", "b"), mean=(0.0, 0.0), std=(1.0, 1.0))
    head = _head(6, "regression", info)
    found = solve(head, _rows({"x": x}, y), list(range(50)), 0)
    assert (found.temperature, found.scores["r2"] > 0.99) == (1.0, True)
    found.apply(head)
    said = head.predictions(head(_rows({"x": x}, y).vectors.float()))
    assert torch.allclose(said, y, atol=0.05)


def test_inner_folds_divide_no_group_and_judge_no_class_they_do_not_know():
    y = torch.tensor([0] * 12 + [1] * 12 + [2] * 4)
    units = [f"g{i % 6}" for i in range(24)] + ["only"] * 4
    folds = inner_folds(y, "class", units, 0)
    assert len(folds) == 5
    for fit, judge in folds:
        assert not {units[i] for i in fit} & {units[i] for i in judge}
        assert set(y[judge].tolist()) <= set(y[fit].tolist())
    # The third class is in one group: nobody can judge it.
    assert sorted(row for _, judge in folds for row in judge) == list(range(24))


@pytest.mark.parametrize(
    ("targets", "units"),
    [([0, 1, 2, 0, 1, 2], ["one"] * 6), ([0, 1, 2], [0, 1, 2])],
    ids=["one group", "one row per class"],
)
def test_what_cannot_be_divided_gets_a_fixed_penalty_and_says_so(targets, units):
    x, _ = _clusters(rows=len(targets))
    found = solve(_head(8), _rows({"a": x}, torch.tensor(targets)), units, 0)
    assert (found.folds, found.loss) == (0, None)
    assert "fixed: the rows cannot be divided into inner folds" in found.in_words()
    assert found.weight.isfinite().all()


def test_features_that_say_nothing_at_all_give_the_frequencies():
    y = torch.tensor([0] * 30 + [1] * 20 + [2] * 10)
    head = _head(4)
    found = solve(head, ReadRows(torch.zeros(60, 4, dtype=torch.float64), y, (), {"a": torch.arange(4)}), range(60), 0)
    found.apply(head)
    said = head.eval().predictions(head(torch.zeros(1, 4)))[0]
    assert torch.allclose(said, torch.tensor([0.5, 1 / 3, 1 / 6]), atol=0.02)


def test_the_temperature_undoes_what_made_the_answers_too_sure():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 4, generator=generator)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    sure = (3 * logits).softmax(1)
    found = temperature_of(sure, targets, "class")
    assert found == pytest.approx(3, rel=0.1)
    assert torch.allclose(calibrated(sure, 3.0, "class"), logits.softmax(1), atol=1e-3)
    # A few clips that are all right by chance say little.
    assert 0.4 < temperature_of(sure[:3], sure[:3].argmax(1), "class") <= 1
    labels = torch.bernoulli(logits.sigmoid(), generator=generator)
    assert temperature_of((3 * logits).sigmoid(), labels, "multilabel") == pytest.approx(3, rel=0.1)


def test_dividing_the_logits_changes_the_probabilities_and_no_answer():
    head = _head(8).eval()
    x = torch.randn(10, 8, generator=torch.Generator().manual_seed(0)) * 5
    before = head.predictions(head(x)).detach()
    divide_logits(head, 2.0)
    after = head.predictions(head(x)).detach()
    assert torch.allclose(after, calibrated(before, 2.0, "class"), atol=1e-5)


def _frozen(tiny_config, tmp_path, **train_options):
    config = tiny_config(data={"store": str(tmp_path / "store")})
    frozen = config.extractors[0].model_copy(update={"freeze": True})
    update = {"epochs": None, "lr": None, **train_options}
    return config.model_copy(update={"extractors": (frozen,), "train": config.train.model_copy(update=update)})


def test_a_run_that_leaves_all_open_is_solved(tiny_config, tmp_path):
    run = train(_frozen(tiny_config, tmp_path, folds=3))
    assert run.read_config().train.solver == "exact"
    assert run.read_config().train.epochs is None
    results = run.read_results()
    assert results["test"]["scores"]["accuracy"]["value"] == 1.0
    fold = json.loads(run.fold(1).results.read_text())
    assert (fold["epochs"], fold["updates"], fold["solution"]["inner_folds"]) == (1, 0, 5)
    # Training and validation rows both.
    assert fold["solution"]["rows"] == 36 - fold["test"]["clips"]
    lines = run.log.read_text()
    assert "solved to convergence, penalty by inner folds" in lines
    model = load(run.root, device="cpu").model
    assert model.standardise.gain("basic/patch_transformer").ne(1).any()
    assert load(run.fold(1).root, device="cpu").model.standardise.mean("basic/patch_transformer").ne(0).any()


def test_asking_for_steps_gives_steps(tiny_config, tmp_path):
    run = train(_frozen(tiny_config, tmp_path, epochs=2))
    config = run.read_config().train
    assert (config.solver, config.epochs, config.lr, config.patience) == ("adamw", 2, 1e-3, None)
    assert run.read_results()["updates"] == 2 * math.ceil(run.read_results()["clips"]["train"] / 8)
    assert "steps are few" in run.log.read_text()


def test_steps_without_a_number_are_as_many_as_it_takes(tiny_config, tmp_path):
    config = _frozen(tiny_config, tmp_path, solver="adamw", batch_size=4)
    config = config.model_copy(update={"name": "open"})
    run = train(config)
    chosen = run.read_config().train
    assert (chosen.epochs, chosen.patience) == (50, 10)
    assert "50 epochs of batches of 4: 300 steps at most, 10 without a lower loss end it" in run.log.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 3}, r"takes no steps, so train\.epochs would change nothing"),
        ({}, r"readout 'attention' has parameters: leave it away, or set train\.solver=adamw"),
    ],
)
def test_what_cannot_be_solved_is_refused(tiny_config, tmp_path, options, message):
    config = _frozen(tiny_config, tmp_path, solver="exact", **options)
    if not options:
        readout = config.readout.model_copy(update={"name": "attention", "options": {"heads": 2}})
        config = config.model_copy(update={"readout": readout})
    with pytest.raises(ConfigError, match=message):
        train(config)
    assert not config.out.exists()


def test_features_that_are_no_numbers_are_named(tiny_config):
    from vidcore.model import VideoModel
    from vidcore.standardise import Standardise

    data = torch.ones(5, 3, 2, 1, 1)
    data[3, 1, 0] = math.nan
    maps = {"a": FeatureMap(data, torch.arange(2.0))}
    clips = EncodedClips([Batch(torch.zeros(5), torch.ones(5, 1).bool(), tuple(range(10, 15)), features=maps)])
    model = VideoModel({}, torch.nn.Identity(), torch.nn.Identity(), _head(3), standardise=Standardise({"a": 3}))
    with pytest.raises(DataError, match=r"the features of clip 13\.mp4 in stream 'a' are not finite"):
        fit_standardisation(model, clips, lambda batch: batch.features, "clip {}.mp4".format)
    with pytest.raises(DataError, match=r"the features of clip 13\.mp4 in stream 'a' are not finite"):
        read_rows(model, [clips], lambda batch: batch.features, None, "clip {}.mp4".format, print)
