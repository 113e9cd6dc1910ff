"""What the engine computes, what it leaves alone, and what it does about trouble."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from vidcore.data.clips import read_clip
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError, ExtractionError, StoreError
from vidcore.extract import ClipKeys, clip_key, extractor_identity, key_size
from vidcore.extract import engine as engine_module
from vidcore.extract.decoding import DecodePool
from vidcore.extract.engine import Engine
from vidcore.extract.failures import FailureFile
from vidcore.extractors import Extractor
from vidcore.store import Collection, FeatureStore, Writer

SAMPLING = Sampling("uniform", 4)
Run = Callable[..., Any]


def collection(store: Path, extractor: Extractor, **options: Any) -> Collection:
    return FeatureStore.open(store).collection(extractor_identity(extractor, **options))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are sent to the decoding processes."""
    names: list[str] = []
    submit = DecodePool.submit

    def spy(self: DecodePool, job: Any) -> None:
        names.append(Path(job.request["path"]).name)
        submit(self, job)

    monkeypatch.setattr(DecodePool, "submit", spy)
    return names


def test_features_are_those_of_the_extractor_on_the_same_clip(
    rows: list[Row], tiny: dict[str, Extractor], run: Run, tmp_path: Path
) -> None:
    report = run(rows, tiny)
    assert (report.done, report.present, report.ok) == (10, 0, True)
    for extractor in tiny.values():
        stored = collection(tmp_path / "store", extractor).read([clip_key(row, SAMPLING, None) for row in rows])
        for place, row in enumerate(rows):
            clip = read_clip(row, SAMPLING)
            with torch.inference_mode():
                expected = extractor.features(clip.frames[None], clip.mask[None], clip.times[None])[
                    extractor.output_names[0]
                ]
            torch.testing.assert_close(stored.data[place], expected.data[0], rtol=1e-5, atol=1e-5)
            # One row of times where all clips have the same, else one per clip.
            times = stored.times.expand(len(rows), -1)
            torch.testing.assert_close(times[place], expected.times.flatten())


def test_each_video_is_decoded_once_for_all_extractors(
    rows: list[Row], tiny: dict[str, Extractor], run: Run, decoded: list[str]
) -> None:
    run(rows, tiny)
    assert sorted(decoded) == [row.video.name for row in rows]


def test_a_second_run_does_nothing(rows: list[Row], tiny: dict[str, Extractor], run: Run, decoded: list[str]) -> None:
    run(rows, tiny)
    decoded.clear()
    report = run(rows, tiny)
    assert (report.done, report.present, decoded) == (0, 10, [])


def test_only_the_extractor_that_lacks_a_clip_sees_it(rows: list[Row], stub: Any, run: Run, decoded: list[str]) -> None:
    seen: dict[str, int] = {"a": 0, "b": 0}

    def counting(name: str) -> Callable[[Tensor], None]:
        def count(clip: Tensor) -> None:
            seen[name] += len(clip)

        return count

    a, b = stub(counting("a"), "test/a"), stub(counting("b"), "test/b")
    run(rows[:4], {"a": a})
    decoded.clear()
    report = run(rows[:6], {"a": a, "b": b})
    assert report.done == 6
    assert seen == {"a": 6, "b": 6}
    assert len(decoded) == 6


def test_a_changed_file_misses_and_a_renamed_one_hits(
    tmp_path: Path, make_video: Any, stub: Any, run: Run, decoded: list[str]
) -> None:
    first, second = make_video(tmp_path / "a.mkv", 1), make_video(tmp_path / "b.mkv", 2)
    run([Row(first), Row(second)], {"s": stub()})
    moved = tmp_path / "elsewhere" / "c.mkv"
    moved.parent.mkdir()
    first.rename(moved)
    make_video(second, 3)
    decoded.clear()
    report = run([Row(moved), Row(second)], {"s": stub()})
    assert (report.present, report.done, decoded) == (1, 1, ["b.mkv"])


def test_other_weights_miss(rows: list[Row], stub: Any, run: Run) -> None:
    run(rows[:2], {"s": stub()})
    other = stub()
    torch.nn.init.constant_(other.gain, 2.0)
    assert run(rows[:2], {"s": other}).done == 2


