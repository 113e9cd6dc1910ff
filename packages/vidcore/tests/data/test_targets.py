"""Targets from the columns of a manifest: every kind, and every way in which a column is not what a head needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from vidcore.data.manifest import Row, read_source
from vidcore.data.targets import Targets, multilabel_targets, position_targets, targets_for, value_targets
from vidcore.errors import DataError


def rows(*labels, **columns):
    return [
        Row(Path(f"{i}.mp4"), label, extra={name: values[i] for name, values in columns.items()})
        for i, label in enumerate(labels)
    ]


def options(**named):
    return SimpleNamespace(**named)


def test_classes_of_any_column():
    data = rows("run", "sit", "run", subject=["b", "a", "b"])
    targets = targets_for("class", data, options(column="label"))
    assert (targets.kind, targets.classes, targets.values.tolist()) == ("class", ("run", "sit"), [0, 1, 0])
    assert targets.facts([0, 2]) == {"kind": "class", "classes": ("run", "sit"), "counts": (2, 0), "rows": 2}
    subjects = targets_for("class", data, options(column="subject"))
    assert (subjects.classes, subjects.values.tolist()) == (("a", "b"), [1, 0, 1])
    assert targets_for("class", data, classes=["sit", "run"]).values.tolist() == [1, 0, 1]
    with pytest.raises(DataError, match=r"1 labels that the model does not know: 'sit' \(1 rows\)"):
        targets_for("class", data, classes=["run"])


def test_several_labels():
    data = rows("a|b", "b", "c | a")
    expected = [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    for targets in (
        targets_for("multilabel", data, options(column="label")),
        targets_for("class", data, options(multilabel=True)),
    ):
        assert (targets.kind, targets.classes, targets.values.tolist()) == ("multilabel", ("a", "b", "c"), expected)
    assert multilabel_targets(data).facts([0, 1])["counts"] == (1, 2, 0)


def test_values_and_what_a_head_is_told_of_them():
    data = rows("1", "3", "8", speed=["0.5", 1.5, "-2"])
    targets = targets_for("value", data, options(columns=("label", "speed")))
    assert (targets.kind, targets.classes, targets.names) == ("value", (), ("label", "speed"))
    assert targets.values.tolist() == [[1.0, 0.5], [3.0, 1.5], [8.0, -2.0]]
    facts = targets.facts([0, 1])
    assert (facts["shape"], facts["rows"], facts["counts"]) == ((2,), 2, ())
    assert facts["mean"] == (2.0, 1.0) and facts["std"] == (1.0, 0.5), "of the training rows alone"


def test_positions_are_counted_from_the_last_one_seen():
    data = rows(
        "x", "y",
        ahead=["[[1, 2], [3, 4], [5, 6]]", [[0, 0], [0, 1], [0, 2]]],
        seen=["[1, 1]", [0.5, 0]],
    )  # fmt: skip
    absolute = position_targets(data, "ahead")
    assert absolute.values.shape == (2, 3, 2) and absolute.names == ("1", "2", "3")
    relative = targets_for("position", data, options(column="ahead", origin="seen"))
    assert relative.values[0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert relative.values[1].tolist() == [[-0.5, 0], [-0.5, 1], [-0.5, 2]]
    facts = relative.facts([0, 1])
    assert facts["shape"] == (3, 2) and len(facts["mean"]) == len(facts["std"]) == 6


@pytest.mark.parametrize(
    ("kind", "chosen", "said"),
    [
        ("class", {"column": "lable"}, "no column 'lable'; it has: label, ahead, gaps, text; did you mean 'label'?"),
        ("class", {"column": "gaps"}, r"column 'gaps' is empty in 1 of 2 rows, 1.mp4 among them"),
        ("value", {"columns": ("text",)}, "column 'text' of 0.mp4 is 'fast'; a number is needed"),
        ("value", {"columns": ("label",)}, "column 'label' of 0.mp4 is 'nan'; a number is needed"),
        ("position", {"column": "text"}, r"is 'fast'; positions such as \[\[0.1, 0.5\], \[0.2, 0.5\]\] are needed"),
        ("position", {"column": "ahead"}, "most rows have 1 positions of 2 coordinates, 1 have 2 of 2"),
        ("position", {"column": "gaps", "origin": "last"}, "column 'gaps' is empty"),
        ("count", {}, "holds no 'count' targets; it can hold class, multilabel, value and position targets"),
    ],
)
def test_columns_that_are_not_what_is_needed(kind, chosen, said):
    data = rows("nan", "2", ahead=["[[1, 2]]", "[[1, 2], [3, 4]]"], text=["fast", "2"], gaps=["1", ""])
    with pytest.raises(DataError, match=said):
        targets_for(kind, data, options(**chosen))


@pytest.mark.parametrize(
    "cell", ["[1, 2]", "[]", "[[]]", "[[1, null]]", "[[1], [1, 2]]", "[[1, true]]", "[[NaN, 1]]", 7]
)
def test_positions_of_another_form_are_refused(cell):
    with pytest.raises(DataError, match=r"positions such as"):
        position_targets(rows("a", ahead=[cell]), "ahead")


def test_an_origin_that_does_not_fit_is_refused():
    data = rows("a", ahead=["[[1, 2]]"], seen=["[1]"])
    with pytest.raises(
        DataError, match=r"column 'seen' of 0.mp4 is '\[1\]'; 2 numbers such as \[0.1, 0.4\] are needed"
    ):
        position_targets(data, "ahead", origin="seen")
    with pytest.raises(
        DataError, match=r"no column 'last_position'.*\n  for positions as they are, head.options.origin=null"
    ):
        position_targets(data, "ahead", origin="last_position")


def test_a_row_without_a_label_is_no_class_named_none():
    with pytest.raises(DataError, match="column 'label' is empty in 1 of 2 rows"):
        targets_for("class", rows("a", None))


def test_positions_survive_a_csv_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "manifest.csv").write_text('video,label,ahead\na.mp4,7,"[[0.5, 1], [2, 3]]"\n')
    found = read_source(tmp_path).rows
    assert position_targets(found, "ahead").values.tolist() == [[[0.5, 1.0], [2.0, 3.0]]]
    assert value_targets(found).values.tolist() == [[7.0]]


def test_targets_know_their_number():
    assert len(Targets(("a",), torch.zeros(5, dtype=torch.int64))) == 5
