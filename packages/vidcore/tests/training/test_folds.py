"""Cross-validation: what is trained, what is measured, and that a kill changes none of it."""

from __future__ import annotations

import csv
import json
import multiprocessing
import statistics
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.errors import DataError, RunError
from vidcore.extractors._patch_transformer import PatchTransformer
from vidcore.heads._classification import Classification
from vidcore.training import load, open_run, resume, train
from vidcore.training.fold_results import summarise

from .test_resume import _digest, _kill_when, _rows

FORK = multiprocessing.get_context("fork")


def _table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folded(tiny_folds):
    return train(tiny_folds("whole"))


@pytest.fixture(scope="module")
def tiny_folds(brightness, tmp_path_factory):
    from vidcore.config import run_config

    out = tmp_path_factory.mktemp("folds")
    tiny = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8, "dropout": 0.1}

    def make(name, source=brightness, freeze=False, **train_options):
        options = {"folds": 3, "epochs": 2, "batch_size": 6, "lr": 0.01, "device": "cpu", "checkpoint_seconds": 0.0}
        return run_config(
            {
                "extractors": [{"name": "basic/patch_transformer", "options": tiny, "freeze": freeze}],
                "data": {"source": str(source), "frames": 4, "workers": 0},
                "train": options | train_options,
                "out": str(out),
                "name": name,
            }
        )

    return make


def test_every_row_is_tested_once_by_a_model_that_has_not_seen_it(folded):
    table = _table(folded.folds)
    assert len(table) == 36
    assert [sum(row["fold"] == str(k) for row in table) for k in (1, 2, 3)] == [12, 12, 12]
    for row in table:
        assert [row[f"fold{k}"] == "test" for k in (1, 2, 3)] == [row["fold"] == str(k) for k in (1, 2, 3)]
    for k in (1, 2, 3):
        parts = [row[f"fold{k}"] for row in table]
        assert parts.count("val") == 3
        assert parts.count("train") == 21
    answers = _table(folded.predictions)
    assert [row["row"] for row in answers] == [str(i) for i in range(36)]
    assert {row["row"]: row["fold"] for row in answers} == {row["row"]: row["fold"] for row in table}
    assert all(
        sum(float(row[f"p({c})"]) for c in ("bright", "dark", "grey")) == pytest.approx(1, abs=1e-5) for row in answers
    )


def test_results_have_folds_mean_spread_and_pooled_answers(folded):
    results = folded.read_results()
    each = results["folds"]["each"]
    assert [fold["fold"] for fold in each] == [1, 2, 3]
    accuracy = results["folds"]["scores"]["accuracy"]
    values = [fold["accuracy"] for fold in each]
    assert accuracy["mean"] == pytest.approx(statistics.fmean(values))
    assert accuracy["sd"] == pytest.approx(statistics.stdev(values))
    table = _table(folded.table)
    assert [(row["fold"], float(row["accuracy"])) for row in table] == [
        (str(k), pytest.approx(value)) for k, value in enumerate(values, 1)
    ]
    test = results["test"]
    assert test["split"] == "folds"
    assert test["clips"] == 36
    right = sum(
        row["label"] == max(("bright", "dark", "grey"), key=lambda c: float(row[f"p({c})"]))
        for row in _table(folded.predictions)
    )
    assert test["scores"]["accuracy"]["value"] == pytest.approx(right / 36)
    assert "interval95" in test["scores"]["accuracy"]
    rows = _table(folded.metrics)
    assert [(row["fold"], row["epoch"]) for row in rows][:6] == [(str(k), str(e)) for k in (1, 2, 3) for e in (1, 2)]
    assert {row["fold"] for row in rows[6:]} == {"0"}
    assert len(rows[6:]) == results["epochs"] == round(statistics.median(fold["best_epoch"] for fold in each))


def test_the_mean_over_folds_counts_each_fold_alike_and_has_no_interval():
    folds = [
        {"fold": k, "best_epoch": 1, "epochs": 1, "training_seconds": 0.0,
         "test": {"clips": clips, "scores": {"accuracy": {"value": share}, "r2": {"value": r2}}}}
        for k, (clips, share, r2) in enumerate([(5, 1.0, 0.5), (50, 0.4, float("nan")), (5, 1.0, 0.7)], 1)
    ]  # fmt: skip
    scores = summarise(folds)["scores"]
    assert scores["accuracy"] == {"mean": pytest.approx(0.8), "sd": pytest.approx(statistics.stdev([1.0, 0.4, 1.0]))}
    assert scores["r2"]["mean"] == pytest.approx(0.6), "a fold without the score is left out"


