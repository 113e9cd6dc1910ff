"""Decoding processes: what comes through, and what a crash or a hang costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import torch
from torch import Tensor
from vidcore.data.clips import read_clip
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract import _decode
from vidcore.extract.decoding import DecodePool

# The real process, but for some names of videos.
TROUBLED = """
import os, signal, sys, time
from vidcore.extract import _decode
send = _decode._send_clip
def troubled(ring, request, nvdec):
    name = request["path"]
    if name.endswith("hang"):
        time.sleep(600)
    if name.endswith("crash"):
        sys.stderr.write("assertion failed in the codec\\n"); sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.endswith("nonsense"):
        print("not JSON", flush=True)
    return send(ring, request, nvdec)
pixels = _decode.VideoReader.pixels
def torn(reader, wanted):
    for number, frame in enumerate(pixels(reader, wanted)):
        if reader.path.name == "torn" and number == 2:
            raise _decode.VideoError(reader.path, "decode", "torn after two frames", "")
        yield frame
_decode.VideoReader.pixels = torn
_decode._send_clip = troubled
_decode.main()
"""


class Job:
    """Keeps what it is given."""

    def __init__(self, path: Path | str, sampling: Sampling, done: Queue[Job], **segment: float) -> None:
        self.request = {
            "path": str(path), "start": segment.get("start"), "end": segment.get("end"),
            "samplings": [asdict(sampling)],
        }  # fmt: skip
        self.header: dict[str, Any] = {}
        self.frames: list[Tensor] = []
        self.failure: tuple[str, str] | None = None
        self.gpu, self.note = False, None
        self._done = done

    def begin(self, header: dict[str, Any]) -> None:
        self.header = header

    def put(self, frames: Tensor) -> None:
        self.frames.append(frames.clone())

    def finish(self, after: Sequence[int], seconds: float, *, gpu: bool, note: str | None) -> None:
        assert list(after) == self.header["file"]
        self.gpu, self.note = gpu, note
        self._done.put(self)

    def fail(self, stage: str, reason: str, seconds: float = 0.0) -> None:
        self.failure = (stage, reason)
        self._done.put(self)


@contextmanager
def pool(workers: int = 1, timeout_seconds: float = 20.0, **options: Any) -> Iterator[DecodePool]:
    errors: list[BaseException] = []
    made = DecodePool(workers, timeout_seconds, errors.append, **options)
    try:
        yield made
    finally:
        made.close()
    assert not errors


def test_frames_are_those_of_the_reader(rows: list[Row]) -> None:
    done: Queue[Job] = Queue()
    sampling = Sampling("uniform", 12)  # more than the videos have: some frames stand twice
    jobs = [Job(row.video, sampling, done) for row in rows]
    with pool(workers=2) as decoders:
        for job in jobs:
            decoders.submit(job)
        for _ in jobs:
            done.get(timeout=30)
    for job, row in zip(jobs, rows, strict=True):
        clip = read_clip(row, sampling)
        assert job.header["clips"][0]["mask"] == clip.mask.tolist()
        assert torch.equal(torch.cat(job.frames)[job.header["clips"][0]["places"]], clip.frames)


def test_a_gpu_decodes_where_it_is_asked_to(tmp_path: Path, make_video: Any, faked_gpu: list[str]) -> None:
    videos = [make_video(tmp_path / f"{seed}.mkv", seed, pix_fmt="yuv420p") for seed in range(4)]
    done: Queue[Job] = Queue()
    jobs = [Job(video, Sampling("uniform", 4), done) for video in videos]
    with pool(gpu=3, command=faked_gpu) as decoders:
        for job in jobs:
            decoders.submit(job)
        for _ in jobs:
            done.get(timeout=30)
    assert all(job.gpu and job.note is None and job.failure is None for job in jobs)
    for job, video in zip(jobs, videos, strict=True):
        assert torch.equal(torch.cat(job.frames), read_clip(video, Sampling("uniform", 4)).frames)


def test_long_clips_of_large_frames_come_in_parts_through_bounded_memory(tmp_path: Path, make_video: Any) -> None:
    small = make_video(tmp_path / "small.mkv", 1, frames=4)
    # Frames larger than a slot after small ones, so that the slots must grow.
    large = make_video(tmp_path / "large.mkv", 2, frames=7, size=(1400, 1000))
    assert _decode.SLOT_BYTES < 1400 * 1000 * 3
    done: Queue[Job] = Queue()
    jobs = [Job(path, Sampling("uniform", 7), done) for path in (small, large, small)]
    with pool() as decoders:
        for job in jobs:
            decoders.submit(job)
        for _ in jobs:
            done.get(timeout=60)
    assert [len(part) for part in jobs[1].frames] == [1] * 7
    assert torch.equal(torch.cat(jobs[1].frames), read_clip(large, Sampling("uniform", 7)).frames)
    assert torch.equal(torch.cat(jobs[2].frames), torch.cat(jobs[0].frames))


def test_failed_clips_give_their_slots_back(rows: list[Row], tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.symlink_to(rows[0].video)
    done: Queue[Job] = Queue()
    jobs = [Job(path, Sampling("uniform", 6), done) for path in [torn] * (2 * _decode.SLOTS) + [rows[0].video]]
    with pool(command=[sys.executable, "-c", TROUBLED]) as decoders:
        for job in jobs:
            decoders.submit(job)
        for _ in jobs:
            done.get(timeout=30)
    assert [job.failure for job in jobs] == [("decode", "torn after two frames")] * (2 * _decode.SLOTS) + [None]


@pytest.mark.parametrize(
    ("trouble", "stage", "reason"),
    [
        ("hang", "timeout", "the decoder said nothing for 1 s"),
        ("crash", "crash", "the decoder's process was ended by SIGSEGV (assertion failed in the codec)"),
        ("nonsense", "crash", "the decoder's process answered nonsense"),
    ],
)
def test_a_decoder_that_hangs_or_crashes_costs_one_clip(trouble: str, stage: str, reason: str, rows: list[Row]) -> None:
    done: Queue[Job] = Queue()
    sampling = Sampling("uniform", 4)
    jobs = [Job(path, sampling, done) for path in (rows[0].video, f"/nowhere/{trouble}", rows[1].video, rows[2].video)]
    with pool(timeout_seconds=1.0 if trouble == "hang" else 20.0, command=[sys.executable, "-c", TROUBLED]) as decoders:
        for job in jobs:
            decoders.submit(job)
        finished = [done.get(timeout=30) for _ in jobs]
    assert finished == jobs
    assert [job.failure for job in jobs] == [None, (stage, reason), None, None]


def test_the_process_does_without_torch() -> None:
    import subprocess

    code = "import vidcore.extract._decode, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
