"""Several processes at once, and processes that are killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract import clip_key, extract, extractor_identity
from vidcore.store import FeatureStore

SAMPLING = Sampling("uniform", 4)
# Children inherit what is imported: nothing of torch's threads has run here (conftest keeps it at one).
fork = multiprocessing.get_context("fork")


@pytest.fixture
def many(tmp_path: Path, make_video: Any) -> list[Row]:
    return [Row(make_video(tmp_path / "videos" / f"{n:03}.mkv", n, frames=4, size=(16, 16))) for n in range(120)]


def encode(rows: list[Row], store: Path, stub: Any, log: Path, pause: float) -> None:
    def note(clip: Tensor) -> None:
        # Every clip that any process encodes leaves a line, named by its content.
        with log.open("a") as file:
            file.writelines(f"{os.getpid()} {hashlib.sha256(one.numpy().tobytes()).hexdigest()}\n" for one in clip)
        time.sleep(pause)

    extract(rows, {"s": stub(note)}, store, SAMPLING, workers=1, batch_size=1)


def test_four_processes_share_the_work(many: list[Row], tmp_path: Path, stub: Any) -> None:
    store, log = tmp_path / "store", tmp_path / "log.txt"
    FeatureStore.open(store, write=True)
    processes = [fork.Process(target=encode, args=(many, store, stub, log, 0.02)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    lines = [line.split() for line in log.read_text().splitlines()]
    clips = Counter(value for _, value in lines)
    assert len(clips) == 120, "no clip is missing"
    assert set(clips.values()) == {1}, "no clip is computed twice"
    assert len({pid for pid, _ in lines}) > 1, "the work was shared"
    found = FeatureStore.open(store).collection(extractor_identity(stub()))
    assert not found.missing([clip_key(row, SAMPLING, None) for row in many])


def test_a_killed_process_loses_nothing_that_was_finished(many: list[Row], tmp_path: Path, stub: Any) -> None:
    store, log = tmp_path / "store", tmp_path / "log.txt"
    FeatureStore.open(store, write=True)
    rows = many[:40]
    child = fork.Process(target=encode, args=(rows, store, stub, log, 0.05))
    child.start()
    identity = extractor_identity(stub())
    deadline = time.monotonic() + 60
    while len(FeatureStore.open(store).collection(identity)) < 8 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    kept = len(FeatureStore.open(store).collection(identity))
    before = len(log.read_text().splitlines())
    assert 8 <= kept < 40
    report = extract(rows, {"s": stub()}, store, SAMPLING, workers=1)
    assert report.present == kept, "what was finished is not done again"
    assert report.done == 40 - kept
    # At most the clips under way are lost: those that were being encoded or written.
    assert before - kept <= 4
    assert not FeatureStore.open(store).collection(identity).missing([clip_key(row, SAMPLING, None) for row in rows])


def test_the_work_of_a_process_that_dies_is_done_by_the_others(many: list[Row], tmp_path: Path, stub: Any) -> None:
    store, log = tmp_path / "store", tmp_path / "log.txt"
    FeatureStore.open(store, write=True)
    rows = many[:64]
    victim = fork.Process(target=encode, args=(rows, store, stub, log, 0.2))
    victim.start()
    identity = extractor_identity(stub())
    deadline = time.monotonic() + 60
    while not len(FeatureStore.open(store).collection(identity)) and time.monotonic() < deadline:
        time.sleep(0.02)
    other = fork.Process(target=encode, args=(rows, store, stub, log, 0.0))
    other.start()
    time.sleep(0.5)
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join()
    other.join(60)
    assert other.exitcode == 0
    found = FeatureStore.open(store).collection(identity)
    assert not found.missing([clip_key(row, SAMPLING, None) for row in rows])
