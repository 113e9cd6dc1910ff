from __future__ import annotations

import subprocess
import sys

import pytest
from vidcore.catalog import installed
from vidcore.config import run_config
from vidcore.config.early import check_names, check_run
from vidcore.errors import ConfigError, ManifestError, RunError, UnknownNameError, WeightsError

FRAMEWORKS = {"torch", "torchvision", "numpy", "av", "sklearn", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "nowhere"],
        ["train", "--extractor", "basic/keypoint"],
        ["train", "--extractor", "basic/keypoints.k400"],
        ["train", "--readout", "maen"],
        ["train", "epochs=x"],
        ["train", "train.epoch=3"],
        ["train", "--data", "nowhere/clips.csv"],
        ["tune", "--head", "clasification"],
        ["compare", "--extractor", "basic/keypoint"],
        ["compare", "--extractor", "basic/keypoints", "--data", "nowhere"],
        ["evaluate", "nowhere"],
        ["predict", "nowhere", "clip.mp4"],
    ],
)
def test_wrong_arguments_are_refused_before_a_framework_is_imported(tmp_path, arguments):
    code = (
        "import sys\n"
        "from vidcore.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        f"finally:\n    print(*sorted({FRAMEWORKS!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode != 0
    assert "error" in ran.stderr.lower() and "Traceback" not in ran.stderr, ran.stderr
    assert ran.stdout.split() == []


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"extractors": [{"name": "basic/keypoint"}]}, UnknownNameError, "did you mean: basic/keypoints"),
        ({"extractors": [{"name": "basic/keypoints.k4"}]}, WeightsError, "no published weights"),
        (
            {"extractors": [{"name": "basic/keypoints", "options": {"weights": "gone.pt"}}]},
            WeightsError,
            "no such file",
        ),
        ({"extractors": [{"name": "basic/keypoints", "options": {"widht": 8}}]}, ConfigError, "did you mean 'width'"),
        ({"data": {"source": "gone/clips.csv"}}, ManifestError, "there is no such folder or manifest"),
        ({"data": {"source": "gone"}}, ManifestError, "no data set, folder or manifest named 'gone'"),
        ({"name": "a/b"}, RunError, "without separators"),
    ],
)
def test_what_needs_no_data_is_refused_first(tmp_path, monkeypatch, changes, error, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text):
        check_run(run_config(changes), installed())


def test_a_head_with_data_of_its_own_is_checked_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heads = [{"name": "classification"}, {"name": "forecast", "source": "gone.csv"}]
    with pytest.raises(ManifestError, match=r"gone\.csv"):
        check_run(run_config({"heads": heads}), installed())


def test_an_existing_run_is_refused_with_what_resumes_it(tmp_path):
    (tmp_path / "first").mkdir()
    config = run_config({"out": str(tmp_path), "name": "first"})
    with pytest.raises(RunError, match="holds other files"):
        check_run(config, installed())
    (tmp_path / "first" / "config.yaml").touch()
    with pytest.raises(RunError, match="resume it with: vidcore train --resume"):
        check_run(config, installed())


def test_names_of_every_kind_are_checked():
    check_names(installed(), extractors=["basic/keypoints"], fusions=["concat"], readouts=["mean"], heads=["forecast"])
    for kind in ("extractors", "fusions", "readouts", "heads"):
        with pytest.raises(UnknownNameError):
            check_names(installed(), **{kind: ["no/such"]})
