"""Tiny videos, tiny extractors and a store to put their features into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from vidcore.assemble import create
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo
from vidcore.config import ExtractorConfig
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract import ExtractReport, extract
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

SAMPLING = Sampling("uniform", 4)


# The real process with a GPU that is none: videos are opened as always, and their frames come as NVDEC lays them out.
FAKED = """
import sys
from av.video.reformatter import VideoReformatter
from vidcore.data import _hardware, _packets, nvdec
from vidcore.extract import _decode
assert sys.argv[2] == "3"
_packets.accelerator = nvdec.hold_context = lambda gpu: None
nvdec.NvdecReader.has_accelerator = True
layout = VideoReformatter()
class Faked(_hardware.Planes):
    def of(self, frame):
        return super().of(layout.reformat(frame, format="nv12", threads=1))
begin = nvdec.NvdecReader.__init__
def begun(reader, path, owner):
    begin(reader, path, owner)
    reader._planes = Faked()
nvdec.NvdecReader.__init__ = begun
_decode.main()
"""


def write_video(
    path: Path, seed: int, frames: int = 8, size: tuple[int, int] = (48, 32), level: int = 120, pix_fmt: str = "bgr0"
) -> Path:
    """A lossless video of noise, (width, height), in Matroska."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        for _ in range(frames):
            pixels = np.clip(level + generator.normal(0, 25, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


class Stub(Extractor):
    """Mean colour of every frame, (B, 3, T, 1, 1); ``act`` is called with every clip and may raise."""

    def __init__(self, act: Callable[[Tensor], None] = lambda clip: None, name: str = "test/stub") -> None:
        clip = ClipFormat(size=(16, 16), max_frames=64)
        spec = ExtractorSpec(
            name=name, target="nowhere:Stub", config="nowhere:Config", summary="stub", clip=clip,
            outputs={"colour": FeatureInfo(3, (1, None, None))},
        )  # fmt: skip
        super().__init__(spec, ExtractorConfig())
        self.act = act
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        self.act(clip)
        data = clip.mean((3, 4), keepdim=True) * self.gain
        return {"colour": FeatureMap(data, step_times(clip.shape[2], 1, clip))}


@pytest.fixture
def stub() -> type[Stub]:
    return Stub


@pytest.fixture
def make_video() -> Callable[..., Path]:
    return write_video


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten videos; tests only read them."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(10):
        write_video(root / f"{number:02}.mkv", number, frames=6 + number % 3, level=60 + 10 * number)
    return root


@pytest.fixture
def rows(folder: Path) -> list[Row]:
    return [Row(path) for path in sorted(folder.iterdir())]


@pytest.fixture
def tiny() -> dict[str, Extractor]:
    """Two extractors with sizes of their own: one pooled vector, and a map with steps and a grid."""
    torch.manual_seed(0)
    options = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8}
    return {
        "cnn": create("basic/naive_cnn", width=16),
        "patches": create("basic/patch_transformer", **options),
    }


@pytest.fixture
def faked_gpu() -> list[str]:
    """Command of a decoding process that takes itself to have GPU 3."""
    return [sys.executable, "-c", FAKED]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ExtractReport]:
    """``run(rows, extractors, **options)`` into this test's store, with two decoding processes at most."""

    def start(rows: Any, extractors: dict[str, Extractor], **options: Any) -> ExtractReport:
        options = {"workers": 1, "failures": tmp_path / "failures.csv", "timeout_seconds": 20, **options}
        return extract(rows, extractors, options.pop("store", tmp_path / "store"), SAMPLING, **options)

    return start
