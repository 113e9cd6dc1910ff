"""The folder of videos: its files, that bytes follow from the seed alone, and what resuming does and refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from vidcore.data.synth import encode, generate_trajectories, render_clip, writer
from vidcore.errors import DataError

SET = {"n": 70, "seed": 4, "frames": 8, "size": 32, "difficulty": "hard"}  # 70 clips are two chunks


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def decode(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).transpose(0, 3, 1, 2), rate


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "set"
    return generate_trajectories(out, **SET), contents(out)


def test_folder_holds_videos_manifest_and_metadata(made):
    report, files = made
    assert sorted(files)[:2] == ["manifest.csv", "metadata.jsonl"]
    assert len(files) == 70 + 3
    with report.manifest.open(newline="") as text:
        rows = list(csv.DictReader(text))
    lines = [json.loads(line) for line in report.metadata.read_text().splitlines()]
    assert [row["video"] for row in rows] == [f"videos/{i:06d}.mp4" for i in range(70)]
    assert [row["label"] for row in rows] == [line["label"] for line in lines]
    assert [line["video"] for line in lines] == [row["video"] for row in rows]
    assert report.per_label == {k: [r["label"] for r in rows].count(k) for k in report.per_label}
    assert sorted(report.per_label.values()) == [17, 17, 18, 18]
    assert (report.clips, report.written, report.reused) == (70, 70, 0)


def test_videos_decode_to_the_clips_made_in_memory(made):
    report, _ = made
    for index in range(0, 70, 13):
        video, rate = decode(report.out / f"videos/{index:06d}.mp4")
        clip, _ = render_clip(4, index, frames=8, size=32, difficulty="hard")
        assert video.shape == clip.shape and rate == 16
        # Chroma is halved, which blurs the colours of patches; brightness keeps its place, and no frame is another's.
        lost = video.astype(int) - clip
        assert np.abs(lost).mean() < 8
        assert np.abs(np.einsum("tchw,c->thw", lost, [0.299, 0.587, 0.114])).mean() < 2.5


@pytest.mark.parametrize("size", [33, 40])
def test_odd_and_even_sizes_keep_size_and_rate(tmp_path, size):
    generate_trajectories(tmp_path / "s", 2, size=size, frames=5, fps=25)
    video, rate = decode(tmp_path / "s/videos/000001.mp4")
    assert video.shape == (5, 3, size, size) and rate == 25


def test_encoding_is_deterministic():
    """Memory in use between two encodings differs, which an encoder that reads what it never wrote would show."""
    clips = [render_clip(4, index)[0] for index in range(12)]
    first = [encode.encode_clip(clip, 16) for clip in clips]
    for fill in (0, 85, 255):
        held = [bytearray([fill]) * (1 << power) for power in range(6, 17)]
        assert [encode.encode_clip(clip, 16) for clip in clips] == first
        del held


def test_bytes_do_not_depend_on_the_number_of_workers(made, tmp_path):
    seen = []
    report = generate_trajectories(tmp_path / "two", **SET, workers=2, progress=lambda *at: seen.append(at))
    assert contents(tmp_path / "two") == made[1]
    assert report.written == 70
    assert seen[-1] == (70, 70) and len(seen) == 2


def test_another_seed_gives_other_videos(made, tmp_path):
    generate_trajectories(tmp_path / "other", **{**SET, "n": 3, "seed": 5})
    assert contents(tmp_path / "other")["videos/000000.mp4"] != made[1]["videos/000000.mp4"]


def test_a_complete_folder_is_left_alone(made):
    report, files = made
    before = (report.out / "videos/000000.mp4").stat().st_mtime_ns
    again = generate_trajectories(report.out, **SET)
    assert (again.written, again.reused) == (0, 70)
    assert (report.out / "videos/000000.mp4").stat().st_mtime_ns == before
    assert contents(report.out) == files


def test_an_interrupted_run_is_resumed_to_the_same_bytes(made, tmp_path, monkeypatch):
    out = tmp_path / "set"
    encoded = []

    def interrupted(frames, fps):
        if len(encoded) == 66:  # in the second chunk
            raise KeyboardInterrupt
        encoded.append(fps)
        return encode.encode_clip(frames, fps)

    monkeypatch.setattr(writer, "encode_clip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_trajectories(out, **SET)
    assert not (out / "manifest.csv").exists()
    monkeypatch.undo()
    (out / "videos/000069.mp4.part").write_bytes(b"half a file")
    (out / "videos/000005.mp4").write_bytes(b"")  # what a power cut may leave of a file just renamed
    report = generate_trajectories(out, **SET)
    assert (report.written, report.reused) == (5, 65)
    assert contents(out) == made[1]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")
def test_a_killed_run_leaves_no_process_and_is_resumed(tmp_path):
    out, tell = tmp_path / "set", tmp_path / "pids"
    script = tmp_path / "make.py"
    script.write_text(
        "import multiprocessing, os, signal, sys\n"
        "from vidcore.data.synth import generate_trajectories\n"
        "def die(done, n):\n"
        "    pids = [str(child.pid) for child in multiprocessing.active_children()]\n"
        "    open(sys.argv[2], 'w').write(' '.join(pids))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__':\n"
        "    generate_trajectories(sys.argv[1], 200, frames=2, size=16, workers=2, progress=die)\n"
    )
    run = subprocess.run([sys.executable, str(script), str(out), str(tell)], timeout=120, check=False)
    assert run.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in tell.read_text().split()]
    assert len(pids) == 2
    give_up = time.monotonic() + 60
    while any(map(runs, pids)) and time.monotonic() < give_up:
        time.sleep(0.05)
    left = [pid for pid in pids if runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left
    report = generate_trajectories(out, 200, frames=2, size=16)
    assert report.reused >= 64 and report.written == 200 - report.reused
    generate_trajectories(tmp_path / "whole", 200, frames=2, size=16)
    assert contents(out) == contents(tmp_path / "whole")


def runs(pid):
    """Whether a process exists and is not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_deleted_video_is_made_again(made, tmp_path):
    out = tmp_path / "set"
    generate_trajectories(out, **SET)
    (out / "videos/000068.mp4").unlink()
    report = generate_trajectories(out, **SET)
    assert report.written == 1
    assert contents(out) == made[1]


