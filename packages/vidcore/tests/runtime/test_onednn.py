"""Convolutions that oneDNN computes give what PyTorch's own do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile
from vidcore.runtime import OneDnnConvolutions

ARGUMENTS = [
    {"padding": 1},
    {"stride": (1, 2, 2), "padding": (1, 0, 1), "dilation": (2, 1, 1)},
    {"stride": 2, "groups": 4},
    {"padding": "same"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_as_pytorch(arguments):
    torch.manual_seed(0)
    clip, weight = torch.randn(1, 4, 6, 10, 12), torch.randn(8, 4 // arguments.get("groups", 1), 3, 3, 3)
    expected = F.conv3d(clip, weight, torch.arange(8.0), **arguments)
    with torch.inference_mode(), OneDnnConvolutions():
        found = F.conv3d(clip, weight, torch.arange(8.0), **arguments)
    torch.testing.assert_close(found, expected)


def test_one_clip_on_one_thread_runs_in_onednn_and_keeps_the_layout():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(3, 8, 1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 8, (3, 1, 1), groups=8)
    ).eval()
    clip = torch.randn(1, 3, 4, 9, 9)
    with torch.inference_mode():
        expected = network(clip)
        with OneDnnConvolutions(), profile(activities=[ProfilerActivity.CPU]) as events:
            found = network(clip)
    names = [event.name for event in events.events()]
    assert names.count("aten::mkldnn_convolution") == 2
    assert not [name for name in names if "slow_conv" in name]
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found, expected)


def test_images_too():
    layer, images = nn.Conv2d(3, 5, 3, bias=False), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = layer(images)
        with OneDnnConvolutions():
            torch.testing.assert_close(layer(images), expected)


def test_others_run_as_always():
    double = torch.randn(1, 2, 3, 4, 4, dtype=torch.float64)
    weight = torch.randn(2, 2, 1, 1, 1, dtype=torch.float64)
    trained = nn.Conv3d(2, 2, 1)
    with OneDnnConvolutions():
        assert F.conv3d(double, weight).dtype == torch.float64
        assert F.conv3d(double[0], weight).shape == (2, 3, 4, 4)
        trained(double.float()).sum().backward()
    assert trained.weight.grad is not None