def test_answers_are_kept_at_full_precision(folded):
    kept = load_file(str(folded.fold(1).answers))
    said = {int(row): line for row, line in zip(kept["rows"], kept["predictions"], strict=True)}
    lines = [line for line in _table(folded.predictions) if line["fold"] == "1"]
    places = {line["row"]: line for line in lines}
    assert len(places) == len(said) == 12
    for row, chances in said.items():
        assert [float(places[str(row)][f"p({c})"]) for c in ("bright", "dark", "grey")] == pytest.approx(
            chances.tolist(), rel=1e-8, abs=0
        )


def test_one_group_is_left_out_at_a_time(tiny_config, brightness, tmp_path):
    rows = list(read_source(brightness))
    grouped = [replace(row, group=f"g{place % 4}") for place, row in enumerate(rows)]
    # One group lacks a class, so the fold that tests it does.
    grouped = [row for row in grouped if not (row.group == "g3" and row.label == "grey")]
    write_manifest(grouped, tmp_path / "grouped.csv")
    run = train(tiny_config(data={"source": str(tmp_path / "grouped.csv")}, train={"folds": "group", "epochs": 1}))
    results = run.read_results()
    assert results["folds"]["count"] == 4
    by_fold = {line["fold"]: set() for line in _table(run.predictions)}
    for line in _table(run.predictions):
        by_fold[line["fold"]].add(next(row.group for row in grouped if str(row.video) == line["video"]))
    assert sorted(map(sorted, by_fold.values())) == [["g0"], ["g1"], ["g2"], ["g3"]]
    assert results["test"]["interval"] == "too few groups for an interval: 4; it takes 10"


def test_the_models_of_the_folds_and_the_shipped_one_come_back(folded, brightness):
    shipped, first = load(folded.root, device="cpu"), load(folded.fold(1).root, device="cpu")
    video = next(brightness.rglob("*.mkv"))
    assert shipped.classes == first.classes
    assert shipped.predict([video])[0] != first.predict([video])[0]
    answers = {row["video"]: row for row in _table(folded.predictions) if row["fold"] == "1"}
    for found in first.predict(answers):
        for name, chance in found.top:
            assert chance == pytest.approx(float(answers[str(found.video)][f"p({name})"]), abs=1e-5)


def test_killed_inside_the_third_fold_it_goes_on_there(tiny_folds, folded):
    config = tiny_folds("killed")
    root = config.out / "killed"
    process = FORK.Process(target=train, args=(config,))
    process.start()
    _kill_when(process, root / "folds" / "3", lambda state: state["updates"] >= 2)
    run = open_run(root)
    assert [run.fold(k).done for k in (1, 2, 3)] == [True, True, False]
    before = [run.fold(k).results.stat().st_mtime_ns for k in (1, 2)]
    assert resume(root).done
    assert [run.fold(k).results.stat().st_mtime_ns for k in (1, 2)] == before
    assert _digest(run.weights) == _digest(folded.weights)
    assert run.predictions.read_text() == folded.predictions.read_text()
    assert _rows(run.metrics) == _rows(folded.metrics)
    timeless = {"training_seconds", "folds"}
    one, other = run.read_results(), folded.read_results()
    assert {k: v for k, v in one.items() if k not in timeless} == {k: v for k, v in other.items() if k not in timeless}
    assert one["folds"]["scores"] == other["folds"]["scores"]
    log = run.log.read_text()
    assert log.count("fold 3 of 3: 21 train") == 2 and log.count("fold 1 of 3: 21 train") == 1
    assert not run.fold(1).checkpoints.exists()


def test_killed_while_the_shipped_model_trains(tiny_folds, folded):
    config = tiny_folds("late")
    root = config.out / "late"
    process = FORK.Process(target=train, args=(config,))
    process.start()
    _kill_when(process, root, lambda state: state["updates"] >= 1)
    assert resume(root).done
    assert _digest(open_run(root).weights) == _digest(folded.weights)


