"""Published files through the extractors: the published numbers, and the right class for a real clip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import vidcore
from pytorchvideo.models import hub
from pytorchvideo.models.hub.resnet import checkpoint_paths
from safetensors.torch import load_file
from torch import Tensor, nn
from vidcore import create
from vidcore.data.decode import VideoReader
from vidcore.data.manifest import Row
from vidcore.testing import fill_published, golden_clip, relative_error
from vidcore.weights import load_weights
from vidplug_i3d.inception import InceptionI3D

GOLDEN = Path(__file__).parent / "golden"


@torch.no_grad()
def lively(model: nn.Module) -> nn.Module:
    """Statistics and scales as of a trained network: the published initialisation silences every residual branch."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.copy_(0.5 + 0.2 * torch.randn(module.weight.shape, generator=generator))
            module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model.eval()


def test_parameter_counts_with_the_published_heads() -> None:
    with torch.device("meta"):
        pairs = [(hub.i3d_r50(), create("i3d/r50_8x8"), 2048), (InceptionI3D(), create("i3d/inception"), 1024)]
    counts = []
    for published, extractor, width in pairs:
        counts.append(sum(p.numel() for p in published.parameters()))
        own = sum(p.numel() for p in extractor.parameters())
        assert own == extractor.spec.parameters == counts[-1] - (width * 400 + 400)
    shapes = json.loads((GOLDEN / "i3d_inception.keys.json").read_text()).items()
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert counts == [28_043_472, sum(int(np.prod(shape)) for name, shape in shapes if not name.endswith(buffers))]


def test_weights_are_where_the_library_looks_for_them() -> None:
    with torch.device("meta"):
        assert create("i3d/r50_8x8").spec.weights[0].source == checkpoint_paths["i3d_r50"]


def test_published_resnet_file_gives_the_published_logits(tmp_path) -> None:
    reference = lively(hub.i3d_r50())
    torch.save({"model_state": reference.state_dict(), "epoch": 196}, tmp_path / "I3D_8x8_R50.pyth")
    extractor = create("i3d/r50_8x8")
    report = load_weights(extractor, str(tmp_path / "I3D_8x8_R50.pyth"))
    assert report.matched_fraction == 1
    assert report.missing == ()
    assert sorted(report.left_over) == ["blocks.6.proj.bias", "blocks.6.proj.weight"]

    clip = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    # The published pool is 4x7x7, for 224-pixel frames; that of 64-pixel frames is 4x2x2.
    reference.blocks[6].pool = nn.AvgPool3d((4, 2, 2))
    with torch.no_grad():
        expected = reference(clip)
        logits = reference.blocks[6].proj(extractor(clip)["res5"].data.mean((2, 3, 4)))
    assert expected.std() > 1e-4
    assert (logits - expected).norm() / expected.norm() < 1e-5
    whole = create("i3d/r50_8x8", outputs=("logits",), weights=str(tmp_path / "I3D_8x8_R50.pyth"))
    assert whole.weights_report.missing == whole.weights_report.left_over == ()
    with torch.no_grad():
        assert relative_error(whole(clip)["logits"].data.flatten(1), expected) < 1e-5


def test_published_inception_file_gives_the_goldens(tmp_path) -> None:
    published = fill_published(InceptionI3D().state_dict())
    torch.save(published, tmp_path / "rgb_imagenet.pt")
    extractor = create("i3d/inception")
    report = load_weights(extractor, str(tmp_path / "rgb_imagenet.pt"))
    assert report.matched_fraction == 1
    assert report.missing == ()
    assert sorted(report.left_over) == ["logits.conv3d.bias", "logits.conv3d.weight"]
    with np.load(GOLDEN / "i3d_inception.npz") as arrays:
        golden = dict(arrays)
    with torch.no_grad():
        fmap = extractor(golden_clip(seed=0, frames=24, size=224))["Mixed_5c"]
    assert relative_error(fmap.data.mean((3, 4)), golden["grid_mean"]) < 1e-4
    assert relative_error(fmap.data[:, ::16], golden["grid_corner"]) < 1e-4
    whole = create("i3d/inception", outputs=("logits",), weights=str(tmp_path / "rgb_imagenet.pt"))
    with torch.no_grad():
        logits = whole(golden_clip(seed=0, frames=24, size=224))["logits"].data
    assert relative_error(logits.reshape(golden["logits"].shape), golden["logits"]) < 1e-4


def video_frames(path: Path, count: int) -> Tensor:
    """``count`` frames spread over a video: uint8 (1, count, 3, H, W)."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the shared data folder")
    with VideoReader(path) as reader:
        return reader.read(np.linspace(0, len(reader) - 1, count).round().astype(int).tolist())[None]


@pytest.mark.parametrize(
    ("video", "expected"), [("v_GGSY1Qvo990.mp4", "clean and jerk"), ("demo.mp4", "arm wrestling")]
)
def test_real_weights_recognise_a_real_clip(shared_data: Path, video: str, expected: str) -> None:
    weights = shared_data / "weights" / "i3d_rgb_kinetics400.safetensors"
    if not weights.is_file():
        pytest.skip(f"{weights.name} is not in the shared data folder")
    labels = (weights.parent / "kinetics400_label_map.txt").read_text().split("\n")
    extractor = create("i3d/inception", weights=str(weights))
    head = load_file(weights)
    with torch.no_grad():
        fmap = extractor.features(video_frames(shared_data / "clips" / video, 24))["Mixed_5c"]
        pooled = F.avg_pool3d(fmap.data, (2, 7, 7), stride=1)
        logits = F.conv3d(pooled, head["logits.conv3d.weight"], head["logits.conv3d.bias"]).mean((2, 3, 4))
    probability, index = logits.softmax(1)[0].max(0)
    assert labels[index] == expected
    assert probability > 0.9


def test_the_published_classifier_names_known_clips(shared_data: Path) -> None:
    weights = shared_data / "weights" / "i3d_rgb_kinetics400.safetensors"
    clips = [shared_data / "clips" / name for name in ("v_GGSY1Qvo990.mp4", "demo.mp4", "mmtest.avi")]
    if not all(path.is_file() for path in (weights, *clips)):
        pytest.skip("the shared data folder has not all of the weights and clips")
    model = vidcore.load("i3d/inception", weights=str(weights), device="cpu")
    assert list(model.classes) == (weights.parent / "kinetics400_label_map.txt").read_text().splitlines()
    # Short segments, so that the test does not read whole videos.
    rows = [Row(path, start_seconds=1.0, end_seconds=3.0) for path in clips]
    assert [said.label for said in model.predict(rows)] == ["clean and jerk", "arm wrestling", "filling eyebrows"]
