"""Batches, the gate, chunks, the list of failures, views and records, each by itself."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
import torch
from vidcore.catalog import ClipFormat
from vidcore.data.manifest import Row, write_manifest
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError, ManifestError, StoreError
from vidcore.extract import writing
from vidcore.extract.batching import BatchQueue, BatchSizer, Gate
from vidcore.extract.failures import FailedRow, FailureFile
from vidcore.extract.lanes import out_of_memory
from vidcore.extract.plan import PlannedChunk, cut_chunks
from vidcore.extract.progress import Meter
from vidcore.extract.records import BadFeatures, make_records, reduce_map
from vidcore.extract.rows import open_rows
from vidcore.extract.views import ViewBuilder, Views
from vidcore.extract.worker import chosen_device
from vidcore.extract.writing import ChunkLedger, StoreWriter
from vidcore.features import FeatureMap
from vidcore.preprocess import fit_frames

RULE, OTHER = Sampling("uniform", 4), Sampling("uniform", 2)


class TestBatchSizer:
    def feed(self, sizer: BatchSizer, seconds_of: dict[int, float], batches: int = 100) -> None:
        for _ in range(batches):
            sizer.record(sizer.target, seconds_of[sizer.target])

    def test_it_grows_while_clips_a_second_grow(self) -> None:
        sizer = BatchSizer(None, start=1, ceiling=64)
        self.feed(sizer, {1: 1.0, 2: 1.2, 4: 1.5, 8: 2.9, 16: 6.0})
        assert sizer.target == 4

    def test_it_stops_at_the_ceiling(self) -> None:
        sizer = BatchSizer(None, start=1, ceiling=4)
        self.feed(sizer, dict.fromkeys((1, 2, 4), 1.0))
        assert sizer.target == 4

    def test_batches_that_are_not_full_tell_nothing(self) -> None:
        sizer = BatchSizer(None, start=4, ceiling=64)
        for _ in range(20):
            sizer.record(3, 0.001)
        assert sizer.target == 4

    def test_the_first_batch_of_a_size_does_not_count(self) -> None:
        sizer = BatchSizer(None, start=1, ceiling=2)
        for seconds in (1.0, 1.0, 1.0, 1.0, 100.0, 1.0, 1.0, 1.0):
            sizer.record(sizer.target, seconds)
        assert sizer.target == 2

    def test_it_never_goes_above_what_ran_out_of_memory(self) -> None:
        sizer = BatchSizer(None, start=8, ceiling=64)
        assert sizer.shrink(8) == 4
        self.feed(sizer, {4: 0.001})
        assert sizer.target == 4
        assert sizer.shrink(1) == 1

    def test_a_size_that_was_asked_for_stays(self) -> None:
        sizer = BatchSizer(3, start=1, ceiling=8)
        self.feed(sizer, {3: 1.0})
        assert sizer.target == 3


def test_batches_hold_clips_of_one_shape_for_one_extractor_oldest_first() -> None:
    sizers = {name: BatchSizer(2, start=1, ceiling=2) for name in "ab"}
    queue: BatchQueue[int] = BatchQueue(sizers, 100.0)
    for clip, (name, shape) in enumerate([("a", 1), ("b", 1), ("a", 2), ("a", 1), ("b", 1), ("a", 1)]):
        queue.put(name, shape, clip)
    assert queue.take() == ("a", [0, 3])
    assert queue.take() == ("b", [1, 4])
    queue.close()
    assert queue.take() == ("a", [2])
    assert queue.take() == ("a", [5])
    assert queue.take() is None


def test_a_batch_that_is_not_full_waits_only_so_long() -> None:
    queue: BatchQueue[int] = BatchQueue({"a": BatchSizer(8, start=1, ceiling=8)}, 0.05)
    queue.put("a", 0, 1)
    began = time.monotonic()
    assert queue.take() == ("a", [1])
    assert time.monotonic() - began >= 0.04


def test_the_gate_bounds_what_is_inside() -> None:
    gate = Gate(2)
    assert gate.enter() and gate.enter()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(gate.enter()))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    gate.leave()
    thread.join(5)
    assert answers == [True]
    gate.stop()
    assert not gate.enter()


def rows_without_end() -> itertools.repeat[Row]:
    return itertools.repeat(Row(Path("a.mp4")))


def test_chunks_are_cut_from_a_stream_without_end() -> None:
    chunks = list(itertools.islice(cut_chunks(rows_without_end()), 200))
    sizes = [len(chunk.rows) for chunk in chunks]
    assert (sizes[0], sizes[31], sizes[32], sizes[-1]) == (16, 16, 64, 256)
    numbers = [number for chunk in chunks for number, _ in chunk.rows]
    assert numbers == list(range(len(numbers)))
    sharded = next(cut_chunks(rows_without_end(), (2, 5)))
    assert [number for number, _ in sharded.rows] == list(range(2, 80, 5))
    assert list(cut_chunks([])) == []


def test_a_chunk_has_one_name_wherever_the_disk_is_mounted(tmp_path: Path) -> None:
    for mount in "ab":
        (tmp_path / mount).mkdir()
        (tmp_path / mount / "v.mp4").write_bytes(b"12345")
    here, there = (next(cut_chunks([Row(tmp_path / mount / "v.mp4")])) for mount in "ab")
    assert here.digest() == there.digest()
    (tmp_path / "b" / "v.mp4").write_bytes(b"123456")
    assert here.digest() != there.digest()


class TestFailureFile:
    def test_rows_that_were_looked_at_lose_their_old_lines(self, tmp_path: Path) -> None:
        file = FailureFile(tmp_path / "f.csv")
        failed = [FailedRow(tmp_path / f"{n}.mp4", n, "decode", 'bad, "very"\nbad') for n in (1, 3, 9)]
        file.update(set(), failed, None)
        assert file.read() == failed
        file.update({1, 2}, [FailedRow(tmp_path / "2.mp4", 2, "open", "gone")], None)
        assert [row.row for row in file.read()] == [2, 3, 9]
        file.update(set(), [], 5)
        assert [row.row for row in file.read()] == [2, 3]
        assert file.path.read_text().startswith("path,row,stage,reason\n")

    def test_a_list_without_lines_is_no_file(self, tmp_path: Path) -> None:
        file = FailureFile(tmp_path / "f.csv")
        file.update(set(), [FailedRow(tmp_path / "1.mp4", 1, "open", "gone")], None)
        file.update({1}, [], None)
        assert not file.path.exists()

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="cannot write"):
            FailureFile(tmp_path / "file" / "f.csv").update(set(), [FailedRow(tmp_path, 1, "open", "gone")], None)


class TestViews:
    def test_extractors_of_one_geometry_share_a_view(self) -> None:
        small = ClipFormat(size=(16, 16), mean=(0.5,))
        three = {"a": small, "b": ClipFormat(size=(16, 16), std=(2.0,)), "c": ClipFormat(size=(8, 8))}
        views = Views(three, dict.fromkeys("abc", RULE), None)
        assert len(views.needed(["a", "b", "c"])) == 2
        # Same size, reached by another way.
        other = Views({"a": small, "d": ClipFormat(size=(16, 16), resize_to=(20, 24))}, dict.fromkeys("ad", RULE), None)
        assert len(other.needed(["a", "d"])) == 2

    def test_frames_in_parts_are_the_frames_at_once(self) -> None:
        frames = torch.randint(0, 256, (7, 3, 40, 30), dtype=torch.uint8)
        form = ClipFormat(size=(16, 16))
        views = Views({"a": form}, {"a": RULE}, None)
        places = [0, 1, 2, 3, 4, 5, 6, 6, 6]
        builder = ViewBuilder(views, views.needed(["a"]), {RULE: places})
        for part in frames.split([3, 1, 3]):
            builder.put(part)
        (view,) = builder.finish().values()
        assert torch.equal(view, fit_frames(frames, form)[places])

    def test_extractors_of_other_pace_get_their_own_frames_of_one_pass(self) -> None:
        frames = torch.randint(0, 256, (7, 3, 40, 30), dtype=torch.uint8)
        small, large = ClipFormat(size=(16, 16)), ClipFormat(size=(24, 24))
        rules = {"a": RULE, "b": OTHER, "c": OTHER}
        views = Views({"a": small, "b": small, "c": large}, rules, None)
        builder = ViewBuilder(views, views.needed("abc"), {RULE: [0, 2, 4, 6], OTHER: [1, 6, 6]})
        for part in frames.split([2, 4, 1]):
            builder.put(part)
        found = builder.finish()
        assert torch.equal(found[views.of["a"]], fit_frames(frames, small)[[0, 2, 4, 6]])
        assert torch.equal(found[views.of["b"]], fit_frames(frames, small)[[1, 6, 6]])
        assert torch.equal(found[views.of["c"]], fit_frames(frames, large)[[1, 6, 6]])


class TestRecords:
    def test_a_pooled_map_is_the_mean_of_its_real_steps(self) -> None:
        data = torch.arange(12.0).reshape(1, 1, 3, 2, 2)
        fmap = FeatureMap(data, torch.tensor([1.0, 3.0, 5.0]), torch.tensor([[True, True, False]]))
        pooled = reduce_map(fmap, "pooled")
        assert pooled.data.flatten().tolist() == [3.5]
        assert pooled.times.tolist() == [[2.0]]
        assert pooled.mask is not None and pooled.mask.tolist() == [[True]]

    def test_only_the_clip_that_is_not_finite_is_refused(self) -> None:
        data = torch.ones(3, 2, 1, 1, 1)
        data[1, 0] = torch.inf
        data[2, 1] = 7e4
        records = make_records({"f": FeatureMap(data, torch.zeros(1))}, 3, "map", "float16")
        assert not isinstance(records[0], BadFeatures)
        assert records[0]["f"].data.dtype.name == "float16"
        assert records[1] == BadFeatures("its features are not finite (NaN or infinity)")
        assert records[2] == BadFeatures("its features do not fit float16: store them with dtype float32")


def test_only_a_true_lack_of_memory_is_one() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("illegal memory access"))
    assert not out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))


def test_the_meter_tells_shares_and_the_time_left() -> None:
    meter = Meter(total=10)
    meter.start_clips()
    assert meter.snapshot().eta_seconds is None
    meter.count("done", 2)
    meter.count("present", 3)
    meter.spend("decode", 3.0)
    meter.spend("model", 1.0)
    now = meter.snapshot()
    assert now.seen == 5
    assert now.shares == {"decode": 0.75, "fit": 0.0, "model": 0.25, "write": 0.0}
    assert now.eta_seconds == pytest.approx(now.seconds * 5 / 2)


def test_a_manifest_is_streamed_and_counted(tmp_path: Path, folder: Path) -> None:
    videos = [Row(path, label="x") for path in sorted(folder.iterdir())]
    for name in ("m.csv", "m.jsonl"):
        write_manifest(videos, tmp_path / name)
        source = open_rows(str(tmp_path / name))
        assert source.total == 10
        assert not isinstance(source.rows, (list, tuple))
        assert [row.video.name for row in source.rows] == [row.video.name for row in videos]
    assert open_rows(str(folder)).total == 10
    (tmp_path / "empty.csv").write_text("video,label\n")
    with pytest.raises(ManifestError, match="the manifest has no rows"):
        open_rows(str(tmp_path / "empty.csv"))
    with pytest.raises(ManifestError, match="nowhere"):
        open_rows("nowhere/at_all.csv")


def test_rows_that_were_looked_at_are_not_remembered_by_the_million(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    class List:
        def update(self, looked_at: set[int], failed: list[FailedRow], total: int | None) -> None:
            told.append(len(looked_at))

    monkeypatch.setattr(writing, "_MOST_LOOKED_AT", 100)
    writer = StoreWriter(
        lambda name: pytest.fail("nothing is written"), several=False, gate=Gate(1), ledger=ChunkLedger(print),
        meter=Meter(), failures=List(), on_error=pytest.fail,
    )  # type: ignore[arg-type]  # fmt: skip
    for chunk in cut_chunks(itertools.islice(rows_without_end(), 256)):
        writer.settle(PlannedChunk(chunk, [], [number for number, _ in chunk.rows], []))
    assert told == [112, 112]


def test_a_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert chosen_device("auto") == torch.device("cuda:0")
    monkeypatch.setenv("SLURM_LOCALID", "6")
    assert chosen_device("auto") == torch.device("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert chosen_device("auto") == torch.device("cuda:3")
    assert chosen_device("cpu") == torch.device("cpu")


def test_devices() -> None:
    assert chosen_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="unknown device 'gpu'; use auto, cpu, cuda or cuda:1"):
        chosen_device("gpu")
    with pytest.raises(ConfigError, match=r"device 'cuda:99': torch sees \d+ GPUs here"):
        chosen_device("cuda:99")
