from __future__ import annotations

import pytest
import torch
from vidcore.catalog import ClipFormat
from vidcore.data.clips import read_clip
from vidcore.data.manifest import read_source
from vidcore.data.sampling import Sampling
from vidcore.errors import DataError, DecodeError, TrainingError
from vidcore.training import loader
from vidcore.training.batches import in_order
from vidcore.training.loader import ClipLoader, ClipSplit

SMALL = ClipFormat(size=(16, 16))


def _loader(rows, workers=0, frames=3, streams=None, **more):
    targets = torch.arange(len(rows))
    return ClipLoader(rows, targets, Sampling(frames=frames), streams or {"a": SMALL}, workers=workers, **more)


def test_random_clips_do_not_depend_on_workers_or_order(brightness):
    rows = read_source(brightness).rows[:8]
    here = ClipSplit(_loader(rows), range(8), jitter=True)
    there = ClipSplit(_loader(rows, workers=2), range(8), jitter=True)
    forth = torch.cat([batch.clips["a"].video for batch in here.batches([[0, 1, 2], [3, 4, 5, 6, 7]], 4)])
    back = torch.cat([batch.clips["a"].video for batch in there.batches([[7, 6], [5, 4], [3, 2], [1, 0]], 4)])
    assert torch.equal(forth, back.flip(0))
    other = torch.cat([batch.clips["a"].video for batch in here.batches(in_order(here, 8), 5)])
    assert not torch.equal(forth, other)


def test_without_jitter_every_epoch_sees_the_centre_clip(brightness):
    rows = read_source(brightness).rows[:2]
    split = ClipSplit(_loader(rows), [1])
    (batch,) = split.batches([[0]], 3)
    assert torch.equal(batch.clips["a"].video[0], read_clip(rows[1], Sampling(frames=3)).frames)
    assert batch.rows == (1,)
    assert batch.targets.tolist() == [1]
    assert batch.clips["a"].mask.all()


def test_reading_leaves_the_generator_of_dropout_alone(brightness):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    split = ClipSplit(_loader(read_source(brightness).rows[:2], workers=1), range(2), jitter=True)
    list(split.batches([[0, 1]], 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_that_look_alike_share_their_frames(brightness):
    streams = {"a": SMALL, "b": ClipFormat(size=(16, 16), mean=(0.5,), std=(0.5,)), "c": ClipFormat(size=(8, 8))}
    (batch,) = ClipSplit(_loader(read_source(brightness).rows[:2], streams=streams), [0]).batches([[0]], 0)
    assert batch.clips["a"] is batch.clips["b"]
    assert batch.clips["c"].video.shape == (1, 3, 3, 8, 8)
    assert all(clip.video.dtype == torch.uint8 for clip in batch.clips.values())


def test_a_short_video_is_masked(brightness):
    (batch,) = ClipSplit(_loader(read_source(brightness).rows[:1], frames=9), [0]).batches([[0]], 0)
    assert batch.clips["a"].mask[0].tolist() == [True] * 6 + [False] * 3


def test_clips_and_crops_of_a_video_are_neighbours_in_the_batch(brightness):
    rows = read_source(brightness).rows[:2]
    wide = {"a": ClipFormat(size=(16, 8))}
    loader = ClipLoader(rows, torch.tensor([7, 8]), Sampling(frames=2, clips=2), wide, workers=0, crops=3)
    (batch,) = ClipSplit(loader, range(2)).batches([[0, 1]], 0)
    video = read_clip(rows[1], Sampling("dense", 6)).frames
    # Of six frames, clip j of 2 takes (i + (2 j + 1) / 4) 3.
    expected = [video[at][..., x : x + 8] for at in ([0, 3], [2, 5]) for x in (0, 4, 8)]
    assert torch.equal(batch.clips["a"].video[6:], torch.stack(expected))
    assert batch.rows == (0,) * 6 + (1,) * 6
    assert batch.targets.tolist() == [7] * 6 + [8] * 6
    assert batch.clips["a"].mask.shape == (12, 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_video_that_breaks_later_is_named(brightness, tmp_path, video_writer, workers):
    video_writer(tmp_path / "a" / "0.mkv", 10, 0)
    rows = read_source(tmp_path).rows
    rows[0].video.write_bytes(b"no longer a video")
    with pytest.raises(DecodeError, match=r"0\.mkv: cannot open the video") as caught:
        list(ClipSplit(_loader(rows, workers), [0]).batches([[0]], 0))
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(95, "Operation not supported"), "a clip of it cannot be made: OSError: [Errno 95] Operation"),
        (MemoryError("unable to allocate 9 GiB"), "there is not enough memory for a clip of it: unable to allocate"),
    ],
)
def test_whatever_goes_wrong_with_a_video_names_it(brightness, monkeypatch, error, text, workers):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(loader.StreamReader, "read", fail)
    rows = read_source(brightness).rows[:1]
    with pytest.raises(TrainingError) as caught:
        list(ClipSplit(_loader(rows, workers), [0]).batches([[0]], 0))
    assert str(caught.value).startswith(f"{rows[0].video}: {text}")


def test_a_process_that_crashes_is_not_called_short_of_memory():
    killed = "DataLoader worker (pid 7) is killed by signal: {}."
    crash = loader._dead_worker(RuntimeError(killed.format("Segmentation fault")))
    assert "a damaged video is the usual cause" in crash
    assert "memory" in loader._dead_worker(RuntimeError(killed.format("Killed")))


@pytest.mark.parametrize("workers", [0, 1])
def test_videos_of_different_sizes_need_one_size(tmp_path, video_writer, workers):
    video_writer(tmp_path / "a" / "0.mkv", 10, 0, side=16)
    video_writer(tmp_path / "a" / "1.mkv", 10, 0, side=32)
    rows = read_source(tmp_path).rows
    with pytest.raises(DataError, match=r"16x16 and 32x32.*data\.size=128"):
        list(ClipSplit(_loader(rows, workers, streams={"a": ClipFormat()}), range(2)).batches([[0, 1]], 0))
    loader = _loader(rows, workers, streams={"a": ClipFormat()}, size=24)
    (batch,) = ClipSplit(loader, range(2)).batches([[0, 1]], 0)
    assert batch.clips["a"].video.shape == (2, 3, 3, 24, 24)