def test_frozen_extractors_are_encoded_once_and_kept_once(tiny_folds, monkeypatch, tmp_path):
    # A store of its own: another test may have left these features in the one all share.
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))
    seen = []
    before = PatchTransformer.forward
    monkeypatch.setattr(PatchTransformer, "forward", lambda self, clip: seen.append(len(clip)) or before(self, clip))
    run = train(tiny_folds("frozen", freeze=True))
    assert sum(seen) == 1 + 36, "once each, after the one clip that tells what extracting them will take"
    assert run.fold(1).weights.stat().st_size < run.weights.stat().st_size / 10
    assert load(run.fold(2).root, device="cpu").classes == ("bright", "dark", "grey")
    with torch.no_grad():
        one, two = (dict(load(run.fold(k).root, device="cpu").model.named_parameters()) for k in (1, 2))
    assert torch.equal(one["extractors.basic/patch_transformer.rows"], two["extractors.basic/patch_transformer.rows"])
    assert not torch.equal(one["head.linear.weight"], two["head.linear.weight"])
    run.weights.rename(run.weights.with_suffix(".away"))
    with pytest.raises(RunError, match=r"holds what one fold trained; the rest is in .*model\.safetensors, which"):
        load(run.fold(2).root)


def test_the_best_fold_is_shipped_where_nothing_is_refitted(tiny_folds):
    run = train(tiny_folds("best", refit=False))
    each = [json.loads(run.fold(k).results.read_text()) for k in (1, 2, 3)]
    best = min(each, key=lambda fold: fold["best_loss"])["fold"]
    assert f"that of fold {best}, which has the lowest validation loss" in " ".join(run.read_results()["notes"])
    shipped, fold = (
        load(run.root, device="cpu").model.state_dict(),
        load(run.fold(best).root, device="cpu").model.state_dict(),
    )
    assert all(torch.equal(shipped[name], tensor) for name, tensor in fold.items())
    assert {row["fold"] for row in _table(run.metrics)} == {"1", "2", "3"}


def test_test_rows_that_the_manifest_names_are_in_no_fold(tiny_folds, brightness, tmp_path):
    rows = [
        Row(row.video, row.label, split="test" if row.video.stem in ("03", "07") else "train")
        for row in read_source(brightness)
    ]
    manifest = tmp_path / "named.csv"
    write_manifest(rows, manifest)
    run = train(tiny_folds("held", source=manifest, epochs=1))
    assert len(_table(run.folds)) == 30
    results = run.read_results()
    assert (results["test"]["clips"], results["held_out"]["clips"]) == (30, 6)
    answers = _table(run.predictions)
    assert [row["fold"] for row in answers[30:]] == ["0"] * 6
    assert {row.split for row in read_source(run.split)} == {"train", "test"}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (3, r"3 folds need at least 3 groups \(or ungrouped videos\); there are 2"),
        (2, "no validation rows can be drawn from the training part of fold 1 of 2: .*or do without them: data.val_"),
    ],
)
def test_what_cannot_be_folded_is_said_before_training(tiny_folds, brightness, tmp_path, folds, message):
    rows = [Row(row.video, row.label, group=str(i % 2)) for i, row in enumerate(read_source(brightness))]
    manifest = tmp_path / "few.csv"
    write_manifest(rows, manifest)
    config = tiny_folds("few", source=manifest, folds=folds)
    with pytest.raises(DataError, match=message):
        train(config)
    assert not (config.out / "few").exists()


def test_what_one_fold_learned_about_memory_the_next_ones_know(tiny_folds, monkeypatch):
    before = Classification.loss

    def loss(self, outputs, targets):
        if len(targets) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return before(self, outputs, targets)

    monkeypatch.setattr(Classification, "loss", loss)
    # Validation answers fewer clips at a time than that, once training has learned it.
    run = train(tiny_folds("small", folds=2, epochs=1))
    log = run.log.read_text()
    assert log.count("out of memory with 6 clips at a time: the rest of the run takes 3 and accumulates 2 times") == 1
    assert log.count("out of memory") == 1
    assert [json.loads(run.fold(k).results.read_text())["splits"] for k in (1, 2)] == [2, 2]
