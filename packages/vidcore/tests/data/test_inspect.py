"""The pass that decodes everything, and the processes it can afford to lose."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from vidcore.data._examine import examine
from vidcore.data._workers import answers
from vidcore.data.inspect import inspect_source
from vidcore.data.manifest import Row
from vidcore.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("inspected")
    encode(folder / "a.mp4", "libx264", frames=20, fps=10)
    shutil.copy(folder / "a.mp4", folder / "twin.mp4")
    encode(folder / "b.mkv", "ffv1", frames=6, size=(32, 48), pix_fmt="gray", fps=5)
    (folder / "empty.mp4").touch()
    with av.open(str(folder / "a.mp4")) as container:
        place, size = next((p.pos, p.size) for p in list(container.demux(video=0))[1:] if p.is_keyframe)
    data = bytearray((folder / "a.mp4").read_bytes())
    data[place + 5 : place + size] = bytes(size - 5)
    (folder / "damaged.mp4").write_bytes(data)
    return folder


def _rows(folder: Path) -> list[Row]:
    return [
        Row(folder / "a.mp4", "run", "train"),
        Row(folder / "twin.mp4", "jump", "test"),
        Row(folder / "b.mkv", "run", "test"),
        Row(folder / "empty.mp4", "run"),
        Row(folder / "damaged.mp4", "jump"),
        Row(folder / "b.mkv", "jump", start_seconds=5.0),
        Row(folder / "a.mp4", "jump", start_seconds=1.0, end_seconds=1.5),
    ]


def test_everything_that_is_wrong_is_reported(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = inspect_source(_rows(folder), workers=2, frames=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)], "each file once, not each row"
    assert report.rows == 7
    assert [(f.path.name, f.stage, f.rows) for f in report.failures] == [
        ("empty.mp4", "open", (3,)),
        ("damaged.mp4", "decode", (4,)),
    ]
    assert [(s.row, s.path.name, s.frames, s.wanted) for s in report.short] == [
        (2, "b.mkv", 6, 8),
        (5, "b.mkv", 0, 8),
        (6, "a.mp4", 5, 8),
    ]
    (twins,) = report.duplicates
    assert [path.name for path in twins.paths] == ["a.mp4", "twin.mp4"]
    assert (twins.labels, twins.splits, twins.conflicts) == (("jump", "run"), ("test", "train"), True)
    assert report.classes == {"jump": 4, "run": 3}
    assert report.split_classes == {"train": {"run": 1}, "test": {"jump": 1, "run": 1}}
    assert report.ranges() == {
        "width": (32, 64), "height": (48, 48), "fps": (5, 10), "frames": (6, 20), "duration_seconds": (1.2, 2.0),
    }  # fmt: skip
    assert report.to_dict()["failures"][0]["reason"] == "the file is empty (0 bytes)"
    assert report.to_dict()["codecs"] == {"h264": 2, "ffv1": 1}

    assert report.bad_rows() == [3, 4, 5]
    assert not report.ok
    with pytest.raises(DataError) as caught:
        report.raise_for_failures()
    message = str(caught.value)
    assert message.startswith("3 of 7 rows cannot be used:\n")
    for name in ("empty.mp4: open: the file is empty", "damaged.mp4: decode:", "b.mkv: its segment (row 5) holds no"):
        assert name in message
    assert message.endswith("--on-error skip")


def test_a_sound_source_passes(folder: Path) -> None:
    report = inspect_source([Row(folder / "a.mp4", "run"), Row(folder / "b.mkv", "run")], workers=1)
    assert report.ok
    assert [video.path.name for video in report.videos] == ["a.mp4", "b.mkv"]
    report.raise_for_failures()


def test_without_decoding_only_the_packets_are_judged(folder: Path) -> None:
    assert "reason" in examine(folder / "damaged.mp4", [], decode=True)
    assert examine(folder / "damaged.mp4", [], decode=False)["info"]["frames"] == 20
    assert examine(folder / "empty.mp4", [], decode=False)["reason"] == "the file is empty (0 bytes)"
    assert examine(folder / "gone.mp4", [], decode=False)["reason"] == "No such file or directory"


def test_examining_does_not_import_torch() -> None:
    code = "import sys, vidcore.data._examine; sys.exit('torch' in sys.modules)"
    ((_, answer),) = answers([sys.executable, "-c", code], [{}], workers=1, timeout_seconds=60)
    assert answer["reason"] == "the decoder's process ended with exit code 0"


# A stand-in for the examining process that does to itself what its request says.
STAND_IN = """
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    match request["do"]:
        case "crash": os.abort()
        case "exit": sys.exit("no module named cv9")
        case "hang": time.sleep(600)
        case "rubbish": print("not JSON", flush=True); continue
        case "work":
            for step in range(8):
                print(json.dumps({"working": step}), flush=True); time.sleep(0.25)
    print(json.dumps({"did": request["do"], "pid": os.getpid()}), flush=True)
"""


def test_processes_that_die_or_hang_cost_only_their_request() -> None:
    deeds = ["ok", "crash", "ok", "hang", "exit", "rubbish", "work", "ok"]
    found = dict(
        answers([sys.executable, "-c", STAND_IN], [{"do": deed} for deed in deeds], workers=2, timeout_seconds=1.5)
    )
    assert sorted(found) == list(range(8))
    assert [found[i].get("did") for i in range(8)] == ["ok", None, "ok", None, None, None, "work", "ok"]
    assert found[1] == {"stage": "crash", "reason": "the decoder's process was ended by SIGABRT"}
    assert found[3] == {"stage": "timeout", "reason": "the decoder said nothing for 1.5 s"}
    assert found[4] == {
        "stage": "crash",
        "reason": "the decoder's process ended with exit code 1 (no module named cv9)",
    }
    assert found[5]["stage"] == "crash"


def test_leaving_early_ends_the_processes() -> None:
    every = answers([sys.executable, "-c", STAND_IN], [{"do": "ok"}, {"do": "hang"}], workers=1, timeout_seconds=600)
    _, first = next(every)
    every.close()
    assert not Path(f"/proc/{first['pid']}/cmdline").exists()


def test_a_command_that_cannot_start_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        list(answers(["no-such-command-anywhere"], [{}], workers=1, timeout_seconds=1))
