"""Several labels, numbers and positions: losses and scores against what is computed by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, WiringError
from vidcore.features import ReadoutInfo
from vidcore.heads import TargetInfo

LABELS = TargetInfo("multilabel", ("a", "b", "c"), (5, 20, 0), 20)
SPEEDS = TargetInfo("value", rows=9, shape=(2,), names=("speed", "height"), mean=(10.0, 0.5), std=(4.0, 0.1))
AHEAD = TargetInfo(
    "position", rows=9, shape=(2, 2), names=("1", "2"), mean=(1.0, 2.0, 3.0, 4.0), std=(1.0, 1.0, 2.0, 2.0)
)


def build(name, targets, per_step=False, **options):
    spec = installed().find("head", name)[0].spec
    torch.manual_seed(0)
    return load_target(spec)(spec, component_config(spec, options), ReadoutInfo(5, per_step), targets).eval()


def scores(head, predictions, targets, parts=1):
    metrics = head.metrics()
    for chunk in zip(predictions.chunk(parts), targets.chunk(parts), strict=True):
        metrics.update(*chunk)
    return {name: float(value) for name, value in metrics.compute().items()}


# Several labels


def test_rare_labels_weigh_more_where_that_is_asked():
    logits = torch.randn(4, 3)
    targets = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    plain = build("multilabel", LABELS).loss({"logits": logits}, targets)
    assert torch.allclose(plain, F.binary_cross_entropy_with_logits(logits, targets.float()))
    # 5 of 20 rows have a: their positives count three times. b is everywhere and c nowhere: nothing to balance.
    balanced = build("multilabel", LABELS, positive_weights="balanced", label_smoothing=0.2)
    expected = F.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, pos_weight=torch.tensor([3.0, 1.0, 1.0]))
    assert torch.allclose(balanced.loss({"logits": logits}, targets), expected)


def test_multilabel_answers_each_label_by_itself():
    head = build("multilabel", LABELS)
    logits = torch.randn(4, 3)
    assert torch.allclose(head.predictions({"logits": logits}), logits.sigmoid())
    assert head.score == "mean_average_precision" and head.score in head.metrics()


def test_balance_needs_to_know_how_many_rows_there_are():
    with pytest.raises(ConfigError, match="positive_weights=balanced needs the number of training rows"):
        build("multilabel", TargetInfo("multilabel", ("a", "b"), (1, 2)), positive_weights="balanced")


# Soft targets, as mixed clips have


def test_shares_of_two_classes_are_fitted_as_shares():
    head = build("classification", TargetInfo("class", ("a", "b", "c"), (1, 1, 1)))
    logits, first, second = torch.randn(4, 3), torch.tensor([0, 1, 2, 1]), torch.tensor([1, 1, 0, 2])
    mixed = 0.3 * F.one_hot(first, 3) + 0.7 * F.one_hot(second, 3)
    expected = 0.3 * F.cross_entropy(logits, first) + 0.7 * F.cross_entropy(logits, second)
    assert torch.allclose(head.loss({"logits": logits}, mixed), expected)


# Numbers


def test_values_are_in_their_own_units_and_the_loss_in_deviations():
    head = build("regression", SPEEDS)
    features = torch.randn(6, 5)
    outputs = head(features)
    by_hand = head.network(features) * torch.tensor([4.0, 0.1]) + torch.tensor([10.0, 0.5])
    assert torch.allclose(outputs["values"], by_hand)
    targets = torch.randn(6, 2)
    error = (by_hand - targets) / torch.tensor([4.0, 0.1])
    assert torch.allclose(head.loss(outputs, targets), error.square().mean())
    assert torch.allclose(build("regression", SPEEDS, loss="l1").loss(outputs, targets), error.abs().mean())
    huber = torch.where(error.abs() < 1, error.square() / 2, error.abs() - 0.5).mean()
    assert torch.allclose(build("regression", SPEEDS, loss="huber").loss(outputs, targets), huber)


@pytest.mark.parametrize("parts", [1, 3])
def test_scores_of_values(parts):
    head = build("regression", SPEEDS)
    targets = torch.tensor([[10.0, 0.5], [14.0, 0.4], [6.0, 0.6], [10.0, 0.5], [12.0, 0.3], [8.0, 0.7]])
    said = targets + torch.tensor([[2.0, 0.0]])
    found = scores(head, said, targets, parts)
    assert found["rmse_speed"] == pytest.approx(2) and found["rmse_height"] == pytest.approx(0, abs=1e-6)
    assert found["nrmse"] == pytest.approx((0.5 * (2 / 4) ** 2) ** 0.5)
    variance = targets[:, 0].var(correction=0).item()
    assert found["r2"] == pytest.approx(0.5 * (1 - 4 / variance) + 0.5, abs=1e-4)
    # Always saying the mean of the training rows gives about one, and here exactly the root of the mean square.
    mean = torch.tensor([10.0, 0.5]).expand(6, 2)
    expected = ((targets - mean) / torch.tensor([4.0, 0.1])).square().mean().sqrt().item()
    assert scores(head, mean, targets, parts)["nrmse"] == pytest.approx(expected)


def test_one_column_has_one_error_and_one_row_no_r2():
    one = TargetInfo("value", shape=(1,), names=("speed",), mean=(3.0,), std=(0.0,))
    head = build("regression", one)
    assert head.std.tolist() == [1.0], "a column that is constant in training has no scale"
    assert set(head.metrics()) == {"nrmse", "r2", "rmse"}
    found = scores(head, torch.tensor([[1.0]]), torch.tensor([[4.0]]))
    assert found["rmse"] == pytest.approx(3) and found["r2"] != found["r2"]


def test_units_are_saved_with_the_weights():
    trained, fresh = build("regression", SPEEDS), build("regression", TargetInfo("value", shape=(2,)))
    fresh.load_state_dict(trained.state_dict())
    features = torch.randn(3, 5)
    assert torch.equal(fresh(features)["values"], trained(features)["values"])


# Positions


@pytest.mark.parametrize("parts", [1, 2])
def test_scores_of_a_forecast(parts):
    head = build("forecast", AHEAD)
    targets = torch.randn(4, 2, 2)
    said = targets.clone()
    said[:, 1, 0] += 3.0
    found = scores(head, said, targets, parts)
    assert found["rmse_1"] == pytest.approx(0, abs=1e-6)
    assert found["rmse_2"] == pytest.approx((9 / 2) ** 0.5)
    assert found["mse"] == pytest.approx(9 / 4) == pytest.approx((found["rmse_1"] ** 2 + found["rmse_2"] ** 2) / 2)


def test_horizons_that_agree_at_first_are_not_taken_for_one():
    """Metrics that begin equal are merged by their collection unless it is told not to."""
    head = build("forecast", AHEAD)
    metrics = head.metrics()
    zeros = torch.zeros(2, 2, 2)
    metrics.update(zeros, zeros)
    metrics.update(torch.tensor([[[1.0, 1.0], [3.0, 3.0]]]), zeros[:1])
    found = metrics.compute()
    assert float(found["rmse_2"]) == pytest.approx(3 * float(found["rmse_1"]))


def test_the_loss_of_a_forecast_is_its_error_but_for_a_factor():
    head = build("forecast", AHEAD)
    targets, features = torch.randn(6, 2, 2), torch.randn(6, 5)
    outputs = head(features)
    assert outputs["positions"].shape == (6, 2, 2)
    variance = (1 + 1 + 4 + 4) / 4
    expected = (outputs["positions"] - targets).square().mean() / variance
    assert torch.allclose(head.loss(outputs, targets), expected)
    centred = head.network(features).reshape(6, 2, 2) * variance**0.5 + torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.allclose(head.predictions(outputs), centred)


@pytest.mark.parametrize(
    ("name", "targets", "said"),
    [
        ("regression", TargetInfo("value"), r"predicts targets of shape \(columns\); the data's are of shape \(\)"),
        (
            "forecast",
            TargetInfo("position", shape=(3,)),
            r"shape \(horizons, coordinates\); the data's are of shape \(3,\)",
        ),
        ("regression", AHEAD, "head 'regression' predicts value targets; the data has position targets"),
        ("multilabel", TargetInfo("multilabel", ("a",)), r"needs at least two classes; the data has \['a'\]"),
    ],
)
def test_targets_of_another_shape_are_refused(name, targets, said):
    with pytest.raises(WiringError, match=said):
        build(name, targets)


@pytest.mark.parametrize(("name", "targets"), [("regression", SPEEDS), ("forecast", AHEAD), ("multilabel", LABELS)])
def test_answers_per_step_are_refused(name, targets):
    with pytest.raises(WiringError, match=f"head '{name}' reads one vector per clip; the readout gives one per step"):
        build(name, targets, per_step=True)
