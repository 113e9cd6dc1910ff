"""Against pytorchvideo's own models, in the same process, with the same weights."""

from __future__ import annotations

import pytest
import torch
from pytorchvideo.models import hub
from pytorchvideo.models.hub.x3d import checkpoint_paths
from torch import Tensor, nn
from vidcore import create
from vidcore.weights import load_weights

# Parameters with the 400-way classifier, from building the published definitions.
COUNTS = {"x3d/xs": 3_794_274, "x3d/s": 3_794_274, "x3d/m": 3_794_274, "x3d/l": 6_153_384}


def published(name: str) -> nn.Module:
    return {"x3d/xs": hub.x3d_xs, "x3d/s": hub.x3d_s, "x3d/m": hub.x3d_m, "x3d/l": hub.x3d_l}[name]()


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


def random_clip(frames: int, size: int) -> Tensor:
    return torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count_with_the_published_classifier(name: str) -> None:
    with torch.device("meta"):
        model = published(name)
        extractor = create(name)
    classifier = 2048 * 400 + 400
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name]
    assert sum(p.numel() for p in extractor.parameters()) == extractor.spec.parameters == COUNTS[name] - classifier


@pytest.mark.parametrize("name", COUNTS)
def test_weights_are_where_the_library_looks_for_them(name: str) -> None:
    with torch.device("meta"):
        assert [weights.source for weights in create(name).spec.weights] == [checkpoint_paths[name.replace("/", "_")]]


@pytest.mark.parametrize("name", COUNTS)
def test_published_file_gives_the_published_probabilities(name: str, tmp_path) -> None:
    reference = lively(published(name))
    torch.save({"model_state": reference.state_dict(), "epoch": 256}, tmp_path / "published.pyth")
    extractor = create(name, outputs=("projected", "conv5"))
    report = load_weights(extractor, str(tmp_path / "published.pyth"))
    assert report.matched_fraction == 1
    assert report.missing == ()
    assert sorted(report.left_over) == ["blocks.5.proj.bias", "blocks.5.proj.weight"]

    # The published pool is that of a whole training clip; here it is cut to that of 64-pixel frames.
    frames = extractor.clip.frames
    head = reference.blocks[5]
    assert head.pool.pool.kernel_size == extractor.variant.pool
    head.pool.pool = nn.AvgPool3d((frames, 2, 2), stride=1)
    clip = random_clip(frames, 64)
    with torch.no_grad():
        expected = reference(clip)
        maps = extractor(clip)
        probabilities = head.activation(head.proj(maps["projected"].data.flatten(1)))
        projected = head.pool(reference.blocks[4](stages(reference, clip)))
    assert tuple(maps["conv5"].data.shape) == (1, 432, frames, 2, 2)
    assert expected.std() > 1e-6
    assert difference(probabilities, expected) < 1e-5
    assert difference(maps["projected"].data, projected) < 1e-5


def stages(reference: nn.Module, clip: Tensor) -> Tensor:
    """What enters the last residual stage."""
    for block in reference.blocks[:4]:
        clip = block(clip)
    return clip


@pytest.mark.parametrize(("name", "frames", "size"), [("x3d/xs", 4, 182), ("x3d/s", 13, 160), ("x3d/xs", 6, 160)])
def test_head_at_published_crops_and_longer_clips(name: str, frames: int, size: int) -> None:
    """Training crop: one pooling window. Evaluation crop or a longer clip: the mean logit over windows."""
    reference = lively(published(name))
    extractor = create(name, outputs=("projected", "logits", "probabilities"), classes="kinetics400")
    extractor.load_state_dict(extractor.convert(reference.state_dict()))
    clip = random_clip(frames, size)
    with torch.no_grad():
        # The published head averages the softmaxes of its windows.
        assert difference(extractor(clip)["probabilities"].data.flatten(1), reference(clip)) < 1e-5
        reference.blocks[5].activation = None
        expected = reference(clip)
        assert difference(extractor(clip)["logits"].data.flatten(1), expected) < 1e-5
        logits = reference.blocks[5].proj(extractor(clip)["projected"].data.flatten(1))
    assert difference(logits, expected) < 1e-5
