"""From a configuration to a run folder, and what is refused before one is made."""

from __future__ import annotations

import csv
import json
import math
import shutil

import pytest
import torch
import yaml
from vidcore.analysis import evaluate
from vidcore.config import build_run_config, run_config
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.errors import ConfigError, DataError, ManifestError, RunError, UnknownNameError
from vidcore.training import Prediction, load, open_run, train
from vidcore.training.progress import Progress


def test_the_run_folder_is_complete(finished_run):
    names = {path.name for path in finished_run.root.iterdir()}
    assert names == {
        "config.yaml",
        "environment.json",
        "data.json",
        "split.csv",
        "metrics.csv",
        "results.json",
        "predictions.csv",
        "baselines.csv",
        "progress.json",
        "log.txt",
        "checkpoints",
        "model.safetensors",
        "model.json",
        "tensorboard",
    }
    assert {path.name for path in finished_run.checkpoints.iterdir()} == {"last.pt", "previous.pt", "best.pt"}
    environment = json.loads(finished_run.environment.read_text())
    assert environment["libraries"]["torch"] == torch.__version__.split("+")[0] or environment["libraries"]["torch"]
    assert environment["used_plugins"].keys() == {"vidcore"}
    progress = json.loads(finished_run.progress.read_text())
    assert progress["state"] == "done"
    assert progress["eta_seconds"] == 0.0
    assert list(finished_run.tensorboard.glob("events*"))


def test_results_state_definitions_intervals_and_baselines(finished_run):
    results = finished_run.read_results()
    accuracy = results["test"]["scores"]["accuracy"]
    assert accuracy["value"] > 0.9
    assert accuracy["baseline"]["majority class"] == pytest.approx(1 / 3)
    assert accuracy["interval95"][0] <= accuracy["value"] <= accuracy["interval95"][1]
    assert results["test"]["split"] == "test"
    assert results["extractors"]["basic/patch_transformer"]["weights"] == "random"
    assert results["parameters"]["trained"] == results["parameters"]["total"] > 0


def test_metrics_have_one_row_per_epoch(finished_run):
    with finished_run.metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["fold"], row["epoch"]) for row in rows] == [("0", str(i)) for i in range(1, 7)]
    assert all(math.isfinite(float(row["val_loss"])) for row in rows)


def test_the_split_is_stored_and_stratified(finished_run):
    rows = read_source(finished_run.split).rows
    for label in ("bright", "dark", "grey"):
        mine = [row.split for row in rows if row.label == label]
        assert len(mine) == 12
        assert min(mine.count(split) for split in ("train", "val", "test")) >= 1
    assert json.loads(finished_run.data.read_text())["splits"] == {
        split: sum(row.split == split for row in rows) for split in ("train", "val", "test")
    }


def test_the_saved_configuration_repeats_the_run(finished_run, tmp_path):
    tree = yaml.safe_load(finished_run.config.read_text())
    assert tree["data"]["jitter"] is True
    assert tree["extractors"][0]["freeze"] is False
    assert tree["train"]["precision"] == "32-true"
    config = build_run_config(finished_run.config, {"out": tmp_path, "name": "again"})
    again = train(config)
    assert again.weights.read_bytes() == finished_run.weights.read_bytes()


def test_the_model_comes_back_without_its_data(finished_run, tmp_path, brightness):
    folder = tmp_path / "moved"
    folder.mkdir()
    for name in ("model.json", "model.safetensors"):
        (folder / name).write_bytes((finished_run.root / name).read_bytes())
    model = load(folder, device="cpu")
    assert model.classes == ("bright", "dark", "grey")
    with finished_run.predictions.open() as file:
        rows = list(csv.DictReader(file))
    for row, found in zip(rows, model.predict([row["video"] for row in rows], top_k=3), strict=True):
        assert sum(chance for _, chance in found.top) == pytest.approx(1.0)
        for name, chance in found.top:
            assert chance == pytest.approx(float(row[f"p({name})"]), abs=1e-5)
    assert found.label == found.top[0][0]
    assert [chance for _, chance in found.top] == sorted((c for _, c in found.top), reverse=True)


def test_a_bad_video_is_reported_or_raised(finished_run, brightness, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"junk")
    model = load(finished_run.root, device="cpu")
    good = next(brightness.rglob("*.mkv"))
    first, second = model.predict([bad, good], on_error="keep")
    assert first == Prediction(bad, error=first.error)
    assert "cannot open the video" in first.error
    assert second.error is None
    with pytest.raises(Exception, match=r"bad\.mp4: cannot open the video"):
        model.predict([bad])


def test_a_model_file_of_another_model_is_refused(finished_run, tmp_path):
    facts = json.loads(finished_run.model.read_text())
    facts["extractors"][0]["options"]["width"] = 32
    (tmp_path / "model.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").write_bytes(finished_run.weights.read_bytes())
    with pytest.raises(RunError, match=r"model\.safetensors does not fit"):
        load(tmp_path)


