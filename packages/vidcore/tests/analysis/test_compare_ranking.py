"""Made-up rows in order, and told."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
from vidcore.analysis.comparison import Comparison
from vidcore.analysis.comparison.answers import Answers
from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.comparison import ranked
from vidcore.analysis.comparison.costs import Cost
from vidcore.analysis.comparison.folder import Base
from vidcore.analysis.comparison.page import comparison_page
from vidcore.analysis.comparison.row import Baseline, Failed, Row, Score
from vidcore.analysis.comparison.table import csv_table
from vidcore.config import Choice, ExtractorChoice, run_config

CLIPS = 40


def row(name, quality, latency, metric="accuracy", score=None, chance=None):
    quality = np.asarray(quality, dtype=float)
    classes = metric == "accuracy"
    chance = np.full(CLIPS, 0.25 if classes else -9.0) if chance is None else np.asarray(chance, dtype=float)
    clips = tuple(map(str, range(CLIPS)))
    line = Baseline(
        "most frequent class" if classes else "training mean",
        metric,
        abs(float(chance.mean())),
        None,
        Answers(clips, chance, (None,) * CLIPS),
    )
    return Row(
        cell=Cell((ExtractorChoice(name=name),), None, Choice(name="mean"), Choice(name="classification")),
        label=name,
        folder=f"cells/{name}",
        metric=metric,
        lower_is_better=not classes,
        score=Score(score if score is not None else abs(float(quality.mean())), (0.1, 0.2), (0.1, 0.2)),
        macro_f1=None,
        precision=None,
        recall=None,
        trained=10,
        parameters=1_000,
        cost=None if latency is None else Cost(1_000, 1e9, latency, 1 / latency, 1e6, 8, "cpu"),
        extraction_seconds=None,
        extracted_clips=None,
        training_seconds=75.0,
        width=8,
        weights="random",
        baselines=(line,),
        answers=Answers(
            tuple(map(str, range(CLIPS))), quality, (None,) * CLIPS, np.full(CLIPS, 0.9) if classes else None
        ),
    )


def right(count):
    return [1] * count + [0] * (CLIPS - count)


def compared(tmp_path, *rows, **more):
    return Comparison(tmp_path, Base(run_config({"train": {"folds": 2}}), "abc"), ranked(rows), **more)


def test_the_best_is_first_and_of_equals_the_cheap_one(tmp_path):
    found = compared(tmp_path, row("poor", right(9), 0.1), row("slow", right(36), 2.0), row("quick", right(36), 0.5))
    assert [(r.label, r.difference.verdict) for r in found.rows] == [
        ("quick", "best"),
        ("slow", "no difference shown"),
        ("poor", "worse"),
    ]
    assert found.answer() == [
        "quick and slow are tied at accuracy 0.900 (95 % interval 0.100-0.200).",
        "Better than chance: most frequent class 0.250.",
        "Shown to be worse: poor.",
        "The cheapest of these is quick: 500 ms a clip.",
    ]


def test_a_row_that_is_not_shown_to_beat_chance_is_not_called_best(tmp_path):
    found = compared(tmp_path, row("a", right(11), 0.1), row("b", right(10), 0.1))
    assert found.answer()[:2] == [
        "Highest: a, accuracy 0.275 (95 % interval 0.100-0.200).",
        "It is not shown to beat chance (most frequent class, 0.250).",
    ]
    assert not any("Best" in line for line in found.answer())
    table = found.table()
    assert "chance not ruled out" in table
    assert any("chance: most" in line and "0.250" in line for line in table.splitlines()[-2:])
    tied = compared(tmp_path, row("a", right(10), 0.1), row("b", right(10), 0.1))
    assert tied.answer()[:2] == [
        "a and b are tied at accuracy 0.250 (95 % interval 0.100-0.200).",
        "None of them is shown to beat chance (most frequent class, 0.250).",
    ]


def test_what_is_not_tested_is_not_called_best(tmp_path):
    rows = [replace(row(name, right(count), 0.1), answers=None, baselines=()) for name, count in (("a", 30), ("b", 20))]
    assert compared(tmp_path, *rows).answer()[:2] == [
        "Highest: a, accuracy 0.750 (95 % interval 0.100-0.200).",
        "The rows were not tested against each other.",
    ]


def test_of_errors_the_smallest_is_best(tmp_path):
    small = np.linspace(0.5, 1.5, CLIPS)
    found = compared(tmp_path, row("far", -small - 1, 0.1, "mse"), row("near", -small, 0.2, "mse"))
    assert [(r.label, r.difference.verdict) for r in found.rows] == [("near", "best"), ("far", "worse")]
    assert found.answer()[0].startswith("Best: near, mse 1.000")


def test_rows_with_other_scores_are_other_contests(tmp_path):
    small = np.linspace(0.5, 1.5, CLIPS)
    found = compared(
        tmp_path,
        row("near", -small, 0.2, "mse"),
        row("a", right(30), 0.2),
        row("far", -small - 1, 0.1, "mse"),
        row("b", right(31), 0.2),
    )
    assert [[(number, r.label) for number, r in contest] for contest in found.contests()] == [
        [(1, "b"), (2, "a")],
        [(3, "near"), (4, "far")],
    ]
    assert found.table().count("against the best") == 2
    assert [line for line in found.answer() if line.startswith("Best: ")] == [
        "Best: b, accuracy 0.775 (95 % interval 0.100-0.200).",
        "Best: near, mse 1.000 (95 % interval 0.100-0.200).",
    ]
    assert found.answer().count("Better than chance: most frequent class 0.250.") == 1
    assert found.answer().count("Better than the baselines: training mean 9.000.") == 1
    page = comparison_page(found)
    assert "Scores: accuracy" in page and "Scores: mse" in page
    assert "difference to #3" in page and "smaller error" in page and page.count("model confidence set") >= 2
    lines = list(csv.DictReader(io.StringIO(csv_table(found.rows))))
    assert [(line["row"], line["metric"]) for line in lines] == [
        ("b", "accuracy"), ("a", "accuracy"), ("near", "mse"), ("far", "mse"),
        ("chance: most frequent class", "accuracy"), ("baseline: training mean", "mse"),
    ]  # fmt: skip


def test_scores_that_are_no_mean_over_clips_are_not_tested(tmp_path):
    rows = [replace(row(name, right(30), 0.1), answers=None) for name in ("a", "b")]
    assert [r.difference.verdict for r in compared(tmp_path, *rows).rows] == ["not tested", "not tested"]


def test_costs_that_are_not_known_leave_holes(tmp_path):
    found = compared(tmp_path, row("a", right(30), None), row("b", right(30), None))
    assert found.answer()[0].startswith("a and b are tied at accuracy 0.750")
    assert "Score against cost" not in comparison_page(found)
    assert "| a |" in found.markdown()


def test_nothing_is_done_yet(tmp_path):
    cell = row("a", right(1), 0.1).cell
    found = compared(tmp_path, failed=(Failed(cell, "a", "it broke\nTraceback"),), notes=("skipped x.avi: text",))
    assert found.answer() == ["No row is done."]
    assert found.footnotes() == ["not done: a: it broke", "skipped x.avi: text"]
    assert found.table() == ""
    found.write()
    page = (tmp_path / "comparison.html").read_text()
    assert "it broke\nTraceback" in page and "skipped x.avi: text" in page
    assert "No row is done." in (tmp_path / "comparison.md").read_text()


def test_names_cannot_inject_markup(tmp_path):
    name = "<script>x</script>|y"
    found = compared(tmp_path, replace(row("a", right(30), 0.1), label=name), row("b", right(3), 0.1))
    assert "<script>" not in comparison_page(found)
    lines = [line for line in found.markdown().splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
