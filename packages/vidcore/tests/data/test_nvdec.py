"""A GPU's decoder is used where its pixels are the CPU's. Most of it is tested with a GPU that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from vidcore.data import _hardware, _open, nvdec
from vidcore.data._hardware import Planes
from vidcore.data.decode import VideoReader
from vidcore.data.nvdec import Nvdec, NvdecReader
from vidcore.errors import ConfigError, DecodeError

X264 = {"x264-params": "keyint=12:bframes=2"}
WANTED = [3, 11, 25, 38]


class Gpu:
    """What the GPU of a test does: frames come as NVDEC lays them out, from the CPU's decoder.

    Attributes:
        decoded: Frames it has given.
    """

    def __init__(self) -> None:
        self.decoded = 0
        self.layout: str | None = "nv12"
        self.fails_at: int | None = None
        self.brightens = False

    def of(self, planes: Planes, frame: VideoFrame) -> VideoFrame:
        if self.decoded == self.fails_at:
            raise nvdec.VideoError("it", "decode", "cuvid said no", "")
        self.decoded += 1
        if self.brightens:
            pixels = frame.to_ndarray(format="yuv420p")
            frame = VideoFrame.from_ndarray(np.minimum(pixels, 250) + 2, format="yuv420p")
        if self.layout is not None:
            frame = VideoReformatter().reformat(frame, format=self.layout, threads=1)
        return Planes.of(planes, frame)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    device = Gpu()

    class Faked(Planes):
        def of(self, frame: VideoFrame) -> VideoFrame:
            return device.of(self, frame)

    begin = NvdecReader.__init__

    def begun(reader: NvdecReader, path: Path, owner: Nvdec) -> None:
        begin(reader, path, owner)
        reader._planes = Faked()

    monkeypatch.setattr(_open, "accelerator", lambda number: None)
    monkeypatch.setattr(nvdec, "hold_context", lambda number: None)
    monkeypatch.setattr(NvdecReader, "has_accelerator", True)
    monkeypatch.setattr(NvdecReader, "__init__", begun)
    return device


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Path:
    return encode(tmp_path_factory.mktemp("videos") / "a.mp4", "libx264", options=X264)


def on_cpu(path: Path, wanted: list[int]) -> list[tuple[int, bytes]]:
    with VideoReader(path) as reader:
        return kept(reader.pixels(wanted))


def kept(pixels: Iterator[tuple[int, np.ndarray]]) -> list[tuple[int, bytes]]:
    return [(index, rgb.tobytes()) for index, rgb in pixels]


@pytest.mark.parametrize(("pix_fmt", "layout"), [("yuv420p", "nv12"), ("yuvj420p", "nv12"), ("yuv420p10le", "p010le")])
@pytest.mark.parametrize("size", [(64, 48), (62, 46)])
def test_pixels_from_a_gpus_layout_are_those_of_the_cpus(
    pix_fmt: str, layout: str, size: tuple[int, int], tmp_path: Path, encode: Callable[..., Path]
) -> None:
    path = encode(tmp_path / "a.mkv", "libx264", pix_fmt=pix_fmt, options=X264, frames=8, size=size)
    planes = Planes()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.format.name == pix_fmt
            direct = VideoReformatter().reformat(frame, format="rgb24", threads=1).to_ndarray()
            packed = VideoReformatter().reformat(frame, format=layout, threads=1)
            assert packed.format.name == layout
            apart = VideoReformatter().reformat(planes.of(packed), format="rgb24", threads=1).to_ndarray()
            np.testing.assert_array_equal(apart, direct)
    assert planes.frames == 8


def test_the_first_clip_of_a_kind_is_compared_and_the_next_ones_trusted(gpu: Gpu, video: Path) -> None:
    owner = Nvdec(0)
    for turn in (1, 2):
        with owner.open(video) as reader:
            assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
            assert reader.left_to_cpu is None
            # The index is the same reader's: what the GPU decodes is not decoded twice.
            assert gpu.decoded == turn * len(WANTED)
    assert owner.trusted == {("h264", "High")}
    assert not owner.refused


def test_a_kind_whose_pixels_differ_is_left_to_the_cpu(gpu: Gpu, video: Path) -> None:
    gpu.brightens = True
    owner = Nvdec(0)
    for _ in range(2):
        with owner.open(video) as reader:
            assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
            assert reader.left_to_cpu is not None
            assert reader.left_to_cpu.startswith("h264 High: the GPU's pixels differ from the CPU's (by up to ")
            assert reader.left_to_cpu.endswith(" of 255 in frame 3)")
    assert gpu.decoded == 1
    assert not owner.trusted
    with owner.open(video) as reader, VideoReader(video) as other:
        assert torch.equal(reader.read(WANTED), other.read(WANTED))


def test_where_the_gpu_fails_the_cpu_goes_on(gpu: Gpu, video: Path) -> None:
    owner = Nvdec(0)
    owner.trusted.add(("h264", "High"))
    gpu.fails_at = 2
    with owner.open(video) as reader:
        assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
        assert reader.left_to_cpu == "h264 High: the GPU's decoder failed on some of the videos"
    assert gpu.decoded == 2


def test_a_gpu_that_fails_at_the_first_clip_is_not_asked_again(gpu: Gpu, video: Path) -> None:
    gpu.fails_at = 1
    owner = Nvdec(0)
    with owner.open(video) as reader:
        assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
    assert owner.refused == {("h264", "High"): "h264 High: the GPU's decoder failed: cuvid said no"}


def test_frames_that_ffmpeg_decoded_after_all_are_not_called_the_gpus(gpu: Gpu, video: Path) -> None:
    gpu.layout = None
    owner = Nvdec(0)
    with owner.open(video) as reader:
        assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
        assert reader.left_to_cpu == "h264 High: the GPU does not decode it"
    owner.refused.clear()
    owner.trusted.add(("h264", "High"))
    with owner.open(video) as reader:
        assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
        assert reader.left_to_cpu == "h264 High: the GPU does not take some of the videos"


def test_what_a_video_is_does_not_depend_on_who_decodes_it(gpu: Gpu, video: Path) -> None:
    with Nvdec(0).open(video) as reader, VideoReader(video) as other:
        assert reader.info() == other.info()


def test_a_cpu_s_own_frames_are_converted_as_they_are(
    gpu: Gpu, tmp_path: Path, encode: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NvdecReader, "has_accelerator", False)
    path = encode(tmp_path / "a.nut", "rawvideo", pix_fmt="nv12", frames=4, size=(62, 46))
    with av.open(str(path)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    for reader in (VideoReader(path), Nvdec(0).open(path)):
        with reader:
            np.testing.assert_array_equal(reader.read(range(4)).permute(0, 2, 3, 1).numpy(), expected)


def test_nothing_is_learnt_from_no_frames(gpu: Gpu, video: Path) -> None:
    owner = Nvdec(0)
    with owner.open(video) as reader:
        assert len(reader.read([])) == 0
    assert not owner.refused
    assert not owner.trusted


def test_an_ffmpeg_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # To PyAV, a codec that no hardware decodes is the same.
    monkeypatch.setattr(_hardware, "Codec", lambda name, mode: av.Codec("ffv1", mode))
    with pytest.raises(ConfigError, match="NVDEC cannot be used on GPU 0: No supported hardware config"):
        Nvdec(0)


def test_codecs_that_no_gpu_decodes_are_decoded_as_always(
    gpu: Gpu, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NvdecReader, "has_accelerator", False)
    with Nvdec(0).open(video) as reader:
        assert kept(reader.pixels()) == on_cpu(video, list(range(40)))
        assert reader.left_to_cpu == "h264 High: the GPU does not decode it"


def test_a_broken_video_is_refused_by_the_cpus_decoder(gpu: Gpu, video: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(video.read_bytes())
    middle = content.index(b"mdat") + 1200
    content[middle : middle + 400] = bytes(400)
    damaged.write_bytes(content)
    with pytest.raises(DecodeError), Nvdec(0).open(damaged) as reader:
        kept(reader.pixels())
    seen = gpu.decoded
    with pytest.raises(DecodeError), Nvdec(0).open(damaged) as reader:
        reader.verify()
    assert gpu.decoded == seen


def test_without_a_gpu_the_error_says_what_is_missing(video: Path) -> None:
    try:
        owner = Nvdec(0)
    except ConfigError as error:
        assert "NVDEC cannot be used on GPU 0: " in str(error)
        assert "--decoder cpu" in str(error)
        return
    # Where there is one: every codec that it takes, with the CPU's pixels.
    for _ in range(2):
        with owner.open(video) as reader:
            assert kept(reader.pixels(WANTED)) == on_cpu(video, WANTED)
    assert owner.trusted == {("h264", "High")}


def test_real_clips_on_a_real_gpu(shared_data: Path) -> None:
    try:
        owner = Nvdec(0)
    except ConfigError as error:
        pytest.skip(str(error).splitlines()[0])
    for path in sorted((shared_data / "clips").iterdir()):
        with VideoReader(path) as reader:
            wanted = np.linspace(0, len(reader) - 1, 16).astype(int).tolist()
        for _ in range(2):
            with owner.open(path) as reader:
                assert kept(reader.pixels(wanted)) == on_cpu(path, wanted)
    assert owner.trusted, owner.refused
