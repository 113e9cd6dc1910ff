"""A local cluster of two workers, one of which is killed in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import signal
from importlib.util import find_spec

import pytest
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract import extract, extractor_identity
from vidcore.extract.cluster import extract_on_cluster
from vidcore.extract.rows import RowSource
from vidcore.extract.worker import ExtractionJob
from vidcore.store import FeatureStore

# Not importorskip: Ray reads its settings when it is imported, and the engine makes some before.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")

TINY = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_a_killed_worker_costs_nothing_but_time(folder, tmp_path):
    videos = sorted(folder.glob("*.mkv"))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"no video")
    segments = [(video, start) for start in (0.0, 0.1, 0.2) for video in videos]
    rows = [Row(video, start_seconds=start) for video, start in segments]
    source = RowSource(iter([*rows[:7], Row(broken), *rows[7:]]), None)
    job = ExtractionJob((("basic/patch_transformer", TINY),), tmp_path / "store", Sampling("uniform", 4), workers=1)
    killed: list[int] = []

    def kill_once(process: int, _: int) -> None:
        if not killed:
            killed.append(process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    listed = tmp_path / "failures.csv"
    report = extract_on_cluster(source, job, workers=2, rows_per_task=2, on_task=kill_once, failures=listed)
    assert killed
    assert [failure.row for failure in report.failures] == [7]
    assert report.done + report.present == 30, "no clip is missing and none is counted twice"
    assert "broken.mkv" in listed.read_text()

    extractor = job.build()["basic/patch_transformer"]
    store = FeatureStore.open(tmp_path / "store")
    assert len(store.collection(extractor_identity(extractor))) == 30
    again = extract(rows, {"it": extractor}, tmp_path / "store", job.sampling, workers=1)
    assert (again.done, again.present) == (0, 30), "its features are those that one machine looks for"
