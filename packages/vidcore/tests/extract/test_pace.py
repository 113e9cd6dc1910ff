"""Extractors of different pace over the same rows: stored, loaded for training and predicted alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vidcore.catalog import ClipFormat, FusionSpec
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.data.streams import StreamReader
from vidcore.extract import clip_key, extract, extractor_identity
from vidcore.extractors import Extractor
from vidcore.features import FeatureMap
from vidcore.frames import Frames
from vidcore.fusion._concat import Concat
from vidcore.fusion.config import ConcatConfig
from vidcore.model import _encoded
from vidcore.store import FeatureStore

PUBLISHED = Sampling("published")


def frames_of(row: Row) -> Tensor:
    from vidcore.data.decode import VideoReader

    with VideoReader(row.video) as reader:
        return reader.read(range(len(reader)))


@pytest.fixture
def counting(tmp_path: Path) -> list[Row]:
    """Videos at 10 frames a second whose frame ``t`` is grey ``4 t``, of 4 to 50 frames; and a part of the longest."""
    import av
    import numpy as np

    rows = []
    for frames in (50, 23, 9, 4):
        path = tmp_path / f"{frames}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width = stream.height = 16
            stream.pix_fmt = "bgr0"
            for t in range(frames):
                grey = np.full((16, 16, 3), 4 * t, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode())
        rows.append(Row(path))
    return [*rows, Row(rows[0].video, start_seconds=2.0, end_seconds=4.0)]


@pytest.fixture
def two(stub: type[Extractor]) -> dict[str, Extractor]:
    """One that sees every frame in windows of 8, one that sees every 3rd in windows of 4, one that has no pace."""

    def paced(name: str, **pace: Any) -> Extractor:
        made = stub(name=f"test/{name}")
        made.spec = replace(made.spec, clip=ClipFormat(size=(16, 16), value_range=(0.0, 255.0), **pace))
        return made.eval()

    return {
        "fast": paced("fast", max_frames=8, stride_frames=1, fps=10.0),
        "slow": paced("slow", frames=4, stride_frames=3, fps=10.0, spacing="last"),
        "still": paced("still", max_frames=8),
    }


def stored(rows: list[Row], extractors: dict[str, Extractor], store: Path) -> dict[str, list[Any]]:
    assert extract(rows, extractors, store, PUBLISHED, workers=1, timeout_seconds=300.0).ok
    found = {}
    for name, extractor in extractors.items():
        lying = FeatureStore.open(store).collection(extractor_identity(extractor))
        found[name] = [lying.read([clip_key(row, PUBLISHED.of(extractor.clip), None)]) for row in rows]
    return found


def test_features_are_the_frames_at_their_times(counting: list[Row], two: dict[str, Extractor], tmp_path: Path) -> None:
    for name, maps in stored(counting, two, tmp_path / "store").items():
        for row, fmap in zip(counting, maps, strict=True):
            real = fmap.mask[0] if fmap.mask is not None else torch.ones(fmap.steps, dtype=torch.bool)
            grey = fmap.data[0, 0, :, 0, 0][real] - 4 * 10 * (row.start_seconds or 0)
            # A step is a frame here, so its brightness says which frame of the segment it shows.
            torch.testing.assert_close(grey / 4, fmap.times[0][real] if fmap.times.dim() == 2 else fmap.times[real],
                                       atol=0.01, rtol=0, msg=f"{name} {row}")  # fmt: skip


def test_streams_of_two_paces_meet_at_the_same_moment(
    counting: list[Row], two: dict[str, Extractor], tmp_path: Path
) -> None:
    maps = stored(counting, two, tmp_path / "store")
    infos = {name: next(iter(e.outputs.values())) for name, e in two.items()}
    spec = FusionSpec(name="concat", target="x.y:Z", config="x.y:Z", summary="concat")
    for reference in two:
        fusion = Concat(spec, ConcatConfig(reference=reference), infos)
        for place in range(len(counting)):
            here = {name: found[place] for name, found in maps.items()}
            fused = fusion(here)
            times = fused.times.expand(1, -1)[0]
            # Outside of a stream's own steps its first or last one is held: only where all have some do they agree.
            own = [real_times(fmap) for fmap in here.values()]
            shared = (times >= max(float(t[0]) for t in own)) & (times <= min(float(t[-1]) for t in own))
            if fused.mask is not None:
                shared &= fused.mask[0]
            assert int(shared.sum()) >= min(len(t) for t in own) - 2
            # Channels 0, 3 and 6 are the greys of the three streams, four levels a frame.
            greys = fused.data[0, ::3, shared, 0, 0]
            assert float((greys - greys[:1]).abs().max()) < 0.5, "the same moment, between frames too"


def real_times(fmap: FeatureMap) -> Tensor:
    times = fmap.times.expand(1, -1)[0]
    return times if fmap.mask is None else times[fmap.mask[0]]


def test_extraction_loading_and_prediction_give_the_same_features(
    counting: list[Row], two: dict[str, Extractor], tmp_path: Path
) -> None:
    reader = StreamReader(PUBLISHED, {name: e.clip for name, e in two.items()})
    alone = [reader.named(reader.read(row)[0]) for row in counting]
    found = stored(counting, two, tmp_path / "store")
    for name, extractor in two.items():
        batch = _encoded(extractor, Frames.together([kinds[name] for kinds in alone]))
        for place, fmap in enumerate(found[name]):
            torch.testing.assert_close(batch.data[place, :, : fmap.steps], fmap.data[0])
            torch.testing.assert_close(batch.times[place, : fmap.steps], fmap.times.expand(1, -1)[0])
            kept = batch.mask[place] if batch.mask is not None else torch.ones(batch.steps, dtype=torch.bool)
            real = fmap.mask[0] if fmap.mask is not None else torch.ones(fmap.steps, dtype=torch.bool)
            assert kept[: fmap.steps].tolist() == real.tolist()
            assert not kept[fmap.steps :].any()


def test_company_changes_no_key(counting: list[Row], two: dict[str, Extractor], tmp_path: Path) -> None:
    extract(counting, {"fast": two["fast"]}, tmp_path / "store", PUBLISHED, workers=1, timeout_seconds=300.0)
    again = extract(counting, {"fast": two["fast"]}, tmp_path / "store", PUBLISHED, workers=1, timeout_seconds=300.0)
    assert (again.done, again.present) == (0, 5)
    more = extract(counting, two, tmp_path / "store", PUBLISHED, workers=1, timeout_seconds=300.0)
    assert more.done == 5
    for name in two:
        only = extract(counting, {name: two[name]}, tmp_path / "store", PUBLISHED, workers=1, timeout_seconds=300.0)
        assert (only.done, only.present) == (0, 5)


def test_a_video_is_decoded_once_for_all_paces(
    counting: list[Row], two: dict[str, Extractor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidcore.data.decode import VideoReader

    reads: list[int] = []
    read: Callable[..., Tensor] = VideoReader.read

    def spy(self: VideoReader, indices: Any) -> Tensor:
        reads.append(len(list(indices)))
        return read(self, indices)

    monkeypatch.setattr(VideoReader, "read", spy)
    StreamReader(PUBLISHED, {name: e.clip for name, e in two.items()}).read(counting[0])
    assert reads == [50], "every frame is seen by the fast one, and none is read again for the others"