def _copy(brightness, folder):
    for path in brightness.rglob("*.mkv"):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder


def test_corrupt_videos_stop_before_training_or_are_skipped(tiny_config, brightness, tmp_path):
    folder = _copy(brightness, tmp_path / "data")
    (folder / "dark" / "00.mkv").write_bytes(b"")
    (folder / "grey" / "01.mkv").write_bytes((folder / "grey" / "01.mkv").read_bytes()[:700])
    with pytest.raises(DataError) as caught:
        train(tiny_config(data={"source": str(folder)}))
    message = str(caught.value)
    assert message.startswith("2 of 36 rows cannot be used:")
    assert "dark/00.mkv" in message and "grey/01.mkv" in message and "--on-error skip" in message
    assert not (tmp_path / "runs").exists()
    run = train(tiny_config(data={"source": str(folder), "on_error": "skip"}, train={"epochs": 1}))
    assert [row.video.name for row in read_source(run.skipped, labels=False, check_files=False)] == ["00.mkv", "01.mkv"]
    assert len(read_source(run.split)) == 34
    results = run.read_results()
    assert results["skipped"] == 2
    assert sum("skipped" in note for note in results["notes"]) == 2


def test_the_same_file_twice_never_straddles_a_split(tiny_config, brightness, tmp_path):
    folder = _copy(brightness, tmp_path / "data")
    for i in range(11):
        (folder / "dark" / f"{i:02}.mkv").rename(folder / "dark" / f"{i:02}-a.mkv")
        (folder / "dark" / f"{i:02}-b.mkv").write_bytes((folder / "dark" / f"{i:02}-a.mkv").read_bytes())
    run = train(tiny_config(data={"source": str(folder)}, train={"epochs": 1}))
    home = {row.video.name: row.split for row in read_source(run.split)}
    assert all(home[f"{i:02}-a.mkv"] == home[f"{i:02}-b.mkv"] for i in range(11))


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"extractors": [{"name": "basic/patch_transfomer"}]}, UnknownNameError, "did you mean: basic/patch_transform"),
        ({"extractors": [{"name": "basic/naive_cnn", "options": {"widht": 64}}]}, ConfigError, "did you mean 'width'"),
        ({"readout": {"name": "average"}}, UnknownNameError, "no readout named 'average'"),
        ({"data": {"source": "nowhere"}}, ManifestError, "no data set, folder or manifest named 'nowhere'"),
        ({"data": {"source": "./nowhere"}}, ManifestError, "there is no such folder or manifest"),
        ({"data": {"options": {"n": 5}}}, ConfigError, "data.options are for named data sets"),
        ({"data": {"source": "trajectories", "options": {"m": 5}}}, ConfigError, "unknown key 'm'"),
        ({"train": {"precision": "16-mixed"}}, ConfigError, "needs a GPU"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(tiny_config, tmp_path, more, error, message):
    with pytest.raises(error, match=message):
        train(tiny_config(**more))
    assert not (tmp_path / "runs").exists()


def test_a_class_with_one_video_is_refused(tiny_config, brightness, tmp_path, video_writer):
    folder = _copy(brightness, tmp_path / "data")
    video_writer(folder / "lonely" / "0.mkv", 10, 0)
    with pytest.raises(DataError, match="class 'lonely' has one video"):
        train(tiny_config(data={"source": str(folder)}))


def test_a_folder_that_exists_is_not_written_into(tiny_config, finished_run):
    config = tiny_config().model_copy(update={"out": finished_run.root.parent, "name": finished_run.root.name})
    with pytest.raises(RunError, match="exists; resume it with: vidcore train --resume"):
        train(config)
    with pytest.raises(RunError, match="the name of a run is the name of its folder"):
        train(config.model_copy(update={"name": "a/b"}))


def test_an_error_inside_never_claims_success(tiny_config, monkeypatch):
    from vidcore.training import single

    def broken(*args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(single, "write_results", broken)
    config = tiny_config(train={"epochs": 1})
    with pytest.raises(ZeroDivisionError):
        train(config)
    run = open_run(config.out / "tiny")
    assert not run.done
    progress = json.loads(run.progress.read_text())
    assert (progress["state"], progress["message"]) == ("failed", "ZeroDivisionError: a bug")


def test_frozen_extractors_are_encoded_once(tiny_config):
    config = tiny_config()
    frozen = config.extractors[0].model_copy(update={"freeze": True})
    run = train(config.model_copy(update={"extractors": (frozen,)}))
    assert "clips were extracted" in run.log.read_text()
    assert run.read_config().data.jitter is False
    assert run.read_results()["parameters"]["trained"] == 16 * 3 + 3
    last = torch.load(run.checkpoints / "last.pt", weights_only=True)
    statistics = {"standardise.mean_0", "standardise.gain_0"}
    assert set(last["model"]) == {"head.linear.weight", "head.linear.bias"} | statistics


def test_numbers_are_learned_told_and_evaluated(tiny_config, brightness, tmp_path):
    level = {"bright": 200, "dark": 40, "grey": 120}
    rows = [
        Row(row.video, extra={"level": level[row.label], "half": level[row.label] / 2})
        for row in read_source(brightness)
    ]
    manifest = tmp_path / "levels.csv"
    write_manifest(rows, manifest)
    head = {"name": "regression", "options": {"columns": ["level", "half"]}}
    run = train(tiny_config(data={"source": str(manifest)}, head=head, train={"epochs": 12}))
    scores = run.read_results()["test"]["scores"]
    assert scores["nrmse"]["value"] < 0.7
    (told,) = load(run.root).predict([rows[0].video])
    assert told.label is None
    assert told.values[0] == pytest.approx(2 * told.values[1], rel=0.5)
    again = evaluate(run.root).as_dict()
    assert again["scores"]["nrmse"]["value"] == pytest.approx(scores["nrmse"]["value"], rel=1e-3)


def test_a_column_that_the_manifest_does_not_have(tiny_config, brightness):
    with pytest.raises(DataError, match="speed"):
        train(tiny_config(head={"name": "regression", "options": {"columns": ["speed"]}}))


def test_several_labels_a_clip(tiny_config, brightness, tmp_path):
    rows = [
        Row(row.video, "|".join(["noise", *([] if row.label == "grey" else [row.label])]))
        for row in read_source(brightness)
    ]
    manifest = tmp_path / "several.csv"
    write_manifest(rows, manifest)
    config = tiny_config(
        data={"source": str(manifest)}, head={"name": "classification", "options": {"multilabel": True}}
    )
    run = train(config)
    assert load(run.root, device="cpu").classes == ("bright", "dark", "noise")
    assert set(run.read_results()["test"]["scores"]) == {"mean_average_precision", "macro_f1"}


def test_without_a_test_split_the_scores_say_so(tiny_config):
    run = train(tiny_config(data={"test_fraction": 0.0}, train={"epochs": 1}))
    results = run.read_results()
    assert results["test"]["split"] == "val"
    assert "there is no test split" in results["notes"][0]


def test_two_streams_are_fused(tiny_config):
    tree = tiny_config().model_dump(mode="json")
    tree["extractors"].append({"name": "basic/naive_cnn", "options": {"width": 8, "frames": 2}})
    tree["train"]["epochs"] = 1
    run = train(run_config(tree))
    assert load(run.root, device="cpu").model.streams == ("basic/patch_transformer", "basic/naive_cnn")


def test_trajectories_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))
    from vidcore.data.datasets import open_source

    options = {"n": 12, "frames": 4, "size": 32}
    first = open_source("trajectories", options)
    assert len(first) == 12
    assert first.classes == ["circular", "helical", "linear", "parabolic"]
    made = {path: path.stat().st_mtime_ns for path in first.source.parent.rglob("*.mp4")}
    assert len(made) == 12
    assert made == {
        path: path.stat().st_mtime_ns for path in open_source("trajectories", options).source.parent.rglob("*.mp4")
    }
    other = open_source("trajectories", {**options, "seed": 1})
    assert other.source != first.source