def test_a_set_grows_without_its_first_clips_changing(made, tmp_path):
    out = tmp_path / "set"
    generate_trajectories(out, **{**SET, "n": 10})
    report = generate_trajectories(out, **SET)
    assert (report.written, report.reused) == (60, 10)
    assert contents(out) == made[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "made with seed 4, now 9 is asked for"),
        ({"frames": 9}, "made with frames 8, now 9"),
        ({"size": 64}, "made with size 32, now 64"),
        ({"fps": 5}, "made with fps 16, now 5"),
        ({"difficulty": "easy"}, "made with difficulty 'hard', now 'easy'"),
        ({"n": 7}, "holds a set of 70 trajectories, now 7 are asked for\n  give another folder, or -n 70"),
    ],
)
def test_a_folder_made_with_other_parameters_is_refused(made, change, message):
    report, files = made
    with pytest.raises(DataError, match=message):
        generate_trajectories(report.out, **{**SET, **change})
    assert contents(report.out) == files


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds files that are not trajectories"):
        generate_trajectories(tmp_path, 4)
    (tmp_path / "synth.json").write_text("{}")
    with pytest.raises(DataError, match=r"not the record of a trajectory set \(no 'clips'\)"):
        generate_trajectories(tmp_path, 4)
    (tmp_path / "synth.json").write_text('{"clips": 3}')
    with pytest.raises(DataError, match="made with seed None"):
        generate_trajectories(tmp_path, 4)
    (tmp_path / "synth.json").write_text("{")
    with pytest.raises(DataError, match="not the record of a trajectory set"):
        generate_trajectories(tmp_path, 4)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="is a file; trajectories need a folder"):
        generate_trajectories(tmp_path / "out", 4)
    with pytest.raises(DataError, match=r"cannot write trajectories to .*Not a directory"):
        generate_trajectories(tmp_path / "out" / "below", 4)


def test_a_full_disk_is_told_and_keeps_what_is_finished(tmp_path, monkeypatch):
    write = writer._write

    def full(path, content):
        if path.name == "000003.mp4":
            raise OSError(28, os.strerror(28))
        write(path, content)

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(DataError, match="No space left on device\n  free some space and run the same command again"):
        generate_trajectories(tmp_path / "s", 6)
    monkeypatch.undo()
    assert generate_trajectories(tmp_path / "s", 6).reused == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number of at least 1, got 0"),
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"fps": 0}, "fps must be a whole number of at least 1, got 0"),
        ({"frames": 1}, "frames must be a whole number of at least 2"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        generate_trajectories(**{"out": tmp_path / "s", "n": 4, **arguments})
    assert not (tmp_path / "s").exists()


def test_the_manifest_tells_where_the_object_will_be(made):
    report, _ = made
    with report.manifest.open(newline="") as text:
        rows = list(csv.DictReader(text))
    lines = [json.loads(line) for line in report.metadata.read_text().splitlines()]
    for row, line in zip(rows, lines, strict=True):
        ahead = np.array(json.loads(row["future_positions"]))
        assert ahead.shape == (4, 2), "half as many frames as the clip has"
        assert np.allclose(ahead * 32, line["future_positions_pixels"], atol=1e-3)
        seen = np.array(json.loads(row["past_positions"])) * 32
        assert np.allclose(seen, line["image_positions_pixels"][-3:], atol=1e-3)
        assert np.allclose(
            np.array(json.loads(row["last_position"])) * 32, line["image_positions_pixels"][-1], atol=1e-3
        )


def test_a_set_of_an_earlier_version_gets_the_columns_it_lacks(made, tmp_path):
    report, files = made
    out = tmp_path / "set"
    generate_trajectories(out, **SET)
    video = (out / "videos/000000.mp4").stat().st_mtime_ns
    (out / "manifest.csv").write_text("video,label,index\n")
    old = [{k: v for k, v in json.loads(line).items() if k != "future_positions_pixels"} for line in
           report.metadata.read_text().splitlines()]  # fmt: skip
    (out / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert generate_trajectories(out, **SET).written == 0
    assert contents(out) == files
    assert (out / "videos/000000.mp4").stat().st_mtime_ns == video
    # Interrupted, its chunks lack them too.
    (out / "manifest.csv").unlink()
    (out / ".chunks").mkdir()
    (out / ".chunks/000000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old[:64]))
    generate_trajectories(out, **SET)
    assert contents(out) == files
