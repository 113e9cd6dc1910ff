from __future__ import annotations

import numpy as np
import pytest
from vidcore.training.metrics import judge

CLASSES = ("a", "b", "c")


def _one_hot(answers, sure=1.0, classes=3):
    rows = np.full((len(answers), classes), (1 - sure) / (classes - 1))
    rows[np.arange(len(answers)), answers] = sure
    return rows


def test_scores_by_hand():
    targets = np.array([0, 0, 0, 1, 1, 2])
    found = judge(_one_hot([0, 0, 1, 1, 2, 2], 0.9), targets, CLASSES, majority=0)
    assert found.confusion == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found.scores["accuracy"] == pytest.approx(4 / 6)
    # F1 = 2 TP / (true + answered): 4/5, 2/4, 2/3
    assert found.scores["macro_f1"] == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)
    assert found.per_class["a"] == {"precision": 1.0, "recall": 2 / 3, "f1": pytest.approx(0.8), "support": 3}
    # Every answer was given with 0.9, and 4 of 6 are right.
    assert found.scores["ece"] == pytest.approx(0.9 - 4 / 6, abs=1e-6)
    assert found.baselines["accuracy"] == {"majority class": 0.5, "random class": pytest.approx(1 / 3)}
    assert found.baselines["macro_f1"]["majority class"] == pytest.approx((2 * 3 / 9) / 3)
    assert "top5_accuracy" not in found.scores


def test_a_class_that_does_not_occur_is_not_averaged():
    found = judge(_one_hot([0, 0, 2, 1]), np.array([0, 0, 1, 1]), CLASSES, majority=0)
    assert found.scores["macro_f1"] == pytest.approx((1.0 + 2 / 3) / 2)


def test_top_five_of_seven_classes():
    chances = np.tile(np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]), (7, 1))
    found = judge(chances, np.arange(7), tuple("abcdefg"), majority=0)
    assert found.scores["top5_accuracy"] == pytest.approx(5 / 7)
    assert found.as_dict()["scores"]["top5_accuracy"]["baseline"] == {"five classes at random": pytest.approx(5 / 7)}


def test_the_interval_is_about_two_standard_errors():
    targets = np.zeros(400, dtype=int)
    answers = np.where(np.arange(400) < 320, 0, 1)
    low, high = judge(_one_hot(answers), targets, CLASSES, majority=0).intervals["accuracy"]
    error = (0.8 * 0.2 / 400) ** 0.5
    assert low == pytest.approx(0.8 - 1.96 * error, abs=0.006)
    assert high == pytest.approx(0.8 + 1.96 * error, abs=0.006)


def test_clips_of_a_group_are_one_observation():
    targets = np.zeros(400, dtype=int)
    answers = np.where(np.arange(400) < 320, 0, 1)
    groups = [str(i // 40) for i in range(400)]
    found = judge(_one_hot(answers), targets, CLASSES, majority=0, groups=groups)
    low, high = found.intervals["accuracy"]
    # Ten independent groups, all right or all wrong: sd 0.4 / sqrt(10), six times that of 400 independent clips.
    assert high - low > 0.4
    assert found.resampled == "groups"


def test_every_score_states_its_definition():
    scores = judge(_one_hot([0, 1]), np.array([0, 1]), CLASSES, majority=0).as_dict()["scores"]
    assert all(score["definition"] for score in scores.values())
    assert scores["accuracy"]["interval95"][1] == 1.0


def test_a_few_groups_have_no_interval():
    targets = np.zeros(90, dtype=int)
    answers = np.where(np.arange(90) < 70, 0, 1)
    for count, there in ((9, False), (10, True)):
        groups = [str(i % count) for i in range(90)]
        found = judge(_one_hot(answers), targets, CLASSES, majority=0, groups=groups)
        assert ("accuracy" in found.intervals) is there
        assert ("macro_f1" in found.intervals) is there
    assert "interval95" in found.as_dict()["scores"]["accuracy"]
    few = judge(_one_hot(answers[67:73]), targets[67:73], CLASSES, majority=0)
    assert few.intervals == {}
    assert few.as_dict()["interval"] == "too few clips for an interval: 6; it takes 10"
    # All right is exact however few there are: 0.025 ** (1 / 6).
    assert judge(_one_hot(targets[:6]), targets[:6], CLASSES, majority=0).intervals["accuracy"] == pytest.approx(
        (0.5407, 1.0), abs=1e-4
    )


@pytest.mark.parametrize("right", [True, False])
def test_answers_that_are_all_right_or_all_wrong_are_no_certainty(right):
    targets = np.zeros(100, int)
    found = judge(_one_hot(targets if right else targets + 1), targets, CLASSES, majority=0)
    low, high = found.intervals["accuracy"]
    # Clopper-Pearson for 100 of 100: 0.025 ** (1 / 100).
    assert (low, high) == pytest.approx((0.9638, 1.0) if right else (0.0, 0.0362), abs=1e-4)
    assert "macro_f1" not in found.intervals
