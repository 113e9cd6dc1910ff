"""Answers that look at no video, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from vidcore.data.manifest import Row
from vidcore.errors import RunError
from vidcore.heads.base import TargetInfo
from vidcore.heads.config import ForecastConfig
from vidcore.training.baselines import baseline_answers, quality, read_baselines, write_baselines
from vidcore.training.batches import Predictions

POSITIONS = TargetInfo("position", shape=(2, 2), names=("1", "2"), mean=(0.0,) * 4, std=(1.0,) * 4)


def head(**options):
    return SimpleNamespace(config=ForecastConfig(**options))


def seen(*positions):
    return Row(Path("a.mp4"), extra={"past_positions": json.dumps(positions), "row": 7})


def test_motion_goes_on():
    # x: 0, 1, 3: velocity 2, acceleration 1; y: 5, 4, 3: velocity -1, no acceleration.
    row, targets = seen([0, 5], [1, 4], [3, 3]), torch.zeros(1, 2, 2)
    found = baseline_answers(POSITIONS, [row], targets, head())
    assert found.keys() == {"training mean", "constant velocity", "constant acceleration"}
    assert found["constant velocity"][0].tolist() == [[2, -1], [4, -2]]
    # One step: 2 + 1; two: 3 + 4.
    assert found["constant acceleration"][0].tolist() == [[3, -1], [7, -2]]
    there = baseline_answers(POSITIONS, [row], targets, head(origin=None))
    assert there["constant velocity"][0].tolist() == [[5, 2], [7, 1]]


def test_a_parabola_is_continued_exactly():
    path = torch.tensor([[t, t * t - 3.0 * t] for t in range(5)])
    row = seen(*path[:3].tolist())
    truth = (path[3:] - path[2])[None]
    found = baseline_answers(POSITIONS, [row], truth, head())
    assert torch.allclose(found["constant acceleration"], truth)
    assert quality(POSITIONS, found["constant acceleration"], truth).tolist() == pytest.approx([0.0], abs=1e-9)
    assert quality(POSITIONS, found["constant velocity"], truth).item() < -0.5


@pytest.mark.parametrize(
    "row", [Row(Path("a.mp4")), seen([0, 0], [1, 1]), Row(Path("a.mp4"), extra={"past_positions": ""})]
)
def test_without_three_positions_there_is_the_mean(row):
    assert baseline_answers(POSITIONS, [row], torch.zeros(1, 2, 2), head()).keys() == {"training mean"}


def test_classes_of_one_frequency_share_the_probability():
    targets = torch.tensor([0, 1, 2])
    even = TargetInfo("class", ("a", "b", "c"), (4, 4, 1))
    said = baseline_answers(even, [], targets, head())["most frequent class"]
    assert quality(even, said, targets).tolist() == [0.5, 0.5, 0.0]


def test_columns_count_in_their_deviations():
    info = TargetInfo("value", shape=(2,), names=("x", "y"), mean=(1.0, 100.0), std=(1.0, 10.0))
    targets = torch.tensor([[2.0, 120.0]])
    said = baseline_answers(info, [], targets, head())["training mean"]
    assert quality(info, said, targets).tolist() == [-(1.0 + 4.0) / 2]


def test_they_are_kept_beside_the_answers(tmp_path):
    row, targets = seen([0, 5], [1, 4], [3, 3]), torch.zeros(1, 2, 2)
    write_baselines(tmp_path / "b.csv", POSITIONS, Predictions(targets, targets, [0], 0.0), [row], head())
    found = read_baselines(tmp_path / "b.csv")
    assert found["constant velocity"] == {"7": -(4 + 1 + 16 + 4) / 4}
    assert read_baselines(tmp_path / "absent.csv") == {}
    (tmp_path / "b.csv").write_text("row,x\n1,?\n")
    with pytest.raises(RunError, match="cannot read"):
        read_baselines(tmp_path / "b.csv")