def test_one_clip_in_two_rows_is_decoded_once_and_counts_twice(
    rows: list[Row], stub: Any, run: Run, tmp_path: Path, decoded: list[str]
) -> None:
    copy = tmp_path / "copy.mkv"
    shutil.copy(rows[0].video, copy)
    report = run([rows[0], Row(copy)], {"s": stub()})
    assert (report.done, len(decoded)) == (2, 1)


def test_segments_of_one_video_are_clips_of_their_own(rows: list[Row], stub: Any, run: Run, tmp_path: Path) -> None:
    video = rows[2].video  # 8 frames at 10 a second
    parts = [Row(video, start_seconds=0.0, end_seconds=0.4), Row(video, start_seconds=0.4)]
    run(parts, {"s": stub()})
    keys = [clip_key(part, SAMPLING, None) for part in parts]
    stored = collection(tmp_path / "store", stub()).read(keys).data[:, :, :, 0, 0]
    for part, features in zip(parts, stored, strict=True):
        clip = read_clip(part, SAMPLING)
        with torch.inference_mode():
            torch.testing.assert_close(features, stub().features(clip.frames[None])["colour"].data[0, :, :, 0, 0])


def test_padding_of_a_short_video_is_masked(tmp_path: Path, make_video: Any, stub: Any, run: Run) -> None:
    row = Row(make_video(tmp_path / "short.mkv", 1, frames=3))
    run([row], {"s": stub()})
    record = collection(tmp_path / "store", stub()).record(clip_key(row, SAMPLING, None))
    assert record.mask is not None
    assert record.mask.tolist() == [True, True, True, False]
    assert (record.data[:, 2] == record.data[:, 3]).all()


@pytest.mark.parametrize(
    ("keep", "shape"), [("map", (16, 2, 2, 2)), ("sequence", (16, 2, 1, 1)), ("pooled", (16, 1, 1, 1))]
)
def test_what_is_kept(
    keep: Any, shape: tuple[int, ...], rows: list[Row], tiny: dict[str, Extractor], run: Run, tmp_path: Path
) -> None:
    extractor = tiny["patches"]
    run(rows[:2], {"p": extractor}, keep=keep, dtype="float16")
    found = collection(tmp_path / "store", extractor, keep=keep, dtype="float16")
    record = found.record(clip_key(rows[0], SAMPLING, None))
    assert record.data.shape == shape
    assert record.data.dtype == np.float16
    clip = read_clip(rows[0], SAMPLING)
    with torch.inference_mode():
        data = extractor.features(clip.frames[None])["features"].data[0]
    expected = {"map": data, "sequence": data.mean((2, 3), keepdim=True), "pooled": data.mean((1, 2, 3), keepdim=True)}
    np.testing.assert_allclose(record.data, expected[keep].numpy(), atol=2e-3)


def test_extractors_of_any_size_take_videos_of_any_size(tmp_path: Path, make_video: Any, stub: Any, run: Run) -> None:
    sizes: set[tuple[int, ...]] = set()

    class AnySize(stub):  # type: ignore[misc]
        @property
        def clip(self) -> Any:
            from dataclasses import replace

            return replace(self.spec.clip, size=None)

    extractor = AnySize(lambda clip: sizes.add(tuple(clip.shape[-2:])))
    made = [make_video(tmp_path / f"{w}.mkv", w, size=(w, 32)) for w in (32, 48, 64)]
    rows = [Row(path) for path in made]
    assert run(rows, {"s": extractor}).done == 3
    assert sizes == {(32, 32), (32, 48), (32, 64)}
    sizes.clear()
    assert run(rows, {"s": extractor}, size=24).done == 3
    assert sizes == {(24, 24)}
    keys = ClipKeys().of(rows, SAMPLING, key_size(extractor.clip, 24))
    assert not collection(tmp_path / "store", extractor).missing(keys)
    assert key_size(stub().clip, 24) is None


