"""Heads that are fitted in one go, by the commands that train every other head."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from vidcore.analysis import evaluate
from vidcore.catalog import HeadSpec
from vidcore.config import HeadConfig
from vidcore.errors import DataError, WiringError
from vidcore.features import ReadoutInfo
from vidcore.heads._fitted import Fitted
from vidcore.heads.base import FittedHead, TargetInfo
from vidcore.training import load, train

REGRESSION = {"name": "logistic_regression"}


class NearestCentre(FittedHead):
    def fit(self, features, targets):
        self.centres = np.stack([features[targets == k].mean(0) for k in range(len(self.targets.classes))])

    def predict(self, features):
        near = np.exp(-((features[:, None] - self.centres) ** 2).sum(2))
        return near / near.sum(1, keepdims=True)

    def state(self):
        return {"centres": self.centres}

    def load_state(self, state):
        self.centres = state["centres"]


def _head(per_step=False):
    spec = HeadSpec(name="nearest", target="a:A", config="a:B", summary="s", fitted=True)
    inner = NearestCentre(spec, HeadConfig(), TargetInfo("class", ("a", "b"), (2, 2)))
    return Fitted(inner, ReadoutInfo(1, per_step))


def test_what_was_fitted_is_saved_with_the_other_tensors():
    head, features = _head(), torch.tensor([[0.0], [0.2], [2.0], [2.2]])
    targets = torch.tensor([0, 0, 1, 1])
    head.fit(features, targets)
    said = head.predictions(head(features))
    assert said.argmax(1).tolist() == [0, 0, 1, 1]
    chance = float(said[torch.arange(4), targets].double().log().mean())
    assert float(head.loss({"probabilities": said}, targets)) == pytest.approx(-chance)
    other = _head()
    assert other.load_state_dict(head.state_dict()).unexpected_keys == []
    assert torch.equal(other(features)["probabilities"], said)


def test_features_that_are_not_finite_and_steps_are_refused():
    with pytest.raises(DataError, match="the features of training clip 1 are not finite"):
        _head().fit(torch.tensor([[0.0], [float("nan")]]), torch.tensor([0, 1]))
    with pytest.raises(WiringError, match="reads one vector per clip; the readout gives one per step"):
        _head(per_step=True)


@pytest.fixture
def fitted_config(tiny_config, tmp_path, monkeypatch):
    pytest.importorskip("vidplug_handcrafted")
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))

    def make(freeze=True, **more):
        config = tiny_config(head=REGRESSION, **more)
        frozen = config.extractors[0].model_copy(update={"freeze": freeze})
        return config.model_copy(update={"extractors": (frozen,)})

    return make


def test_a_run_with_a_fitted_head_is_a_run_like_others(fitted_config, brightness):
    run = train(fitted_config())
    results = run.read_results()
    assert results["test"]["scores"]["accuracy"]["value"] == 1.0
    assert (results["epochs"], results["parameters"]["trained"]) == (1, 0)
    assert "head.fitted_coefficients" in load_file(str(run.weights))
    model = load(run.root, device="cpu")
    assert model.predict([brightness / "dark" / "00.mkv"])[0].label == "dark"
    assert evaluate(run.root, device="cpu").judged["scores"]["accuracy"]["value"] == 1.0


def test_its_folds_are_fitted_and_come_back(fitted_config, brightness):
    run = train(fitted_config(train={"folds": 3}))
    with run.metrics.open() as file:
        assert [row["fold"] for row in csv.DictReader(file)] == ["1", "2", "3", "0"]
    assert run.read_results()["test"]["scores"]["accuracy"]["value"] == 1.0
    assert load(run.fold(2).root, device="cpu").predict([brightness / "grey" / "03.mkv"])[0].label == "grey"


def test_nothing_before_it_can_be_trained(fitted_config):
    with pytest.raises(WiringError, match=r"'basic/patch_transformer' would be: set extractors\.0\.freeze=true"):
        train(fitted_config(freeze=False))
    with pytest.raises(WiringError, match="readout 'gru' has parameters: use --readout mean"):
        train(fitted_config(readout={"name": "gru"}))
