from __future__ import annotations

import re

import pytest
import torch
from click.testing import CliRunner
from vidcore.analysis import evaluate, write_report
from vidcore.cli import vidcore
from vidcore.data.clips import read_clip
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError, DataError, RunError
from vidcore.training import load

STREAM = "basic/patch_transformer"


def test_the_test_split_gives_the_results_of_the_run(finished_run):
    found = evaluate(finished_run.root, workers=0).as_dict()
    stored = finished_run.read_results()["test"]
    assert found["per_class"] == stored["per_class"]
    assert found["scores"]["ece"]["value"] == pytest.approx(stored["scores"]["ece"]["value"], abs=1e-5)


def test_another_split_and_other_data(finished_run, brightness):
    train = evaluate(finished_run.root, split="train", workers=0)
    assert train.judged["clips"] == sum(row.split == "train" for row in read_source(finished_run.split))
    everything = evaluate(finished_run.root, data=str(brightness), workers=0)
    assert everything.judged["clips"] == 36
    assert everything.source == str(brightness)


def test_mistakes_are_the_most_confident_wrong_answers(finished_run, brightness, tmp_path):
    # Bright videos that claim to be dark: every answer is a mistake.
    rows = [Row(row.video, "dark") for row in read_source(brightness) if row.label == "bright"]
    write_manifest(rows, tmp_path / "wrong.csv")
    found = evaluate(finished_run.root, data=str(tmp_path / "wrong.csv"), workers=0)
    assert found.judged["scores"]["accuracy"]["value"] == 0.0
    assert len(found.mistakes) == 12
    sure = [mistake["probability"] for mistake in found.mistakes]
    assert sure == sorted(sure, reverse=True)
    assert {mistake["label"] for mistake in found.mistakes} == {"dark"}


def test_labels_the_model_does_not_know(finished_run, brightness, tmp_path):
    rows = [Row(row.video, "violet") for row in read_source(brightness)][:3]
    write_manifest(rows, tmp_path / "other.csv")
    with pytest.raises(DataError, match=r"1 labels that the model does not know: 'violet' \(3 rows\); its classes are"):
        evaluate(finished_run.root, data=str(tmp_path / "other.csv"), workers=0)


def test_bad_videos_stop_or_are_listed(finished_run, brightness, tmp_path):
    (tmp_path / "bad.mkv").write_bytes(b"junk")
    rows = [Row(row.video, row.label) for row in read_source(brightness)][:3]
    write_manifest([*rows, Row(tmp_path / "bad.mkv", "dark")], tmp_path / "some.csv")
    with pytest.raises(DataError, match="1 of 4 rows cannot be used"):
        evaluate(finished_run.root, data=str(tmp_path / "some.csv"), workers=0)
    found = evaluate(finished_run.root, data=str(tmp_path / "some.csv"), skip_bad=True, workers=0)
    assert found.judged["clips"] == 3
    assert found.skipped[0]["video"].endswith("bad.mkv")


def test_no_such_split(finished_run, brightness):
    with pytest.raises(RunError, match="has no row whose split is 'val'; leave --split away"):
        evaluate(finished_run.root, data=str(brightness), split="val")


def test_the_report_holds_everything_and_needs_no_other_file(finished_run):
    page = write_report(finished_run).read_text()
    results = finished_run.read_results()
    assert f"{results['test']['scores']['accuracy']['value']:.4f}" in page
    assert page.count("<svg") == 3
    assert "random" in page and "patch_transformer" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    for name in ("bright", "dark", "grey"):
        assert f"<td>{name}</td>" in page
    finished_run.report.unlink()


def test_a_class_name_cannot_inject_markup(tmp_path, tiny_config, brightness):
    from vidcore.training import train

    rows = [
        Row(row.video, "<script>x</script>" if row.label == "dark" else row.label) for row in read_source(brightness)
    ]
    write_manifest(rows, tmp_path / "odd.csv")
    run = train(tiny_config(data={"source": str(tmp_path / "odd.csv")}, train={"epochs": 1}))
    page = write_report(run).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_several_views_are_answered_by_their_mean(finished_run, brightness, tmp_path):
    rows = [Row(row.video, "dark") for row in read_source(brightness) if row.label != "dark"][8:16]
    write_manifest(rows, tmp_path / "wrong.csv")
    model = load(finished_run.root, device="cpu")
    found = evaluate(finished_run.root, data=str(tmp_path / "wrong.csv"), clips=2, crops=3, workers=0)
    # Clip j of 2 takes the frames (i + (2 j + 1) / 4) 6 / 4; the videos are as small as a crop.
    expected = {}
    with torch.inference_mode():
        for row in rows:
            video = read_clip(row, Sampling("dense", 6)).frames
            looks = torch.stack([video[[0, 1, 3, 4]], video[[1, 2, 4, 5]]])
            single = [model.model({STREAM: look[None]}, torch.ones(1, 4, dtype=torch.bool)) for look in looks]
            expected[str(row.video)] = torch.cat([model.model.head.predictions(s) for s in single]).mean(0)
    assert found.judged["clips"] == len(rows) == 8
    assert len(found.mistakes) == 8
    for mistake in found.mistakes:
        mean = expected[mistake["video"]]
        assert mistake["answer"] == model.classes[int(mean.argmax())]
        assert mistake["probability"] == pytest.approx(float(mean.max()), abs=1e-5)
    assert found.as_dict()["views"] == {"clips": 2, "crops": 3}


def test_the_command_averages_over_clips(finished_run):
    done = CliRunner().invoke(vidcore, ["evaluate", str(finished_run.root), "--clips", "2", "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert "test split of the run, 2 clips x 1 crops of each" in done.output


def test_views_of_which_there_are_none(finished_run):
    with pytest.raises(ConfigError, match="crops is 0; it must be at least 1"):
        evaluate(finished_run.root, crops=0)
