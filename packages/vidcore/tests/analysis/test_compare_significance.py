"""Paired tests on made-up answers."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from vidcore.analysis.comparison.answers import Answers, read_answers
from vidcore.analysis.comparison.significance import against_best, confidence_set
from vidcore.errors import RunError


def answers(right, groups=None, clips=None):
    """Answers of classes; ``right`` says which clips are answered well."""
    count = len(right)
    return Answers(
        clips=tuple(clips or [str(i) for i in range(count)]),
        quality=np.asarray(right, dtype=float),
        groups=tuple(groups) if groups is not None else (None,) * count,
        confidence=np.full(count, 0.9),
    )


def errors(values, groups=None):
    """Answers of numbers with these squared errors."""
    values = np.asarray(values, dtype=float)
    count = len(values)
    return Answers(tuple(map(str, range(count))), -values, tuple(groups) if groups else (None,) * count)


def flags(count, wrong):
    return [i not in set(wrong) for i in range(count)]


def test_identical_rows_show_no_difference():
    best, same = against_best([answers(flags(40, [1, 2])), answers(flags(40, [1, 2]))], 0)
    assert best.verdict == "best"
    assert same.verdict == "no difference shown"
    assert (same.p, same.difference, same.interval95) == (1.0, 0.0, (0.0, 0.0))
    assert (same.clips, same.units, same.only_best, same.only_row) == (40, 40, 0, 0)


def test_clearly_worse_rows_are_called_worse():
    _, worse = against_best([answers(flags(60, [])), answers(flags(60, range(30)))], 0)
    assert worse.verdict == "worse"
    assert worse.p == pytest.approx(1 / 4096)
    assert worse.difference == pytest.approx(-0.5)
    low, high = worse.interval95
    assert -0.65 < low < -0.5 < high < -0.35
    assert worse.only_best == 30


def test_of_two_rows_the_flips_are_the_exact_sign_test():
    # Five clips only the best got right, one only the other: 2 * (C(6,0) + C(6,1)) / 2^6, McNemar's exact p.
    _, other = against_best([answers(flags(50, [9])), answers(flags(50, range(5)))], 0)
    assert other.p == pytest.approx(0.21875)
    assert other.verdict == "no difference shown"


def test_more_rows_make_a_difference_harder_to_show():
    generator = np.random.default_rng(0)
    best, row = answers(flags(60, [])), answers(flags(60, range(6)))
    others = [answers(generator.random(60) < 0.95) for _ in range(6)]
    alone, among = against_best([best, row], 0)[1], against_best([best, row, *others], 0)[1]
    assert alone.p == pytest.approx(2 / 2**6)
    assert alone.verdict == "worse"
    assert among.p > 2 * alone.p
    assert among.verdict == "no difference shown"


def test_rows_that_left_do_not_count_for_those_that_stay():
    # Two rows that are far worse leave first; the third is then tested against the best as if they were not there.
    best, near = answers(flags(80, [])), answers(flags(80, range(8)))
    far = [answers(flags(80, range(20 + i, 70))) for i in range(2)]
    alone = against_best([best, near], 0)[1]
    among = against_best([best, near, *far], 0)
    assert [one.verdict for one in among] == ["best", "worse", "worse", "worse"]
    assert among[1].p == pytest.approx(alone.p, abs=0.01)


def test_alike_clips_of_a_group_are_not_evidence():
    # All that divides the rows happens in one of eight groups; over clips alone it would be significant.
    groups = [f"g{i // 10}" for i in range(80)]
    found = against_best([answers(flags(80, []), groups), answers(flags(80, range(10)), groups)], 0)[1]
    assert (found.units, found.p, found.verdict) == (8, 1.0, "no difference shown")
    assert against_best([answers(flags(80, [])), answers(flags(80, range(10)))], 0)[1].verdict == "worse"


def test_six_groups_can_show_a_difference_and_five_cannot():
    for count, p, verdict in ((6, 2 / 2**6, "worse"), (5, 1.0, "no difference shown")):
        groups = [f"g{i % count}" for i in range(60)]
        found = against_best([answers(flags(60, []), groups), answers(flags(60, range(30)), groups)], 0)[1]
        assert (found.p, found.verdict) == (p, verdict)
        assert found.interval95 is None
    assert found.reason == "only 5 independent groups; it takes 6"


def test_errors_of_numbers_are_tested_like_classes():
    generator = np.random.default_rng(0)
    small = generator.uniform(0.5, 1.5, 60)
    noise = generator.normal(0, 0.2, 60)
    groups = [f"g{i % 12}" for i in range(60)]
    assert against_best([errors(small), errors(small + noise)], 0)[1].verdict == "no difference shown"
    alone = against_best([errors(small), errors(small + 0.3)], 0)[1]
    assert (alone.verdict, alone.only_best) == ("worse", 60)
    assert alone.difference == pytest.approx(-0.3)
    grouped = against_best([errors(small, groups), errors(small + 0.3, groups)], 0)[1]
    # Twelve groups, all of one sign: p = 2 / 2^12.
    assert (grouped.units, grouped.verdict) == (12, "worse")
    assert grouped.p == pytest.approx(2 / 2**12)


def test_rows_are_paired_by_clip_and_not_by_place():
    names = [str(i) for i in range(30)]
    one = answers(flags(30, [0]), clips=names)
    turned = answers([*flags(30, [0])[::-1]], clips=names[::-1])
    assert against_best([one, turned], 0)[1].only_best == 0
    fewer = answers(flags(10, []), clips=names[:10])
    assert against_best([one, fewer], 0)[1].clips == 10
    strange = against_best([one, answers([True], clips=["x"])], 0)[1]
    assert (strange.verdict, strange.reason) == ("not tested", "no clip in common with the best row")


@pytest.mark.parametrize(("groups", "spread"), [(6, 1.0), (20, 0.5), (0, 0.0)])
def test_equal_rows_are_rarely_called_worse(groups, spread):
    # 10 rows of one expectation; benchmarks/significance.py has every cell with more repetitions. McNemar with Holm's
    # correction against the row that looks best called one of them worse in 60 to 90 % with groups.
    generator, alarms, clips = np.random.default_rng(groups), 0, 120
    units = np.arange(clips) % groups if groups else np.arange(clips)
    for _ in range(150):
        own = spread * generator.standard_normal((10, units.max() + 1))
        chance = 1 / (1 + np.exp(-1 - generator.standard_normal(clips) - own[:, units]))
        quality = (generator.random((10, clips)) < chance).astype(float)
        alarms += bool((confidence_set(quality, units) <= 0.05).any())
    # At a rate of 5 % more than 15 of 150 has the probability 0.003.
    assert alarms <= 15


def test_answers_are_read_from_a_run(tmp_path):
    file = tmp_path / "predictions.csv"
    with file.open("w", newline="") as target:
        csv.writer(target).writerows(
            [
                ["row", "video", "fold", "label", "p(a)", "p(b (c))"],
                [0, "x.mkv", 1, "a", 0.7, 0.3],
                [2, "x.mkv", 2, "b (c)", 0.6, 0.4],
                [3, "y.mkv", 2, "b (c)", 0.1, 0.9],
                [4, "held.mkv", 0, "a", 0.1, 0.9],
            ]
        )
    found = read_answers(file, {"0": "g", "2": "g"})
    assert found.clips == ("0", "2", "3")
    assert found.classes
    assert found.quality.tolist() == [1.0, 0.0, 1.0]
    assert found.confidence.tolist() == [0.7, 0.6, 0.9]
    assert found.groups == ("g", "g", None)


def test_numbers_are_read_as_squared_errors(tmp_path):
    (tmp_path / "p.csv").write_text(
        "row,video,fold,label,target0,target1,prediction0,prediction1\n0,x,1,,1,2,1,4\n1,y,2,,0,0,3,0\n"
    )
    found = read_answers(tmp_path / "p.csv")
    assert found.quality.tolist() == [-2.0, -4.5]
    assert not found.classes
    assert read_answers(tmp_path / "p.csv", std=[1.0, 2.0]).quality.tolist() == [-0.5, -4.5]


@pytest.mark.parametrize(
    "text", ["row,label\n1,a\n", "", "row,fold,label,p(a)\n1,1,zebra,1.0\n", "row,fold,label,p(a)\n1,1,a,?\n"]
)
def test_other_files_are_no_answers(tmp_path, text):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RunError, match=r"p\.csv (holds no answers|has a row that is no answer)"):
        read_answers(tmp_path / "p.csv", {})
