"""The worker that is called with one chunk of rows after another."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract import ChunkWorker, ExtractionJob, FailedRow
from vidcore.store import FeatureStore


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ChunkWorker]:
    job = ExtractionJob(
        (("basic/naive_cnn", {"width": 16}), ("basic/naive_cnn", {"width": 8})),
        tmp_path / "store",
        Sampling("uniform", 4),
        workers=1,
        device="cpu",
    )
    made = ChunkWorker(pickle.loads(pickle.dumps(job)))
    yield made
    made.close()


def test_chunks_one_after_another(worker: ChunkWorker, rows: list[Row], tmp_path: Path) -> None:
    gone = Row(tmp_path / "gone.mkv")
    first = worker([(100 + n, row) for n, row in enumerate(rows[:4])])
    assert (first.done, first.present, first.failures) == (4, 0, ())
    second = worker([(7, rows[3]), (8, gone), (9, rows[5])])
    assert second.failures == (FailedRow(gone.video, 8, "open", "No such file or directory"),)
    assert second.done + second.present == 2
    worker.close()
    stored = FeatureStore.open(tmp_path / "store").collections()
    assert [len(collection) for collection in stored] == [5, 5], "two extractors of one name and other options"


def test_a_chunk_may_be_given_again(worker: ChunkWorker, rows: list[Row], tmp_path: Path) -> None:
    worker(list(enumerate(rows[:3])))
    again = worker(list(enumerate(rows[:3])))
    assert (again.done, again.present) == (0, 3)
