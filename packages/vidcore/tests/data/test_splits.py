"""Parts share no source, miss no class, and say why where that cannot be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from vidcore.data.manifest import Row
from vidcore.data.splits import Splits, fold_splits, folds, leave_one_group_out, split_rows, unequal_folds
from vidcore.errors import DataError


def _rows(counts: dict[str, int], groups: int | None = None) -> list[Row]:
    return [
        Row(Path(f"{label}{i}.mp4"), label, group=None if groups is None else f"g{i % groups}")
        for label, count in counts.items()
        for i in range(count)
    ]


def test_every_class_is_dealt_by_the_fractions() -> None:
    rows = _rows({"a": 20, "b": 100, "c": 3})
    splits = split_rows(rows, (0.7, 0.2, 0.1))
    per_part = {name: Counter(rows[i].label for i in part) for name, part in splits.named().items()}
    assert per_part == {
        "train": {"a": 14, "b": 70, "c": 1},
        "val": {"a": 4, "b": 20, "c": 1},
        "test": {"a": 2, "b": 10, "c": 1},
    }
    assert sorted(splits.train + splits.val + splits.test) == list(range(123))


def test_the_seed_decides_and_nothing_else() -> None:
    rows = _rows({"a": 30, "b": 30})
    assert split_rows(rows, seed=1) == split_rows(rows, seed=1) != split_rows(rows, seed=2)


def test_a_fraction_of_zero_leaves_a_part_empty() -> None:
    splits = split_rows(_rows({"a": 10, "b": 10}), (0.8, 0.2, 0.0))
    assert (len(splits.train), len(splits.val), splits.test) == (16, 4, [])
    assert list(splits.named()) == ["train", "val"]


@given(st.integers(12, 60), st.integers(0, 10_000))
def test_groups_and_videos_never_straddle(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        group = None if draw.random() < 0.3 else str(draw.integers(9))
        video = f"{group}_{i % 7 if draw.random() < 0.5 else f'{i}x'}.mp4"
        rows.append(Row(Path(video), "ab"[draw.integers(2)], group=group))
    try:
        splits = split_rows(rows, (0.6, 0.2, 0.2), seed=seed)
    except DataError:
        assume(False)  # what cannot be split is for the tests below
    parts = list(splits.named().values())
    assert sorted(i for part in parts for i in part) == list(range(len(rows)))
    for key in ("group", "video"):
        homes = [{getattr(rows[i], key) for i in part} - {None} for part in parts]
        assert sum(map(len, homes)) == len(set().union(*homes))
    assert all({rows[i].label for i in part} == {row.label for row in rows} for part in parts)


def test_rows_without_labels_are_dealt_by_size() -> None:
    splits = split_rows([Row(Path(f"{i}.mp4")) for i in range(10)], (0.6, 0.2, 0.2))
    assert [len(part) for part in splits.named().values()] == [6, 2, 2]


def _named(splits: str, labels: str = "ab" * 20) -> list[Row]:
    names = {"r": "train", "v": "val", "e": "test", "-": None}
    return [Row(Path(f"{i}.mp4"), labels[i], split=names[letter]) for i, letter in enumerate(splits)]


def test_splits_that_rows_name_are_kept() -> None:
    splits = split_rows(_named("rrvvee"))
    assert (splits.train, splits.val, splits.test) == ([0, 1], [2, 3], [4, 5])
    drawn = split_rows(_named("rrrrrrrree"), (0.5, 0.5, 0.0))
    assert drawn.test == [8, 9]
    assert (len(drawn.train), len(drawn.val)) == (4, 4)
    assert split_rows(_named("rrvv")).test == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no rows to split"),
        (_rows({"a": 5, "b": 1}), r"class 'b' has one video \(b0\.mp4\); 3 parts need at least 3"),
        (_rows({"a": 5, "b": 2}), r"class 'b' comes from 2 sources \(b0\.mp4, b1\.mp4\); 3 parts that share none"),
        (_rows({"a": 9, "b": 9}, groups=2), r"class 'a' comes from 2 sources \(g0, g1\); 3 parts"),
        (_named("rrvve-"), "5 of 6 rows name a split and the others do not"),
        (_named("vvee"), "no row is in the split 'train'"),
        (_named("rrvvee", "abaaab"), r"class 'b' \(2 rows\) is missing from val"),
        (
            [Row(Path("a.mp4"), "a", "train", "g"), Row(Path("b.mp4"), "a", "test", "g")],
            "group 'g' is in two splits, train and test",
        ),
        (
            [Row(Path("a.mp4"), "a", "train"), Row(Path("a.mp4"), "b", "val", end_seconds=1.0)],
            r"a\.mp4 is in two splits, train and val",
        ),
        (
            [Row(Path("a.mp4"), "a", group="g"), Row(Path("a.mp4"), "b", group="h")],
            r"a\.mp4 is in two groups, 'g' and 'h'",
        ),
    ],
)
def test_what_cannot_be_split(rows: list[Row], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_rows(rows)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.0, 0.5, 0.5), (0.5, 0.5)])
def test_fractions_that_are_none(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="give the shares of train, val and test"):
        split_rows(_rows({"a": 9}), fractions)


def test_folds_test_every_row_once_and_keep_groups_together() -> None:
    rows = _rows({"a": 30, "b": 30}, groups=6)
    found = folds(rows, 3, seed=1)
    assert sorted(i for _, test in found for i in test) == list(range(60))
    for train, test in found:
        assert not {rows[i].group for i in train} & {rows[i].group for i in test}
        assert {rows[i].label for i in train} == {rows[i].label for i in test} == {"a", "b"}
    assert found == folds(rows, 3, seed=1)
    plain = folds(_rows({"a": 10, "b": 10}), 5)
    assert [len(test) for _, test in plain] == [4] * 5
    assert len(folds([Row(Path(f"{i}.mp4")) for i in range(6)], 3)) == 3


@pytest.mark.parametrize(
    ("rows", "k", "message"),
    [
        (_rows({"a": 4}), 1, "cross-validation needs at least 2 folds; got 1"),
        (_rows({"a": 4}), 5, r"5 folds need at least 5 groups \(or ungrouped videos\); there are 4"),
        (_rows({"a": 9, "b": 2}), 3, r"class 'b' comes from 2 sources .*; 3 folds"),
    ],
)
def test_folds_that_cannot_be(rows: list[Row], k: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        folds(rows, k)


def test_folds_are_those_of_scikit_learn() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    draw = np.random.default_rng(3)
    for seed in range(12):
        groups, labels = draw.integers(0, 17, 90), draw.integers(0, 3, 90)
        rows = [Row(Path(f"{i}.mp4"), str(labels[i]), group=str(groups[i])) for i in range(90)]
        codes: dict[int, int] = {}
        numbers = [codes.setdefault(int(group), len(codes)) for group in groups]
        peer = StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(rows, labels, numbers)
        assert folds(rows, 4, seed=seed) == [(train.tolist(), test.tolist()) for train, test in peer]


def test_a_thousand_classes_are_split_in_seconds() -> None:
    rows = [Row(Path(f"{i}.mp4"), f"c{i % 1000}") for i in range(6000)]
    # A dense table of classes for every group took minutes, longer than a test may take.
    found = fold_splits(rows, 3, 0.2)
    assert [len(part.test) for part in found] == [2000] * 3


def test_each_group_is_a_fold_and_may_lack_a_class() -> None:
    rows = [Row(Path(f"{g}{c}{i}.mp4"), c, group=g) for g in "stuv" for c in "abc" for i in range(2)]
    # Class c is in three of the four groups only, class d in two.
    rows = [row for row in rows if not (row.group == "s" and row.label == "c")]
    rows += [Row(Path(f"d{g}.mp4"), "d", group=g) for g in "tu"]
    found = fold_splits(rows, "group", 0.3)
    assert [{rows[i].group for i in part.test} for part in found] == [{"s"}, {"t"}, {"u"}, {"v"}]
    assert {rows[i].label for i in found[0].test} == {"a", "b"}
    assert [bool(part.val) for part in found] == [True] * 4
    for part in found:
        assert {rows[i].label for i in part.train} == {"a", "b", "c", "d"}
        assert not {rows[i].group for i in part.val} & {rows[i].group for i in part.train}
        assert sorted(part.train + part.val + part.test) == list(range(len(rows)))
    two = [row for row in rows if row.group in ("t", "u")]
    with pytest.raises(DataError, match="fold 1 of 2: each of its groups has a class that no other group has"):
        fold_splits(two, "group", 0.3)
    assert [part.val for part in fold_splits(two, "group", 0)] == [[], []]


def test_a_group_that_fills_a_fold_is_said() -> None:
    rows = [Row(Path(f"{i}.mp4"), "ab"[i % 2], group="big" if i < 40 else f"g{i // 2}") for i in range(60)]
    parts = [range(40), range(40, 50), range(50, 60)]
    said = unequal_folds(rows, [Splits([i for i in range(60) if i not in part], [], list(part)) for part in parts])
    assert said.startswith("the folds are unequal: 10 to 40 test rows, the largest 67% of all, all of group 'big'")
    even = _rows({"a": 30, "b": 30}, groups=6)
    assert unequal_folds(even, fold_splits(even, 3, 0)) == ""


def test_leaving_one_group_out() -> None:
    rows = _rows({"a": 4, "b": 4}, groups=2)
    assert leave_one_group_out(rows) == [("g0", [1, 3, 5, 7], [0, 2, 4, 6]), ("g1", [0, 2, 4, 6], [1, 3, 5, 7])]
    with pytest.raises(DataError, match="8 rows have none and there are 0 groups: fill the column 'group'"):
        leave_one_group_out(_rows({"a": 4, "b": 4}))
    with pytest.raises(DataError, match="only group 'g' has the class 'c'"):
        leave_one_group_out([*rows, Row(Path("c.mp4"), "c", group="g")])
