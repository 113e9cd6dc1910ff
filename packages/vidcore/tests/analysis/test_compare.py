"""Comparisons of tiny networks, as the library makes them."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys

import pytest
import torch
from safetensors.torch import save_file
from vidcore import create
from vidcore.analysis import Comparison, compare, write_report
from vidcore.analysis.comparison.cells import Cell
from vidcore.analysis.comparison.folder import ComparisonFolder
from vidcore.analysis.comparison.runner import crashed
from vidcore.catalog import Registry, discover
from vidcore.data.manifest import read_source, write_manifest
from vidcore.errors import ConfigError, RunError, UnknownNameError
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap
from vidcore.plugin import ExtractorSpec, FeatureInfo, hookimpl
from vidcore.training import RunFolder, RunInterruptedError

PATCHES = "basic/patch_transformer"
SHARED = ["data.frames=4", "data.workers=0", "data.size=16", "train.device=cpu", "train.lr=0.01", "train.epochs=2"]
TINY = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8}
OPTIONS = [f"{PATCHES}.options.{key}={value}" for key, value in TINY.items()]
CNN = "basic/naive_cnn.options.width=8"
broken = True


class Mean(Extractor):
    """Mean colour of each frame; fails while ``broken``."""

    def forward(self, clip):
        if broken:
            raise RuntimeError("the extractor is broken")
        return {"rgb": FeatureMap(clip.mean((3, 4), keepdim=True), step_times(clip.shape[2], 1, clip))}


@hookimpl
def vidcore_extractors():
    paths = {"target": f"{__name__}:Mean", "config": "vidcore.config:ExtractorConfig"}
    return [
        ExtractorSpec(name="mean/rgb", summary="mean colour", outputs={"rgb": FeatureInfo(3)}, parameters=0, **paths)
    ]


@pytest.fixture(scope="module")
def registry():
    """What is installed, and an extractor that fails."""
    sys.modules.setdefault(__name__, sys.modules[Mean.__module__])
    found = Registry(discover())
    found.register(sys.modules[__name__])
    return found


@pytest.fixture(scope="module")
def finished(brightness, tmp_path_factory) -> Comparison:
    """A trained extractor, a frozen one with weights, and both of them fused; tests only read it."""
    folder = tmp_path_factory.mktemp("comparison")
    torch.manual_seed(0)
    save_file(create("basic/naive_cnn", width=8).state_dict(), folder / "cnn.safetensors")
    found = compare(
        [PATCHES, "basic/naive_cnn", f"{PATCHES}+basic/naive_cnn"],
        data=str(brightness),
        folds=2,
        out=folder / "c",
        overrides=[*SHARED, *OPTIONS, CNN, f"basic/naive_cnn.options.weights={folder}/cnn.safetensors"],
    )
    assert (len(found.rows), found.failed, found.notes) == (3, (), ())
    return found


@pytest.fixture
def copied(finished, tmp_path) -> ComparisonFolder:
    """A comparison that a test may change."""
    shutil.copytree(finished.root, tmp_path / "c")
    return ComparisonFolder(tmp_path / "c")


def cell_named(folder, name):
    return next(cell for cell in folder.read_cells() if cell.title.startswith(name))


def test_a_row_says_what_its_run_says(finished):
    assert [row.score.value for row in finished.rows] == sorted(
        (row.score.value for row in finished.rows), reverse=True
    )
    for row in finished.rows:
        results = RunFolder(finished.root / row.folder).read_results()
        assert row.score.value == results["test"]["scores"]["accuracy"]["value"]
        assert row.score.fold_mean == pytest.approx(results["folds"]["scores"]["accuracy"]["mean"])
        assert row.score.fold_std == pytest.approx(results["folds"]["scores"]["accuracy"]["sd"])
        # Three classes of twelve clips each.
        assert [(line.name, line.score) for line in row.baselines] == [("most frequent class", pytest.approx(1 / 3))]
        assert row.score.interval95 == tuple(results["test"]["scores"]["accuracy"]["interval95"])
        assert row.macro_f1 == pytest.approx(results["test"]["scores"]["macro_f1"]["value"])
        assert (row.trained, row.parameters) == tuple(results["parameters"].values())
        assert len(row.answers.clips) == 36
        assert sum(map(sum, row.confusion)) == 36
    weights = {row.label: row.weights for row in finished.rows}
    hashed = hashlib.sha256((finished.root.parent / "cnn.safetensors").read_bytes()).hexdigest()[:12]
    assert weights[PATCHES] == "random"
    assert weights["basic/naive_cnn"] == f"cnn {hashed}"
    assert weights[f"{PATCHES} + basic/naive_cnn, concat"] == f"random + cnn {hashed}"


def test_all_rows_have_the_same_folds_and_budget(finished):
    runs = [RunFolder(finished.root / row.folder) for row in finished.rows]
    assert len({run.folds.read_text() for run in runs}) == 1
    configs = [run.read_config() for run in runs]
    assert len({(c.data.model_dump_json(), c.train.model_dump_json()) for c in configs}) == 1
    assert all(c.data.jitter is False and c.data.frames == 4 and c.train.folds == 2 for c in configs)


def test_fused_costs_are_the_sum_of_their_extractors(finished):
    fused = next(row for row in finished.rows if row.cell.fusion)
    alone = [row.cost for row in finished.rows if not row.cell.fusion]
    assert all(cost.flops > 0 and cost.latency > 0 and cost.throughput > 0 for cost in alone)
    assert fused.cost.flops == sum(cost.flops for cost in alone)
    assert fused.cost.latency == pytest.approx(sum(cost.latency for cost in alone))
    assert fused.width == 16 + 8


def test_the_table_fits_a_hundred_columns(finished):
    lines = finished.table().splitlines()
    assert max(map(len, lines)) <= 100
    text = " ".join(finished.table().split())
    assert PATCHES in text and "basic/naive_cnn" in text and "concat" in text
    assert "best" in text
    wide = finished.table(wide=True)
    for header in ("precision", "FLOPs", "peak", "weights", "extraction"):
        assert header in wide
        assert header not in finished.table()


def test_the_answer_names_the_best_row(finished):
    best = finished.rows[0]
    first = finished.answer()[0]
    assert best.label in first and f"accuracy {best.score.value:.3f}" in first
    chance = best.baselines[0].difference.verdict == "worse"
    assert ("Better than chance" in finished.answer()[1]) is chance
    told = " ".join(finished.answer())
    assert all(row.label in told for row in finished.rows)


def test_csv_json_and_markdown_hold_the_same_numbers(finished):
    with (finished.root / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows.pop()["row"] == "chance: most frequent class"
    stored = json.loads((finished.root / "comparison.json").read_text())
    markdown = (finished.root / "comparison.md").read_text()
    for row, line, plain in zip(finished.rows, rows, stored["rows"], strict=True):
        assert float(line["score"]) == plain["score"]["value"] == row.score.value
        assert float(line["latency_seconds"]) == plain["cost"]["latency"] == row.cost.latency
        assert int(line["parameters"]) == row.parameters
        assert line["verdict"] == plain["difference"]["verdict"] == row.difference.verdict
        assert float(line["p"]) == row.difference.p
        assert line["run"] == row.folder
        assert f"| {row.label} |" in markdown
    assert stored["base"]["train"]["folds"] == 2
    assert stored["fingerprint"] == finished.base.fingerprint


def test_the_page_holds_everything_and_needs_no_other_file(finished):
    page = (finished.root / "comparison.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    # Score against cost, and a matrix per row.
    assert page.count("<svg") == 1 + 3
    assert "Pareto front" in page
    for row in finished.rows:
        assert row.label in page
    assert "model confidence set" in page and "chance: most frequent class" in page


def test_what_is_done_is_not_done_again(finished, copied, monkeypatch):
    monkeypatch.setattr("vidcore.analysis.comparison.runner.resume", None)
    monkeypatch.setattr("vidcore.analysis.comparison.costs._measured", None)
    again = compare(out=copied.root)
    assert [row.label for row in again.rows] == [row.label for row in finished.rows]
    assert again.as_dict()["rows"] == finished.as_dict()["rows"]


def test_rows_can_be_added(finished, copied, registry, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "broken", False)
    told = []
    more = compare(["mean/rgb"], out=copied.root, registry=registry, told=told.append)
    assert told[:2] == ["mean/rgb: no parameters", "[1/1] mean/rgb, mean, classification"]
    assert told[2].startswith("  accuracy ")
    assert told[-1] == "measuring mean/rgb"
    assert {row.label for row in more.rows} == {row.label for row in finished.rows} | {"mean/rgb"}
    folds = {(more.root / row.folder / "folds.csv").read_text() for row in more.rows}
    assert len(folds) == 1


def test_a_failed_row_takes_nothing_down_and_is_tried_again_alone(copied, registry, monkeypatch):
    told = []
    # Trained, so that it runs inside the training and not before it.
    given = ["mean/rgb.freeze=false"]
    found = compare(["mean/rgb"], out=copied.root, registry=registry, told=told.append, overrides=given)
    assert told == [
        "mean/rgb: no parameters",
        "[1/1] mean/rgb, mean, classification",
        "  failed: RuntimeError: the extractor is broken",
    ]
    assert len(found.rows) == 3
    (failed,) = found.failed
    assert failed.label == "mean/rgb"
    assert "test_compare.py" in failed.error
    assert "not done: mean/rgb: RuntimeError: the extractor is broken" in found.footnotes()
    assert "the extractor is broken" in (copied.root / "comparison.html").read_text()
    monkeypatch.setattr(sys.modules[__name__], "broken", False)
    told.clear()
    found = compare(out=copied.root, registry=registry, told=told.append)
    assert told[1] == "[1/1] mean/rgb, mean, classification"
    assert (len(found.rows), found.failed) == (4, ())


def test_a_fitted_head_has_a_row_where_nothing_before_it_is_trained(finished, copied):
    pytest.importorskip("vidplug_handcrafted")
    weights = next(iter(finished.root.parent.glob("*.safetensors")))
    found = compare(
        [PATCHES, "basic/naive_cnn"],
        heads=["logistic_regression"],
        out=copied.root,
        overrides=[*OPTIONS, CNN, f"basic/naive_cnn.options.weights={weights}"],
    )
    fitted = [row for row in found.rows if "logistic_regression" in row.label]
    assert [(row.trained, row.metric) for row in fitted] == [(0, "accuracy")]
    (failed,) = found.failed
    assert "fitted on features in one go, so nothing before it can be trained" in failed.error


def test_a_stopped_row_goes_on_where_it_was(finished, copied):
    cell = cell_named(copied, PATCHES)
    run = copied.run(cell)
    before = run.read_results()["test"]["scores"]
    run.results.unlink()
    (run.fold(2).results).unlink()
    stamp = run.fold(1).weights.stat().st_mtime_ns
    assert copied.state(cell) == "unfinished"
    compare(out=copied.root)
    assert run.fold(1).weights.stat().st_mtime_ns == stamp
    assert run.read_results()["test"]["scores"] == before


def test_a_comparison_that_is_stopped_says_how_to_go_on(copied, monkeypatch):
    cell = cell_named(copied, PATCHES)
    copied.run(cell).results.unlink()

    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidcore.analysis.comparison.runner.resume", stopped)
    with pytest.raises(RunInterruptedError, match=f"go on with: vidcore compare --out {copied.root}"):
        compare(out=copied.root)
    stored = json.loads((copied.root / "comparison.json").read_text())
    assert len(stored["rows"]) == 2
    assert [item["error"] for item in stored["failed"]] == ["not done yet"]


def test_a_row_that_crashed_is_tried_last(copied, monkeypatch):
    cell = cell_named(copied, "basic/naive_cnn")
    other = cell_named(copied, PATCHES)
    for one, state in ((cell, "running"), (other, "stopped")):
        run = copied.run(one)
        run.results.unlink()
        progress = json.loads(run.progress.read_text()) | {"state": state}
        run.progress.write_text(json.dumps(progress))
    assert crashed(copied, cell) and not crashed(copied, other)
    told = []
    compare(out=copied.root, told=told.append)
    begun = [line for line in told if line.startswith("[")]
    assert [line.partition("] ")[2].split(",")[0] for line in begun] == [other.title.split(",")[0], "basic/naive_cnn"]


def test_another_base_is_refused_with_what_differs(copied, brightness, tmp_path):
    with pytest.raises(RunError) as refused:
        compare(["basic/keypoints"], folds=3, out=copied.root, overrides=["train.epochs=9", "data.workers=1"])
    text = str(refused.value)
    assert "train.folds: was 2, is 3" in text and "train.epochs: was 2, is 9" in text
    assert "workers" not in text
    assert "start another comparison with --out FOLDER" in text
    assert len(copied.read_cells()) == 3


def test_other_data_are_refused(copied, brightness, tmp_path):
    rows = list(read_source(brightness))
    write_manifest(rows, tmp_path / "all.csv")
    with pytest.raises(RunError, match=r"data\.source: was .*brightness.*, is .*all\.csv"):
        compare(out=copied.root, data=str(tmp_path / "all.csv"))
    source = json.loads(copied.base.read_text())
    source["config"]["data"]["source"] = str(tmp_path / "all.csv")
    copied.base.write_text(json.dumps(source))
    write_manifest(rows[:-1], tmp_path / "all.csv")
    with pytest.raises(RunError, match="its rows or files are others than before"):
        compare(out=copied.root)


def test_wrong_calls_are_refused_before_anything_is_written(tmp_path, brightness):
    with pytest.raises(ConfigError, match=r"there is nothing to compare in .*new"):
        compare(out=tmp_path / "new")
    with pytest.raises(UnknownNameError, match="did you mean: basic/naive_cnn"):
        compare(["basic/naive_cn"], data=str(brightness), out=tmp_path / "new")
    with pytest.raises(ConfigError, match=r"'train\.epoch'"):
        compare(["basic/naive_cnn"], data=str(brightness), out=tmp_path / "new", overrides=["train.epoch=3"])
    assert not (tmp_path / "new" / "base.json").exists()


def test_two_at_once_are_refused(copied):
    with copied.locked(), pytest.raises(RunError, match="another vidcore compare is at work"):
        compare(out=copied.root)


def test_the_report_of_a_row_shows_its_folds(copied):
    run = copied.run(cell_named(copied, PATCHES))
    page = write_report(run).read_text()
    assert "<h2>Folds</h2>" in page
    assert "answered by the models of the folds" in page
    assert page.count("<svg") == 3


def test_a_record_of_something_else_is_no_cell():
    with pytest.raises(RunError, match="this is no cell of a comparison"):
        Cell.from_dict({"extractors": [{"nam": "x"}]})
