"""Intervals over groups: by hand, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t
from vidcore.training.intervals import (
    accuracy_interval,
    jackknife,
    macro_f1,
    macro_f1_interval,
    mean_interval,
    score_intervals,
    units_of,
)


def test_of_groups_of_one_size_it_is_student_s_t_of_their_means():
    values = np.random.default_rng(0).normal(3, 1, 60)
    units = np.arange(60) % 12
    means = values.reshape(5, 12).mean(0)
    reach = t.ppf(0.975, 11) * means.std(ddof=1) / 12**0.5
    assert mean_interval(values, units) == pytest.approx((means.mean() - reach, means.mean() + reach))


def test_the_limits_of_a_share_are_shares():
    right = np.ones(100, dtype=bool)
    right[0] = False
    low, high = accuracy_interval(right, np.arange(100) % 10)
    assert 0.9 < low < 0.99 < high < 1


def test_groups_that_happen_to_agree_are_no_certainty():
    # Each of ten groups has three of four right: nothing varies between them, and 30 of 40 is no exact knowledge.
    right = np.tile([True, True, True, False], 10)
    low, high = accuracy_interval(right, np.repeat(np.arange(10), 4))
    assert low < 0.62 and high > 0.85


def test_macro_f1_without_each_group_by_hand():
    generator = np.random.default_rng(1)
    true, units = generator.integers(0, 4, 90), generator.integers(0, 11, 90)
    said = np.where(generator.random(90) < 0.7, true, generator.integers(0, 4, 90))

    def f1(places):
        hit = np.bincount(true[places][true[places] == said[places]], minlength=4)
        return macro_f1(hit, np.bincount(true[places], minlength=4), np.bincount(said[places], minlength=4))

    without = np.array([f1(np.flatnonzero(units != unit)) for unit in range(11)])
    assert macro_f1_interval(true, said, 4, units) == pytest.approx(
        jackknife(f1(np.arange(90)), without, "share"), abs=1e-12
    )
    found = score_intervals(lambda p: {"f1": f1(p)}, {"f1": f1(np.arange(90))}, {"f1": "share"}, units)
    assert found["f1"] == pytest.approx(macro_f1_interval(true, said, 4, units))


def test_what_has_no_interval():
    few = np.linspace(0.4, 0.6, 9)
    assert jackknife(0.5, few, "share") is None
    assert jackknife(0.5, np.append(few, np.nan), "share") is None
    assert jackknife(0.5, np.full(20, 0.5), "share") is None
    assert jackknife(0.0, np.linspace(0, 1, 20), "error") is None


def test_units_are_groups_or_clips():
    assert units_of(3, None)[1] == units_of(3, [None] * 3)[1] == "clips"
    units, what = units_of(4, ["a", None, "a", None])
    assert what == "groups"
    assert units[0] == units[2] and len(set(units.tolist())) == 3


@pytest.mark.parametrize(("groups", "spread"), [(10, 0.5), (10, 1.0), (20, 1.0), (0, 0.0)])
def test_they_hold_the_truth_as_often_as_they_say(groups, spread):
    generator, repetitions, clips, classes = np.random.default_rng(7 + groups), 400, 120, 3
    units = np.arange(clips) % groups if groups else np.arange(clips)
    true = (np.arange(clips) // max(groups, 1)) % classes if groups else np.arange(clips) % classes
    # The expectation of logistic(1.2 + spread N(0, 1)) by a fine grid; of alike classes it is the macro F1 as well.
    normal = np.linspace(-6, 6, 4001)
    density = np.exp(-(normal**2) / 2)
    truth = float((density / (1 + np.exp(-1.2 - spread * normal))).sum() / density.sum())
    held = np.zeros(2)
    for _ in range(repetitions):
        effect = spread * generator.standard_normal(units.max() + 1)
        right = generator.random(clips) < 1 / (1 + np.exp(-1.2 - effect[units]))
        said = np.where(right, true, (true + generator.integers(1, classes, clips)) % classes)
        limits = accuracy_interval(right, units), macro_f1_interval(true, said, classes, units)
        held += [low <= truth <= high for low, high in limits]
    # 93 % with room for the error of 400 repetitions: at a true coverage of 95 %, fewer than 0.925 has 2 %.
    assert (held / repetitions >= 0.92).all(), held / repetitions
