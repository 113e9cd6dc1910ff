"""A data set that a tiny model learns in seconds, and a run of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from vidcore.config import RunConfig, run_config
from vidcore.training import RunFolder, train

LEVELS = {"bright": 200, "dark": 40, "grey": 120}


def write_video(path: Path, level: int, seed: int, frames: int = 6, side: int = 16) -> None:
    """A lossless video of noise around a grey level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = "bgr0"
        for _ in range(frames):
            pixels = np.clip(level + generator.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of classes that differ in brightness, twelve clips each."""
    root = tmp_path_factory.mktemp("brightness")
    for number, (label, level) in enumerate(LEVELS.items()):
        for i in range(12):
            write_video(root / label / f"{i:02}.mkv", level, 100 * number + i)
    return root


@pytest.fixture
def video_writer() -> Callable[..., None]:
    """Writes a small video: (path, level, seed, frames, side)."""
    return write_video


def tiny_tree(source: Path | str, out: Path, **more: Any) -> dict[str, Any]:
    """Plain data of a run of a tiny model; ``more`` holds sections to add to."""
    tiny = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8, "dropout": 0.1}
    tree: dict[str, Any] = {
        "extractors": [{"name": "basic/patch_transformer", "options": tiny}],
        "data": {"source": str(source), "frames": 4, "workers": 0},
        "train": {"epochs": 3, "batch_size": 8, "lr": 0.01, "device": "cpu"},
        "out": str(out),
        "name": "tiny",
    }
    for section, values in more.items():
        tree[section] = {**tree[section], **values} if isinstance(tree.get(section), dict) else values
    return tree


@pytest.fixture
def tiny_config(brightness: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Makes a configuration of a run in this test's folder: ``tiny_config(train={"epochs": 1})``."""

    def make(**more: Any) -> RunConfig:
        return run_config(tiny_tree(brightness, tmp_path / "runs", **more))

    return make


@pytest.fixture(scope="session")
def finished_run(brightness: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that came to its end; tests only read it."""
    return train(run_config(tiny_tree(brightness, tmp_path_factory.mktemp("runs"), train={"epochs": 6})))