def test_progress_is_told_by_a_file(tmp_path, monkeypatch):
    from vidcore.training import progress as module

    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    file = tmp_path / "progress.json"
    with Progress(file) as progress:
        progress.begin("training", 10, 4)
        progress.advance(2, clips=8, loss=0.5)
        with progress.within("validation", 3):
            progress.inner(2)
            first = json.loads(file.read_text())["heartbeat"]
            while json.loads(file.read_text())["heartbeat"] == first:
                pass
            inside = json.loads(file.read_text())
        progress.end("done")
    assert (inside["state"], inside["phase"], inside["step"], inside["total"]) == ("running", "validation", 6, 10)
    assert (inside["phase_step"], inside["phase_total"]) == (2, 3)
    assert inside["loss"] == 0.5
    assert inside["rate"] > 0
    assert inside["eta_seconds"] >= 0
    assert json.loads(file.read_text())["state"] == "done"


def test_a_run_whose_plugin_is_missing_names_what_to_install(finished_run, tmp_path):
    for name in ("model.json", "model.safetensors"):
        shutil.copy(finished_run.root / name, tmp_path / name)
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["plugins"].keys() == {"vidcore"}
    facts["extractors"][0]["name"] = "gone/tiny"
    facts["plugins"]["vidplug-gone"] = "1.2"
    (tmp_path / "model.json").write_text(json.dumps(facts))
    with pytest.raises(
        UnknownNameError, match=r"used vidplug-gone 1\.2, which is not installed: pip install vidplug-gone"
    ):
        load(tmp_path)


def test_a_model_says_what_it_is_and_predicts_one_path(finished_run):
    model = load(finished_run.root)
    assert repr(model).startswith("TrainedModel(basic/patch_transformer -> ")
    assert "3 classes" in repr(model)
    video = next(iter(read_source(finished_run.split, labels=False))).video
    (alone,), several = model.predict(str(video)), model.predict([video])
    assert alone == several[0]
