"""Which frames a step stands for, and what is run for which output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from vidcore import create
from vidplug_slowfast.extractor import SlowFastExtractor, group_times, slow_frames

CLIP = (1, 3, 16, 64, 64)
EVERY = ("features", "slow", "fast", "slow_res2", "slow_res3", "slow_res4", "fast_res2", "fast_res3", "fast_res4")


def extractor(*outputs: str, name: str = "slowfast/r50_8x8_test", **options) -> SlowFastExtractor:
    torch.manual_seed(0)
    module = create(name, outputs=outputs, **options)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.0)
    return module


def clip(*shape: int) -> Tensor:
    return torch.randn(shape or CLIP, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("frames", "alpha"), [(32, 4), (32, 8), (64, 4), (16, 4), (8, 4)])
def test_slow_frames_are_those_of_the_published_transform(frames: int, alpha: int) -> None:
    expected = torch.linspace(0, frames - 1, frames // alpha).long()
    assert slow_frames(frames, alpha).tolist() == expected.tolist()


def test_slow_frames_of_the_default_clip() -> None:
    assert slow_frames(32, 4).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


@pytest.mark.parametrize("frames", [1, 2, 5, 15, 17, 30, 32, 33, 64])
def test_each_slow_frame_lies_in_the_group_its_step_stands_for(frames: int) -> None:
    groups = torch.arange(frames).split(4)
    index = slow_frames(frames, 4)
    assert len(index) == len(groups)
    assert group_times(frames, 4, index).tolist() == [group.float().mean().item() for group in groups]
    if frames % 4 == 0:
        assert all(i in group for i, group in zip(index, groups, strict=True))


@pytest.mark.parametrize("frames", [1, 3, 13, 15, 16])
def test_any_number_of_frames(frames: int) -> None:
    module = extractor(*EVERY)
    maps = module(clip(2, 3, frames, 64, 64))
    for name, fmap in maps.items():
        assert tuple(fmap.data.shape) == (2, *module.outputs[name].shape(frames, 64, 64)), name
        assert 0 <= fmap.times[0] <= fmap.times[-1] <= frames - 1


def test_features_are_slow_then_fast_averaged_over_each_group() -> None:
    module = extractor("features", "slow", "fast")
    maps = module(clip(1, 3, 14, 64, 64))
    features, slow, fast = (maps[name].data for name in ("features", "slow", "fast"))
    assert torch.equal(features[:, : slow.shape[1]], slow)
    groups = torch.stack([group.mean(2) for group in fast.split(4, 2)], 2)
    assert torch.allclose(features[:, slow.shape[1] :], groups, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("fast_res2", 0.5), ("fast", 0.75), ("slow_res2", 2.0), ("features", 2.0)]
)
def test_a_step_sees_the_frames_around_its_time(name: str, tolerance: float) -> None:
    """The centre of mass of a step's gradient over the frames is its time."""
    module = extractor(name)
    frames = 33
    x = clip(1, 3, frames, 64, 64).requires_grad_()
    fmap = module(x)[name]
    middle = fmap.steps // 2
    fmap.data[:, :, middle].square().sum().backward()
    weight = x.grad.square().sum((0, 1, 3, 4))
    centre = (weight * torch.arange(frames)).sum() / weight.sum()
    assert abs(centre - fmap.times[middle]) < tolerance


@pytest.mark.parametrize(
    ("output", "ran"),
    [
        ("fast_res2", {"0.1", "1.1"}),
        ("fast", {"0.1", "1.1", "2.1", "3.1", "4.1"}),
        ("slow_res2", {"0.0", "0.1", "0.fuse", "1.0"}),
        ("slow", {f"{stage}.{part}" for stage in range(4) for part in ("0", "1", "fuse")} | {"4.0"}),
    ],
)
def test_only_what_an_output_needs_is_run(output: str, ran: set[str]) -> None:
    module = extractor(output)
    seen: set[str] = set()
    for index, block in enumerate(module.network.blocks):
        parts = {"0": block.multipathway_blocks[0], "1": block.multipathway_blocks[1]}
        if index < 4:
            parts["fuse"] = block.multipathway_fusion
        for part, submodule in parts.items():
            submodule.register_forward_hook(lambda *_, label=f"{index}.{part}": seen.add(label))
    module(clip())
    assert seen == ran


def test_the_clip_given_to_forward_is_left_as_it_is() -> None:
    x = clip()
    before = x.clone()
    module = extractor(*EVERY)
    first = {name: fmap.data.clone() for name, fmap in module(x).items()}
    assert torch.equal(x, before)
    assert all(torch.equal(first[name], fmap.data) for name, fmap in module(x).items())


def test_frames_and_size_options_change_the_clip() -> None:
    module = extractor("features", frames=8, size=96)
    assert (module.clip.frames, module.clip.size, module.clip.overlap_frames) == (8, (96, 96), 0)
    video = torch.randint(0, 256, (1, 20, 3, 70, 90), dtype=torch.uint8)
    assert tuple(module.features(video)["features"].data.shape) == (1, module.spec.width, 5, 3, 3)


def test_windows_share_their_steps() -> None:
    module = extractor("features", "fast")
    video = torch.randint(0, 256, (1, 40, 3, 64, 64), dtype=torch.uint8)
    maps = module.features(video)
    assert maps["features"].times.tolist() == [4 * k + 1.5 for k in range(10)]
    assert maps["fast"].times.tolist() == list(range(40))


@pytest.mark.parametrize("frames", [1, 6, 17, 21])
def test_steps_of_held_frames_are_dropped(frames: int) -> None:
    module = extractor("features", "fast")
    video = torch.randint(0, 256, (1, frames, 3, 64, 64), dtype=torch.uint8)
    maps = module.features(video)
    assert maps["fast"].times.tolist() == list(range(frames))
    assert maps["features"].times.tolist() == [min(4 * k + 1.5, frames - 0.5) for k in range(-(-frames // 4))]


@pytest.mark.parametrize("name", ["slow/r50_8x8", "slowfast/c2d_r50"])
def test_one_pathway_keeps_the_published_grid(name: str) -> None:
    module = extractor("res2", "res3", "res4", "res5", name=f"{name}_test")
    for frames in (8, 7, 1):
        maps = module(clip(1, 3, frames, 64, 64))
        assert list(maps) == ["res2", "res3", "res4", "res5"]
        for output, fmap in maps.items():
            stride = module.outputs[output].stride[0]
            assert tuple(fmap.data.shape[1:]) == module.outputs[output].shape(frames, 64, 64)
            assert fmap.times.tolist() == group_times(frames, stride, fmap.data).tolist()


def test_odd_pool_of_c2d_keeps_the_last_frame_and_leaves_even_clips_alone() -> None:
    module = extractor("res5", name="slowfast/c2d_r50_test")
    x = clip(1, 3, 8, 64, 64)
    even, odd = module(x)["res5"].data, module(x[:, :, :7])["res5"].data
    assert torch.allclose(even[:, :, :3], odd[:, :, :3], atol=1e-5)
    assert torch.allclose(odd[:, :, 3], module(x[:, :, 6:7])["res5"].data[:, :, 0], atol=1e-5)
