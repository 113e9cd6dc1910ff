from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image
from vidcore.cli import vidcore


def run(*arguments):
    return CliRunner().invoke(vidcore, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "videos"
    made = run("data", "synth", "trajectories", out, "-n", 8, "--frames", 8, "--size", 32, "--workers", 1)
    assert made.exit_code == 0, made.output
    assert "8 clips" in made.stdout
    assert "circular 2, helical 2, linear 2, parabolic 2" in made.stdout
    return out


def test_synth_goes_on_where_it_stopped(videos):
    again = run("data", "synth", "trajectories", videos, "-n", 8, "--frames", 8, "--size", 32, "--workers", 1)
    assert "(8 were there)" in again.stdout


def test_check_finds_nothing_wrong_with_good_videos(videos):
    shown = run("data", "check", videos, "--frames", 8, "--workers", 1)
    assert shown.exit_code == 0
    assert "8 rows, 8 readable videos" in shown.stdout
    assert "4 classes" in shown.stdout
    assert "nothing wrong found" in shown.stdout


def test_check_lists_each_thing_that_is_wrong(videos, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    good = videos / "videos" / "000000.mp4"
    shutil.copy(good, folder / "a" / "good.mp4")
    shutil.copy(good, folder / "b" / "same.mp4")
    (folder / "a" / "empty.mp4").touch()
    (folder / "b" / "cut.mp4").write_bytes(good.read_bytes()[:700])
    shown = run("data", "check", folder, "--frames", 9, "--workers", 1)
    assert shown.exit_code == 1
    assert "2 cannot be used" in shown.stdout
    assert "the file is empty (0 bytes)" in shown.stdout
    assert "2 too short" in shown.stdout
    assert "8 of 9 frames" in shown.stdout
    assert "1 there more than once (same bytes)" in shown.stdout
    assert "with different labels or splits: a, b" in shown.stdout
    report = json.loads(run("data", "check", folder, "--json", "--workers", 1).stdout)
    assert len(report["failures"]) == 2


def test_show_draws_a_sheet_and_names_what_it_left_out(videos, tmp_path):
    sheet = tmp_path / "sheet.png"
    shown = run("data", "show", videos, "-n", 3, "--out", sheet)
    assert shown.exit_code == 0
    assert "3 of 8 clips" in shown.stdout
    assert Image.open(sheet).width > 6 * 32
    folder = tmp_path / "bad" / "a"
    folder.mkdir(parents=True)
    (folder / "junk.mp4").write_bytes(b"not a video" * 100)
    bad = run("data", "show", folder.parent, "--out", tmp_path / "none.png")
    assert bad.exit_code == 1
    assert "junk.mp4: cannot open the video" in bad.stderr
    assert not (tmp_path / "none.png").exists()


def test_limits_reach_the_processes_that_decode(videos, monkeypatch):
    monkeypatch.setenv("VIDCORE_MAX_FRAME_PIXELS", "1")  # restored after the test, whatever the command sets
    shown = run("--max-frame-pixels", 1023, "data", "check", videos, "--frames", 8, "--workers", 1)
    assert shown.exit_code == 1
    assert "8 cannot be used" in shown.stdout
    assert "its frames are 32x32" in shown.stdout
    assert run("--max-frame-pixels", 1024, "data", "check", videos, "--frames", 8, "--workers", 1).exit_code == 0
