from __future__ import annotations

from pathlib import Path

from vidcore.data.inspect import Duplicate
from vidcore.data.manifest import Row
from vidcore.training.duplicates import kept_together

A, B, C, D = (Path(name) for name in "abcd")


def _groups(rows, *same, folds=True):
    found = kept_together(rows, [Duplicate(paths, (), ()) for paths in same], folds=folds)
    assert [(row.video, row.split) for row in found] == [(row.video, row.split) for row in rows]
    return [row.group for row in found]


def test_files_of_one_content_are_one_group():
    assert _groups([Row(A), Row(B), Row(C)], (A, B)) == ["same content as a", "same content as a", None]
    assert _groups([Row(A, group="one"), Row(B)], (A, B)) == ["one", "one"]


def test_groups_that_share_a_content_become_one_with_all_their_rows():
    rows = [Row(A, group="one"), Row(B, group="two"), Row(C, group="two"), Row(D, group="three")]
    assert _groups(rows, (A, B)) == ["one", "one", "one", "three"]
    assert _groups(rows, (A, B), (C, D)) == ["one"] * 4


def test_rows_that_name_their_split_stay_unless_folds_divide_them():
    rows = [Row(A, split="train"), Row(B, split="train"), Row(C, split="test")]
    assert _groups(rows, (A, B, C), folds=False) == [None] * 3
    assert _groups(rows, (A, B, C)) == ["same content as a", "same content as a", None]
