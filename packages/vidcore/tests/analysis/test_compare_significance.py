"""Paired tests on made-up answers."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from vidcore.analysis.comparison.answers import Answers, paired, read_answers
from vidcore.analysis.comparison.significance import against_best, bootstrap_difference, holm, mcnemar
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
    assert (same.p, same.p_holm, same.difference, same.interval95) == (1.0, 1.0, 0.0, (0.0, 0.0))
    assert (same.clips, same.units, same.only_best, same.only_row) == (40, 40, 0, 0)


def test_clearly_worse_rows_are_called_worse():
    _, worse = against_best([answers(flags(60, [])), answers(flags(60, range(30)))], 0)
    assert worse.verdict == "worse"
    assert worse.p < 1e-8
    assert worse.difference == pytest.approx(-0.5)
    low, high = worse.interval95
    assert -0.65 < low < -0.5 < high < -0.35
    assert worse.only_best == 30


def test_a_few_clips_are_within_the_noise():
    # Five clips only the best got right, one only the other: p = 2 * (C(6,0) + C(6,1)) / 2^6 = 0.21875.
    _, other = against_best([answers(flags(50, [9])), answers(flags(50, range(5)))], 0)
    assert other.p == pytest.approx(0.21875)
    assert other.verdict == "no difference shown"


def test_mcnemar_reads_only_the_clips_that_divide_the_rows():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(6, 0) == pytest.approx(2 / 2**6)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(2, 11) == mcnemar(11, 2)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.4: times 4, 3, 2, 1 and never falling.
    assert holm([0.03, 0.01, 0.4, 0.02]) == pytest.approx([0.06, 0.04, 0.4, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_more_comparisons_make_a_difference_harder_to_show():
    best, row = answers(flags(50, [])), answers(flags(50, range(6)))
    alone = against_best([best, row], 0)[1]
    among = against_best([best, *[row] * 4], 0)[1]
    assert alone.p == among.p == pytest.approx(2 / 2**6)
    assert alone.verdict == "worse"
    assert among.p_holm == pytest.approx(4 * alone.p)
    assert among.verdict == "no difference shown"


def test_alike_clips_of_a_group_are_not_evidence():
    # All that divides the rows happens in one of eight groups; over clips alone it would be significant.
    groups = [f"g{i // 10}" for i in range(80)]
    rows = [answers(flags(80, []), groups), answers(flags(80, range(10)), groups)]
    found = against_best(rows, 0)[1]
    assert found.p_holm < 0.01
    assert found.units == 8
    assert found.interval95[1] == 0.0
    assert found.verdict == "no difference shown"
    assert "over groups the interval holds zero" in found.reason
    assert against_best([answers(flags(80, [])), answers(flags(80, range(10)))], 0)[1].verdict == "worse"


def test_too_few_groups_show_nothing():
    groups = [f"g{i % 5}" for i in range(60)]
    found = against_best([answers(flags(60, []), groups), answers(flags(60, range(30)), groups)], 0)[1]
    assert found.interval95 is None
    assert found.verdict == "no difference shown"
    assert found.reason == "only 5 independent groups"


def test_errors_of_numbers_are_ranked_over_groups():
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
    assert against_best([errors(small), errors(small)], 0)[1].p == 1.0


def test_rows_are_paired_by_clip_and_not_by_place():
    names = [str(i) for i in range(30)]
    one = answers(flags(30, [0]), clips=names)
    turned = answers([*flags(30, [0])[::-1]], clips=names[::-1])
    assert [one.clips[i] for i in paired(one, turned)[0]] == [turned.clips[i] for i in paired(one, turned)[1]]
    assert against_best([one, turned], 0)[1].only_best == 0
    fewer = answers(flags(10, []), clips=names[:10])
    assert against_best([one, fewer], 0)[1].clips == 10
    assert against_best([one, answers([True], clips=["x"])], 0)[1].verdict == "not tested"


def test_the_interval_draws_whole_units():
    differences = np.array([-1.0] * 10 + [0.0] * 90)
    wide = bootstrap_difference(differences, np.repeat(np.arange(10), 10))
    narrow = bootstrap_difference(differences, np.arange(100))
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])
    assert narrow == bootstrap_difference(differences, np.arange(100))


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


@pytest.mark.parametrize(
    "text", ["row,label\n1,a\n", "", "row,fold,label,p(a)\n1,1,zebra,1.0\n", "row,fold,label,p(a)\n1,1,a,?\n"]
)
def test_other_files_are_no_answers(tmp_path, text):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RunError, match=r"p\.csv (holds no answers|has a row that is no answer)"):
        read_answers(tmp_path / "p.csv", {})
