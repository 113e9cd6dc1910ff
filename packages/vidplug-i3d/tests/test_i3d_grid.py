"""Which frames a step stands for, and what is run for which output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from vidcore import create
from vidcore.extractors import Extractor
from vidplug_i3d.extractor import endpoint_times, group_times
from vidplug_i3d.inception import ENDPOINTS, MIXED_WIDTHS


def extractor(name: str, *outputs: str, **options) -> Extractor:
    torch.manual_seed(0)
    module = create(f"i3d/{name}_test", outputs=outputs, **options)
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.0)
    return module


def clip(frames: int, height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(1, 3, frames, height, width, generator=torch.Generator().manual_seed(3))


def test_every_published_end_point_is_an_output() -> None:
    outputs = create("i3d/inception").spec.outputs
    assert sorted(outputs) == sorted(ENDPOINTS)
    assert next(iter(outputs)) == "Mixed_5c"
    for name, (b0, _, b1, _, b2, b3) in MIXED_WIDTHS.items():
        assert outputs[name].dim == b0 + b1 + b2 + b3


@pytest.mark.parametrize("name", ["r50_8x8", "inception"])
@pytest.mark.parametrize(("frames", "height", "width"), [(16, 64, 64), (8, 64, 64), (7, 50, 81), (1, 64, 40)])
def test_declared_grid(name: str, frames: int, height: int, width: int) -> None:
    module = extractor(name)
    module = extractor(name, *module.spec.outputs)
    for output, fmap in module(clip(frames, height, width)).items():
        assert tuple(fmap.data.shape[1:]) == module.outputs[output].shape(frames, height, width), output
        assert 0 <= fmap.times[0] <= fmap.times[-1] <= frames - 1
        if name == "r50_8x8":
            stride = module.outputs[output].stride[0]
            groups = torch.arange(frames, dtype=torch.float32).split(stride)
            assert fmap.times.tolist() == group_times(frames, stride, fmap.data).tolist()
            assert fmap.times.tolist() == [group.mean().item() for group in groups]


@pytest.mark.parametrize(("output", "tolerance"), [("res2", 0.5), ("res5", 0.75)])
@pytest.mark.parametrize("frames", [64, 61])
def test_a_step_of_the_resnet_sees_the_frames_around_its_time(output: str, tolerance: float, frames: int) -> None:
    """The centre of mass of a step's gradient over the frames is its time."""
    module = extractor("r50_8x8", output)
    x = clip(frames, 32, 32).requires_grad_()
    fmap = module(x)[output]
    step = fmap.steps // 2
    fmap.data[:, :, step].square().sum().backward()
    weight = x.grad.square().sum((0, 1, 3, 4))
    centre = (weight * torch.arange(frames)).sum() / weight.sum()
    assert abs(centre - fmap.times[step]) < tolerance


@torch.no_grad()
def averaging(module: Extractor) -> Extractor:
    """The network with every convolution an average over channels and time, and every norm the identity."""
    for part in module.modules():
        if isinstance(part, torch.nn.Conv3d):
            channels, kernel = part.in_channels, part.kernel_size[0]
            part.weight.zero_()[:, :, :, kernel // 2, kernel // 2] = 1 / (channels * kernel)
        if isinstance(part, torch.nn.BatchNorm3d):
            part.weight.fill_(1)
            part.running_var.fill_(1 - part.eps)
    return module


@pytest.mark.parametrize("output", ["Conv3d_1a_7x7", "Mixed_3c", "MaxPool3d_4a_3x3", "Mixed_4f", "Mixed_5c"])
@pytest.mark.parametrize("frames", [256, 255, 250, 241])
def test_a_step_of_inception_sees_the_frames_around_its_time(output: str, frames: int) -> None:
    """An averaging network turns a clip of frame numbers into the steps' times.

    Its max pools take the latest frame where the numbers rise and the earliest where they fall, so
    the mean of both is the centre. Only the middle is compared: the padding at both ends counts as zero.
    """
    module = averaging(extractor("inception", output))
    numbers = torch.arange(frames, dtype=torch.float32)
    rising = numbers[None, None, :, None, None].expand(1, 3, -1, 32, 32)
    with torch.no_grad():
        up, down = (module(x)[output] for x in (rising, frames - 1 - rising))
    seen = (up.data.mean((1, 3, 4)) + (frames - 1) - down.data.mean((1, 3, 4)))[0] / 2
    middle = up.steps // 2
    assert seen[middle].item() == pytest.approx(up.times[middle].item(), abs=0.02)


def test_times_of_inception_by_hand() -> None:
    # 'SAME' pads 64 frames with 2 in front and 3 behind for a kernel of 7: step k is centred on frame 2k + 1.
    assert endpoint_times(64, "Conv3d_1a_7x7").tolist() == [2 * k + 1 for k in range(32)]
    assert endpoint_times(64, "Mixed_4b").tolist() == [4 * k + 3 for k in range(16)]
    assert endpoint_times(64, "Mixed_5c").tolist() == [8 * k + 5 for k in range(8)]
    # An odd number is padded alike on both sides, so that its steps are centred on its frames.
    assert endpoint_times(9, "Conv3d_1a_7x7").tolist() == [0, 2, 4, 6, 8]
    assert endpoint_times(9, "Mixed_4b").tolist() == [0, 4, 8]
    assert endpoint_times(1, "Mixed_5c").tolist() == [0]


@pytest.mark.parametrize("frames", [1, 6, 32, 45, 70])
def test_windows_of_inception_share_their_steps(frames: int) -> None:
    module = extractor("inception")
    video = torch.randint(0, 256, (1, frames, 3, 64, 64), dtype=torch.uint8)
    fmap = module.features(video)["Mixed_5c"]
    if frames <= 32:
        assert fmap.times.tolist() == endpoint_times(frames, "Mixed_5c").tolist()
    else:
        assert fmap.times.tolist() == [min(8 * k + 5, frames - 0.5) for k in range(-(-(frames - 1) // 8))]
    assert tuple(module.extract(video).shape) == (1, frames, 256)


@pytest.mark.parametrize(("output", "ran"), [("res2", [0, 1]), ("res4", [0, 1, 2, 3, 4]), ("res5", [0, 1, 2, 3, 4, 5])])
def test_stages_after_the_last_one_asked_for_are_not_run(output: str, ran: list[int]) -> None:
    module = extractor("r50_8x8", output)
    seen: list[int] = []
    for index, block in enumerate(module.network.blocks):
        block.register_forward_hook(lambda *_, index=index: seen.append(index))
    module(clip(8))
    assert seen == ran


def test_options_change_the_clip() -> None:
    fixed = extractor("r50_8x8", frames=16, size=96).clip
    assert (fixed.frames, fixed.size, fixed.overlap_frames) == (16, (96, 96), 4)
    free = extractor("inception", frames=96, size=96).clip
    assert (free.frames, free.max_frames, free.size, free.overlap_frames) == (None, 96, (96, 96), 24)
