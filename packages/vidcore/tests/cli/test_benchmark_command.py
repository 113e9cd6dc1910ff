from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from vidcore.cli import main, vidcore
from vidcore.cli.benchmark import _spread_over


def run(*arguments):
    return CliRunner().invoke(vidcore, ["benchmark", *arguments, "--repeats", "1", "--device", "cpu"])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", *arguments])
    return stopped.value.code, capsys.readouterr().err


def test_the_table_has_a_row_per_name_and_says_what_its_figures_are():
    shown = run("basic/keypoints", "basic/naive_cnn", "--batch", "2", "--size", "48x64")
    assert shown.exit_code == 0, shown.output
    header, first, second, *notes = shown.stdout.splitlines()
    assert header.split() == [
        "name", "video", "parameters", "FLOPs", "latency", "clips/s", "preprocess", "memory", "runtime"
    ]  # fmt: skip
    assert first.split()[:8] == ["basic/keypoints", "16", "x", "48x64", "56.7", "k", "113", "M"]
    assert second.startswith("basic/naive_cnn")
    assert second.endswith("eager")
    text = "\n".join(notes)
    assert "a multiplication and an addition are two" in text
    assert "in batches of 2" in text
    assert "resident memory of the process" in text
    assert "median (5th to 95th percentile) of 1 measurements" in text


def test_a_name_that_fails_has_its_row_and_its_reason_and_the_others_are_measured():
    shown = run("basic/keypoint", "x3d/s_test.k400", "basic/keypoints")
    assert shown.exit_code == 1
    rows = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert rows["basic/keypoint"].endswith("FAILED, see below")
    assert rows["x3d/s_test.k400"].endswith("FAILED, see below")
    assert rows["basic/keypoints"].endswith("eager")
    assert "error: basic/keypoint: no extractor named 'basic/keypoint'\n  did you mean: basic/keypoints" in shown.stderr
    assert "error: x3d/s_test.k400: " in shown.stderr


def test_json_has_every_figure_and_every_failure():
    shown = run("basic/keypoints", "nothing", "--json", "--frames", "130", "--precision", "bfloat16")
    assert shown.exit_code == 1
    data = json.loads(shown.stdout)
    (one,) = data["measured"]
    assert (one["name"], one["parameters"], one["frames"], one["forwards"]) == ("basic/keypoints", 56689, 130, 2)
    assert one["latency"].keys() == {"median", "p5", "p95", "count"}
    assert 0 < one["difference"] < 1
    assert one["probe"] is None
    assert [failed["name"] for failed in data["failed"]] == ["nothing"]
    assert data["failed"][0]["error"].startswith("no extractor named 'nothing'")


def test_several_forwards_and_the_error_of_the_features_are_told():
    shown = run("basic/keypoints", "--frames", "130", "--precision", "bfloat16")
    assert shown.stdout.splitlines()[0].split()[-2:] == ["error", "runtime"]
    assert "basic/keypoints: 2 forwards a clip" in shown.stdout
    assert "relative to eager float32" in shown.stdout
    assert "eager, bfloat16" in shown.stdout


def test_int8_needs_real_videos(capsys):
    code, text = refused(capsys, "basic/keypoints", "--precision", "int8")
    assert code == 1
    assert "error: --precision int8 needs --calibration PATH: some dozens of videos" in text


def test_calibration_videos_are_read_at_the_size_asked_for(brightness, monkeypatch):
    seen = {}

    def fake(extractor, *, calibration, **choices):
        seen.update(choices, shapes={tuple(video.shape) for video in calibration}, count=len(calibration))
        raise MemoryError("enough seen")

    monkeypatch.setattr("vidcore.analysis.efficiency.measure", fake)
    shown = run("basic/keypoints", "--precision", "int8", "--calibration", str(brightness), "--size", "24x32")
    assert seen["shapes"] == {(16, 3, 24, 32)}
    assert seen["count"] == 32
    assert seen["runtime"] == "auto"
    assert "error: basic/keypoints: MemoryError: enough seen" in shown.stderr


def test_videos_are_taken_from_all_over_a_sorted_list():
    assert _spread_over(list(range(36)), 32)[::31] == [0, 34]
    assert _spread_over(list(range(120)), 4) == [0, 30, 60, 90]
    assert _spread_over([1, 2], 32) == [1, 2]
    assert _spread_over([], 32) == []


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "--device is 'gpu'; use auto, cpu, cuda or cuda:1"), ("cuda:99", "--device is cuda:99, and torch sees")],
)
def test_devices_that_are_not_there_are_refused(capsys, device, message):
    code, text = refused(capsys, "basic/keypoints", "--device", device)
    assert code == 1
    assert message in text


def test_a_size_is_one_number_or_two(capsys):
    code, text = refused(capsys, "basic/keypoints", "--size", "4by4")
    assert code == 2
    assert "'4by4' is not a size; give rows and columns of the video: 224 or 256x340" in text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_memory_is_what_pytorch_allocated():
    shown = CliRunner().invoke(vidcore, ["benchmark", "basic/keypoints", "--json", "--repeats", "1"])
    (one,) = json.loads(shown.stdout)["measured"]
    assert one["device"].startswith("cuda")
    assert one["peak_memory"] > 4 * one["parameters"]
    assert one["memory"] == "memory PyTorch allocated"