def test_names_that_are_no_text(tmp_path: Path, make_video: Any, stub: Any, run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.mkv")
    video = make_video(tmp_path / "a.mkv", 1).rename(tmp_path / name)
    (tmp_path / f"2{name}").touch()
    report = run([Row(video), Row(tmp_path / f"2{name}")], {"s": stub()})
    assert report.done == 1
    assert FailureFile(tmp_path / "failures.csv").path.read_bytes().count(b"caf\xe9.mkv") == 1


def test_shards_are_disjoint_and_whole(rows: list[Row], stub: Any, run: Run, decoded: list[str]) -> None:
    reports = [run(rows, {"s": stub()}, shard=(i, 3)) for i in range(3)]
    assert [report.done for report in reports] == [4, 3, 3]
    assert sorted(decoded) == [row.video.name for row in rows]
    with pytest.raises(ConfigError, match=r"there is no shard 3/3; shards count from 0: 0/3 to 2/3"):
        run(rows, {"s": stub()}, shard=(3, 3))


class TestFailures:
    """Bad rows cost only themselves."""

    def test_bad_files_are_listed_with_stage_and_reason(
        self, rows: list[Row], tmp_path: Path, make_video: Any, stub: Any, run: Run
    ) -> None:
        bad = {name: tmp_path / f"{name}.mkv" for name in ("empty", "junk", "cut", "missing", "folder", "pipe")}
        bad["empty"].touch()
        bad["junk"].write_bytes(os.urandom(4096))
        whole = make_video(tmp_path / "whole.mkv", 1, frames=30).read_bytes()
        bad["cut"].write_bytes(whole[: len(whole) // 2])
        bad["folder"].mkdir()
        os.mkfifo(bad["pipe"])
        report = run([rows[0], *map(Row, bad.values()), rows[1]], {"s": stub()})
        assert report.done == 2
        found = {failure.path.stem: (failure.row, failure.stage, failure.reason) for failure in report.failures}
        assert found["empty"] == (1, "open", "the file is empty (0 bytes)")
        assert found["junk"][:2] == (2, "open")
        assert found["cut"][0] == 3
        assert found["missing"] == (4, "open", "No such file or directory")
        assert found["folder"] == (5, "open", "it is a folder without frame images, not a video file")
        assert found["pipe"] == (6, "open", "it is not a regular file")
        assert FailureFile(tmp_path / "failures.csv").read() == list(report.failures)

    def test_a_mended_row_vanishes_from_the_list(
        self, rows: list[Row], tmp_path: Path, make_video: Any, stub: Any, run: Run
    ) -> None:
        bad = [tmp_path / "bad0.mkv", tmp_path / "bad1.mkv"]
        for path in bad:
            path.touch()
        data = [rows[0], *map(Row, bad)]
        assert len(run(data, {"s": stub()}).failures) == 2
        make_video(bad[0], 5)
        assert [f.row for f in run(data, {"s": stub()}).failures] == [2]
        listed = FailureFile(tmp_path / "failures.csv")
        assert [f.row for f in listed.read()] == [2]
        make_video(bad[1], 6)
        assert run(data, {"s": stub()}).ok
        assert not listed.path.exists()

    def test_permission_denied(self, tmp_path: Path, make_video: Any, stub: Any, run: Run) -> None:
        path = make_video(tmp_path / "secret.mkv", 1)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read every file")
        (failure,) = run([Row(path)], {"s": stub()}).failures
        assert (failure.stage, failure.reason) == ("open", "Permission denied")

    def test_a_file_that_shrinks_while_it_is_read(
        self, tmp_path: Path, make_video: Any, stub: Any, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_video(tmp_path / "a.mkv", 1)
        submit = DecodePool.submit

        def shrink(self: DecodePool, job: Any) -> None:
            os.truncate(path, path.stat().st_size - 100)
            submit(self, job)

        monkeypatch.setattr(DecodePool, "submit", shrink)
        report = run([Row(path)], {"s": stub()})
        assert report.done == 0
        assert len(report.failures) == 1

    def test_a_file_that_changes_to_another_whole_one_is_not_stored_under_the_old_key(
        self, tmp_path: Path, make_video: Any, stub: Any, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_video(tmp_path / "a.mkv", 1)
        submit = DecodePool.submit

        def change(self: DecodePool, job: Any) -> None:
            make_video(path, 2)
            submit(self, job)

        monkeypatch.setattr(DecodePool, "submit", change)
        (failure,) = run([Row(path)], {"s": stub()}).failures
        assert (failure.stage, failure.reason) == ("read", "the file changed since it was looked at")

    def test_features_that_are_not_finite(self, rows: list[Row], stub: Any, run: Run) -> None:
        class Sick(stub):  # type: ignore[misc]
            def forward(self, clip: Tensor) -> Any:
                maps = super().forward(clip)
                data = maps["colour"].data
                data[data.mean((1, 2, 3, 4)) < 0.3] = torch.nan
                return maps

        report = run(rows, {"s": Sick()}, batch_size=4)
        assert 0 < report.done < 10
        assert report.done + len(report.failures) == 10
        assert {(f.stage, f.reason) for f in report.failures} == {
            ("model", "its features are not finite (NaN or infinity)")
        }

    def test_features_too_large_for_float16(self, rows: list[Row], stub: Any, run: Run) -> None:
        large = stub()
        torch.nn.init.constant_(large.gain, 1e6)
        report = run(rows[:1], {"s": large}, dtype="float16")
        assert report.failures[0].reason == "its features do not fit float16: store them with dtype float32"
        assert run(rows[:1], {"s": large}).ok

    def test_a_clip_that_an_extractor_refuses_costs_only_its_own_row(
        self, rows: list[Row], stub: Any, run: Run
    ) -> None:
        def refuse(clip: Tensor) -> None:
            if (clip.mean((1, 2, 3, 4)) > 0.55).any():
                raise ValueError("too bright\nfor me")

        report = run(rows, {"s": stub(refuse)}, batch_size=4)
        assert 0 < len(report.failures) < 10
        assert {f.reason for f in report.failures} == {"ValueError: too bright"}
        assert report.done == 10 - len(report.failures)

    def test_an_extractor_that_fails_on_every_clip_ends_the_run(self, rows: list[Row], stub: Any, run: Run) -> None:
        def refuse(clip: Tensor) -> None:
            raise RuntimeError("no kernel for this")

        with pytest.raises(
            ExtractionError, match=r"s fails on every clip, last on .*: RuntimeError: no kernel for this"
        ):
            run(rows, {"s": stub(refuse)})

    def test_what_one_extractor_managed_is_kept_when_another_fails(
        self, rows: list[Row], stub: Any, run: Run, tmp_path: Path
    ) -> None:
        def refuse(clip: Tensor) -> None:
            if (clip.mean((1, 2, 3, 4)) > 0.55).any():
                raise ValueError("too bright")

        good, picky = stub(name="test/good"), stub(refuse, "test/picky")
        report = run(rows, {"good": good, "picky": picky})
        assert {f.reason for f in report.failures} == {"picky: ValueError: too bright"}
        assert len(collection(tmp_path / "store", good)) == 10
        assert len(collection(tmp_path / "store", picky)) == report.done


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_out_of_memory_halves_the_batch_and_goes_on(error: Exception, rows: list[Row], stub: Any, run: Run) -> None:
    sizes: list[int] = []

    def hungry(clip: Tensor) -> None:
        sizes.append(len(clip))
        if len(clip) > 2:
            raise error

    # One clip more would be under way than one batch holds: the first batch is full.
    report = run(rows, {"s": stub(hungry)}, batch_size=8)
    assert (report.done, report.ok) == (10, True)
    if max(sizes) > 2:
        assert report.batch_sizes["s"] <= max(sizes) // 2
        assert any("out of memory at" in note for note in report.notes)
    large = [size for size in sizes if size > 2]
    assert large == sorted(large, reverse=True)


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(
    rows: list[Row], stub: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, written = Writer.put, []

    def full(self: Writer, key: str, *rest: Any) -> None:
        if len(written) == 4:
            raise StoreError("the disk is full: cannot write features of x")
        written.append(key)
        put(self, key, *rest)

    monkeypatch.setattr(Writer, "put", full)
    with pytest.raises(StoreError, match="the disk is full"):
        run(rows, {"s": stub()})
    monkeypatch.setattr(Writer, "put", put)
    assert len(collection(tmp_path / "store", stub())) == 4
    report = run(rows, {"s": stub()})
    assert (report.present, report.done) == (4, 6)


def test_a_store_that_cannot_be_written_does_where_nothing_is_missing(
    rows: list[Row], stub: Any, run: Run, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows[:3], {"s": stub()})
    decoded.clear()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run(rows[:3], {"s": stub()}).present == 3
    with pytest.raises(StoreError, match="permission denied: cannot write to"):
        run(rows, {"s": stub()})
    assert not decoded, "it is said before anything is decoded"


def test_rows_that_others_work_on_are_not_kept(stub: Any, tmp_path: Path) -> None:
    living, most = 0, 0

    class Counted(Row):
        def __del__(self) -> None:
            nonlocal living
            living -= 1

    def many() -> Iterator[Row]:
        nonlocal living, most
        for _ in range(20_000):
            living, most = living + 1, max(most, living + 1)
            yield Counted(tmp_path / "v.mkv")

    class Others:
        """Every chunk is held by another process when it is first seen, and done when it is looked at again."""

        taken_over = 0
        seen: ClassVar[set[str]] = set()

        def acquire(self, name: str) -> str:
            answer = "done" if name in self.seen else "held"
            self.seen.add(name)
            return answer

    store = FeatureStore.open(tmp_path / "store", write=True)
    with Engine({"s": stub()}, store, SAMPLING, workers=1) as engine:
        report = engine.run(many(), leases=Others())  # type: ignore[arg-type]
    assert report.elsewhere == 20_000
    assert most < 33 * 256 + 512


def test_several_clips_a_row_are_refused(rows: list[Row], stub: Any, tmp_path: Path) -> None:
    from vidcore.extract import extract

    with pytest.raises(ConfigError, match="this sampling cuts 3 clips a row, and features are kept of one"):
        extract(rows, {"s": stub()}, tmp_path / "store", Sampling("multi_clip", 4, clips=3))
    with pytest.raises(ConfigError, match="nothing to extract: name at least one extractor"):
        extract(rows, {}, tmp_path / "store", SAMPLING)


def test_clips_that_a_gpu_decodes_are_counted_and_are_the_same_clips(
    tmp_path: Path, make_video: Any, stub: Any, run: Run, faked_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(make_video(tmp_path / f"{seed}.mkv", seed, pix_fmt="yuv420p")) for seed in range(3)]
    rows.append(Row(make_video(tmp_path / "rgb.mkv", 9)))
    by_cpu = run(rows, {"s": stub()})
    assert (by_cpu.done, by_cpu.on_gpu) == (4, 0)
    monkeypatch.setattr(engine_module, "DecodePool", partial(DecodePool, command=faked_gpu))
    monkeypatch.setattr(engine_module, "decoding_gpu", lambda decoder, device: {"nvdec": 3}[decoder])
    store = tmp_path / "other"
    by_gpu = run(rows[:3], {"s": stub()}, store=store, decoder="nvdec")
    assert (by_gpu.done, by_gpu.on_gpu, by_gpu.notes) == (3, 3, ())
    keys = [clip_key(row, SAMPLING, None) for row in rows[:3]]
    theirs, ours = (collection(where, stub()).read(keys) for where in (tmp_path / "store", store))
    torch.testing.assert_close(ours.data, theirs.data, rtol=0, atol=0)
    # This one's colours do not survive as the pretended GPU gives them.
    refused = run(rows[3:], {"s": stub()}, store=store, decoder="nvdec")
    assert (refused.done, refused.on_gpu) == (1, 0)
    assert refused.notes[0].startswith("decoded on the CPU: ffv1: the GPU's pixels differ from the CPU's (by up to ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_decoder_that_is_not_there_is_refused_before_anything_is_done(
    rows: list[Row], stub: Any, run: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"NVDEC cannot be used on GPU 0: .*\n.*\n  to decode on the CPU"):
        run(rows, {"s": stub()}, decoder="nvdec")
    with pytest.raises(ConfigError, match="unknown decoder 'cuda'; use cpu or nvdec"):
        run(rows, {"s": stub()}, decoder="cuda")


def test_progress_is_told_and_ends_complete(rows: list[Row], stub: Any, run: Run) -> None:
    told: list[Any] = []
    run(rows, {"s": stub()}, on_progress=told.append)
    assert told[-1].seen == told[-1].total == 10
    assert abs(sum(told[-1].shares.values()) - 1) < 1e-6


def test_threads_of_this_process_are_left_as_they_were(rows: list[Row], stub: Any, run: Run) -> None:
    before = torch.get_num_threads()
    run(rows[:2], {"s": stub()})
    assert torch.get_num_threads() == before
