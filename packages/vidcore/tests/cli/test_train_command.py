"""The commands that train, evaluate and predict, as a person calls them."""

from __future__ import annotations

import json
import os
import signal

import pytest
import yaml
from vidcore.cli import main
from vidcore.training import train
from vidcore.training.tracking import TensorBoardTracker


@pytest.fixture
def call(capsys):
    """Runs the command line: (exit code, standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


TINY = [
    "extractors.0.options={width: 16, depth: 1, heads: 2, size: 16, patch: 8}",
    "data.frames=4",
    "data.workers=0",
    "train.device=cpu",
    "train.epochs=1",
]


def test_train_prints_what_it_does_and_where_it_is(call, brightness, tmp_path):
    code, out, err = call(
        "train", "--extractor", "basic/patch_transformer", "--data", brightness, "--out", tmp_path, "--name", "r", *TINY
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    first = next(line for line in lines if line.startswith("extractor  basic/patch_transformer: "))
    assert "random weights; none are published" in first
    assert any("of 36 clips" in line or "24 train" in line or " train, " in line for line in lines)
    # Epochs are in the log and in metrics.csv; here with -v only.
    assert not any(line.startswith("epoch ") for line in lines)
    assert "epoch 1/1  train loss " in (tmp_path / "r" / "log.txt").read_text()
    assert "95 % interval" in out and "majority class 0.3333" in out
    assert "basic/patch_transformer before training: random weights; none are published" in out
    assert f"run     {tmp_path / 'r'}" in lines
    assert f"report  {tmp_path / 'r' / 'report.html'}" in lines
    assert (tmp_path / "r" / "report.html").is_file()


def test_verbose_prints_every_epoch(call, brightness, tmp_path):
    code, out, _ = call(
        "train", "-v", "--extractor", "basic/patch_transformer", "--data", brightness, "--out", tmp_path, *TINY
    )
    assert code == 0
    assert any(line.startswith("epoch 1/1  train loss ") and "(best so far)" in line for line in out.splitlines())


def test_the_option_and_the_key_are_the_same(call, brightness, tmp_path):
    chosen = ("--extractor", "basic/patch_transformer", "--data", brightness, "--readout", "attention")
    call("train", *chosen, "--out", tmp_path, "--name", "r", *TINY)
    tree = yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())
    assert tree["readout"]["name"] == "attention"
    assert tree["data"]["source"] == str(brightness)


def test_folds_are_printed_as_a_table(call, brightness, tmp_path):
    chosen = ("--extractor", "basic/patch_transformer", "--data", brightness, "--folds", "3")
    code, out, err = call("train", *chosen, "--out", tmp_path, "--name", "r", *TINY)
    assert (code, err) == (0, "")
    assert "data       " in out and ": 36 in 3 folds" in out
    assert "another quantity: the mean over the 3 folds, each fold counted alike" in out
    # The pooled score with its interval comes first.
    assert out.index("95 % interval") < out.index("another quantity")
    assert "36 clips, each answered by the model of the fold that had not seen it" in out
    assert "note: the model that is shipped is trained on the rows of all folds for 1 epochs" in out


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--extractor", "basic/naive_cn"], 1, "did you mean: basic/naive_cnn"),
        (["train.epoch=3"], 1, "unknown key 'train.epoch'; did you mean 'train.epochs'?"),
        (["train.epochs"], 1, "is not of the form key=value"),
        (["--config", "nowhere.yaml"], 1, "cannot read the configuration nowhere.yaml"),
        (["--resume", "nowhere"], 1, "no run folder nowhere"),
        (["--resume", "x", "train.epochs=3"], 2, "--resume goes on with the run's own configuration"),
        (["--force"], 2, "--force belongs to --resume"),
    ],
)
def test_wrong_arguments_get_one_message(call, args, code, message):
    found, _, err = call("train", *args)
    assert found == code
    assert message in err
    assert "Traceback" not in err


def test_an_empty_folder(call, tmp_path):
    code, _, err = call("train", "--data", tmp_path)
    assert code == 1
    assert "the folder is empty; it needs one subfolder per class" in err


def test_ctrl_c_exits_with_130_and_says_how_to_go_on(call, tiny_config, monkeypatch):
    config = tiny_config()
    file = config.out.parent / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardTracker, "step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        code, _, err = call("train", "--config", file)
    root = config.out / "tiny"
    assert code == 130
    assert f"go on with: vidcore train --resume {root}" in err
    code, out, _ = call("train", "--resume", root, "-v")
    assert code == 0
    assert "1 done before" in out
    assert (root / "report.html").is_file()


def test_evaluate_prints_tables(call, finished_run):
    code, out, _ = call("evaluate", finished_run.root, "--workers", "0")
    assert code == 0
    assert "test split of the run" in out
    for heading in ("95 % interval", "precision  recall", "rows: true class; columns: answer"):
        assert heading in out


def test_evaluate_as_json_agrees_with_the_run(call, finished_run):
    code, out, _ = call("evaluate", finished_run.root, "--json", "--workers", "0")
    assert code == 0
    found = json.loads(out)
    stored = finished_run.read_results()["test"]
    assert found["confusion"] == stored["confusion"]
    assert found["scores"]["accuracy"] == stored["scores"]["accuracy"]


def test_predict_names_classes_and_reports_bad_videos(call, finished_run, brightness, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    dark = brightness / "dark" / "03.mkv"
    code, out, err = call("predict", finished_run.root, bad, dark, "--top-k", "2")
    assert code == 1
    weights, told, count = err.splitlines()
    assert weights == "basic/patch_transformer: random weights; none are published, trained since"
    assert told.startswith(f"error: {bad}: ")
    assert count == "1 of 2 videos could not be read"
    first = next(line for line in out.splitlines() if str(dark) in line)
    assert first.split()[-1] == "dark"
    assert len(out.splitlines()) == 3


def test_predict_as_json(call, finished_run, brightness):
    code, out, _ = call("predict", finished_run.root, brightness / "grey" / "00.mkv", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["top"][0]["label"] == "grey"
    assert sum(item["probability"] for item in answer["top"]) == pytest.approx(1.0)


def test_a_run_that_is_not_done_cannot_predict(call, tiny_config, brightness, monkeypatch):
    config = tiny_config()
    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardTracker, "step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Exception, match="stopped"):
            train(config)
    code, _, err = call("predict", config.out / "tiny", brightness / "grey" / "00.mkv")
    assert code == 1
    assert "the run is not done" in err
