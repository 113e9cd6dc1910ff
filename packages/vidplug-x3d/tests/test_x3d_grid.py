"""Which frames a step stands for, and what is run for which output."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor
from vidcore import create
from vidplug_x3d.extractor import X3dExtractor

EVERY = ("projected", "steps", "conv5", "res2", "res3", "res4", "res5")


def extractor(*outputs: str, **options) -> X3dExtractor:
    torch.manual_seed(0)
    module = create("x3d/s_test", outputs=outputs, **options)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.0)
    return module


def clip(frames: int = 13, height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(2, 3, frames, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("frames", "height", "width"), [(13, 64, 64), (1, 64, 64), (4, 50, 81), (20, 96, 40)])
def test_declared_grid(frames: int, height: int, width: int) -> None:
    module = extractor(*EVERY)
    for name, fmap in module(clip(frames, height, width)).items():
        assert tuple(fmap.data.shape) == (2, *module.outputs[name].shape(frames, height, width)), name
        expected = [(frames - 1) / 2] if name == "projected" else list(range(frames))
        assert fmap.times.tolist() == expected, name


@pytest.mark.parametrize(("name", "tolerance"), [("res2", 0.3), ("res5", 0.6), ("conv5", 0.6), ("steps", 0.6)])
def test_a_step_sees_the_frames_around_its_time(name: str, tolerance: float) -> None:
    """The centre of mass of a step's gradient over the frames is its time."""
    module = extractor(name)
    x = clip(33).requires_grad_()
    fmap = module(x)[name]
    fmap.data[:, :, 16].square().sum().backward()
    weight = x.grad.square().sum((0, 1, 3, 4))
    centre = (weight * torch.arange(33)).sum() / weight.sum()
    assert abs(centre - fmap.times[16]) < tolerance


def test_steps_of_a_clip_that_does_not_change_are_the_projection_of_the_clip() -> None:
    """Away from the borders every step then sees what the average sees."""
    module = extractor("projected", "steps", "conv5")
    still = clip(1).expand(-1, -1, 41, -1, -1)
    maps = module(still)
    pool = module.network.blocks[5]["pool"]
    middle = maps["conv5"].data[:, :, 20:21].mean((3, 4), keepdim=True)
    assert torch.allclose(maps["steps"].data[:, :, 20:21], pool.post_conv(middle).relu(), atol=1e-6)
    assert torch.allclose(maps["steps"].data[:, :, 20], maps["steps"].data[:, :, 21], atol=1e-5)
    assert not torch.allclose(maps["steps"].data[:, :, 0], maps["steps"].data[:, :, 20], atol=1e-3)


@pytest.mark.parametrize(
    ("outputs", "ran"),
    [
        (("res2",), {"0", "1"}),
        (("res4", "res3"), {"0", "1", "2", "3"}),
        (("conv5",), {"0", "1", "2", "3", "4", "pre_conv"}),
        (("projected",), {"0", "1", "2", "3", "4", "pre_conv", "post_conv"}),
    ],
)
def test_only_what_an_output_needs_is_run(outputs: tuple[str, ...], ran: set[str]) -> None:
    module = extractor(*outputs)
    seen: set[str] = set()
    parts = {str(i): block for i, block in enumerate(module.network.blocks[:5])}
    parts |= {part: module.network.blocks[5]["pool"].get_submodule(part) for part in ("pre_conv", "post_conv")}
    for name, part in parts.items():
        part.register_forward_hook(lambda *_, name=name: seen.add(name))
    assert list(module(clip())) == list(outputs)
    assert seen == ran


def test_frames_and_size_options_change_the_clip() -> None:
    module = extractor("conv5", frames=8, size=96)
    assert (module.clip.frames, module.clip.size, module.clip.overlap_frames) == (8, (96, 96), 2)
    video = torch.randint(0, 256, (1, 11, 3, 70, 90), dtype=torch.uint8)
    fmap = module.features(video)["conv5"]
    assert tuple(fmap.data.shape) == (1, 216, 11, 3, 3)
    assert fmap.times.tolist() == list(range(11))


def test_can_be_sent_to_another_process() -> None:
    module = extractor()
    other = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        assert torch.equal(other(clip())["projected"].data, module(clip())["projected"].data)
