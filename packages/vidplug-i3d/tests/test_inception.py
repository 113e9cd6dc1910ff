from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from vidcore.testing import fill_published, golden_clip, relative_error
from vidplug_i3d.inception import ENDPOINTS, InceptionI3D, SameMaxPool3d, Unit3D, prefers_onednn, same_padding

GOLDEN = Path(__file__).parent / "golden"
SHARED_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
TINY = 1 / 16


def filled(width: float = 1.0, **options) -> InceptionI3D:
    network = InceptionI3D(width=width, **options).eval()
    network.load_state_dict(fill_published(network.state_dict()))
    return network


def random_map(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float().relu()


def test_names_and_shapes_are_the_published():
    with torch.device("meta"):
        network = InceptionI3D()
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == json.loads((GOLDEN / "i3d_inception.keys.json").read_text())


def test_goldens():
    network = filled()
    with np.load(GOLDEN / "i3d_inception.npz") as arrays:
        golden = dict(arrays)
    with torch.inference_mode():
        grid = network.forward_features(golden_clip(seed=0, frames=24, size=224))["Mixed_5c"]
        logits = network.logits(grid)
    assert grid.shape == (1, 1024, 3, 7, 7)
    assert relative_error(grid.mean((3, 4)), golden["grid_mean"]) < 1e-4
    assert relative_error(grid[:, ::16], golden["grid_corner"]) < 1e-4
    assert relative_error(logits, golden["logits"]) < 1e-4


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (23, 7, 2, (3, 3)),
        (1, 7, 2, (3, 3)),
        (112, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (14, 3, 1, (1, 1)),
        (7, 2, 2, (0, 1)),
        (6, 2, 2, (0, 0)),
        (5, 1, 1, (0, 0)),
    ],
)
def test_same_padding_by_hand(size, kernel, stride, expected):
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (7, 8, 9), (12, 14, 5)])
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))],
)
def test_pools_equal_a_pool_of_the_padded_map(shape, kernel, stride):
    x = random_map(2, 3, *shape)
    sides = [same_padding(*axis) for axis in zip(shape, kernel, stride, strict=True)]
    padded = F.pad(x, [amount for side in reversed(sides) for amount in side])
    expected = F.max_pool3d(padded, kernel, stride)
    pool = SameMaxPool3d(kernel, stride)
    assert torch.equal(pool(x), expected)
    assert torch.equal(pool(x.contiguous(memory_format=torch.channels_last_3d)), expected)
    assert torch.equal(pool(x.clone().requires_grad_()), expected)


def test_pooling_through_onednn_is_left_where_it_cannot_go():
    x = random_map(1, 2, 3, 4, 5)
    assert prefers_onednn(x) == torch.backends.mkldnn.is_available()
    assert not prefers_onednn(x.clone().requires_grad_())
    assert not prefers_onednn(x.double())
    assert not prefers_onednn(x.to("meta"))
    assert not prefers_onednn(x.contiguous(memory_format=torch.channels_last_3d))


def test_strided_convolution_equals_one_of_the_padded_clip():
    unit = Unit3D(3, 4, kernel=7, stride=2).eval()
    x = random_map(1, 3, 5, 8, 9)
    expected = F.conv3d(F.pad(x, (3, 3, 2, 3, 3, 3)), unit.conv3d.weight, stride=2)
    assert torch.allclose(unit(x), unit.bn(expected).relu(), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64), (9, 50, 33), (16, 40, 70), (2, 1, 1)])
def test_any_clip_goes_through(shape):
    network = filled(TINY)
    frames, height, width = shape
    with torch.inference_mode():
        maps = network.forward_features(random_map(2, 3, *shape), ENDPOINTS)
        logits = network(random_map(2, 3, *shape))
    assert list(maps) == list(ENDPOINTS)
    # (time, space) stride of every end point; 'SAME' halvings compose to one ceiling.
    strides = dict.fromkeys(ENDPOINTS, (8, 32))
    strides |= {"Conv3d_1a_7x7": (2, 2)}
    strides |= dict.fromkeys(("MaxPool3d_2a_3x3", "Conv3d_2b_1x1", "Conv3d_2c_3x3"), (2, 4))
    strides |= dict.fromkeys(("MaxPool3d_3a_3x3", "Mixed_3b", "Mixed_3c"), (2, 8))
    strides |= dict.fromkeys(("MaxPool3d_4a_3x3", *(f"Mixed_4{x}" for x in "bcdef")), (4, 16))
    for name, (time, space) in strides.items():
        assert maps[name].shape[2:] == (-(-frames // time), -(-height // space), -(-width // space)), name
    assert logits.shape == (2, 400)
    assert logits.isfinite().all()


def test_end_points_come_in_the_order_asked_and_nothing_behind_them_runs():
    network = filled(TINY)
    network.Mixed_4b.register_forward_hook(lambda *_: pytest.fail("a layer behind the last end point ran"))
    with torch.inference_mode():
        maps = network.forward_features(random_map(1, 3, 4, 32, 32), ("Mixed_3c", "Conv3d_1a_7x7"))
    assert list(maps) == ["Mixed_3c", "Conv3d_1a_7x7"]


def test_inner_maps_are_not_overwritten_by_later_layers():
    network = filled(TINY)
    x = random_map(1, 3, 4, 32, 32)
    with torch.inference_mode():
        together = network.forward_features(x, ENDPOINTS)
        for name in ENDPOINTS:
            assert torch.equal(together[name], network.forward_features(x, (name,))[name]), name


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        (("Mixed_5c", "Mixed_6a"), r"unknown end points \['Mixed_6a'\]; choose from Conv3d_1a_7x7, .*, Mixed_5c"),
        ((), "no end point asked for; choose from"),
    ],
)
def test_wrong_end_points_are_refused(endpoints, message):
    with pytest.raises(ValueError, match=message):
        InceptionI3D(width=TINY).forward_features(torch.zeros(1, 3, 1, 32, 32), endpoints)


def test_logits_are_the_mean_over_time_of_pairs_of_steps():
    network = filled(TINY)
    features = random_map(1, network.dim, 3, 7, 7)
    with torch.inference_mode():
        pairs = [network.logits(features[:, :, i : i + 2]) for i in range(2)]
        assert torch.allclose(network.logits(features), (pairs[0] + pairs[1]) / 2, atol=1e-6)


def test_bfloat16_follows_float32():
    network, x = filled(TINY), random_map(1, 3, 9, 32, 32)
    with torch.inference_mode():
        exact = network(x)
        rounded = network.bfloat16()(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert relative_error(rounded.float(), exact.numpy()) < 0.05


def test_gradients_reach_every_parameter():
    network = filled(TINY, num_classes=5).train()
    network(random_map(2, 3, 9, 64, 64)).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_options_change_the_network():
    network = InceptionI3D(num_classes=7, in_channels=2, width=0.25, dropout=0.1)
    assert network.dim == 256
    assert network.logits.conv3d.weight.shape == (7, 256, 1, 1, 1)
    assert network.Conv3d_1a_7x7.conv3d.weight.shape == (16, 2, 7, 7, 7)
    assert network.logits.dropout.p == 0.1
    assert sum(p.numel() for p in network.parameters()) < 2_000_000


@pytest.fixture(scope="module")
def kinetics() -> InceptionI3D:
    path = SHARED_DATA / "weights" / "i3d_rgb_kinetics400.safetensors"
    if not path.is_file():
        pytest.skip("the published Kinetics-400 weights are not in the shared data folder")
    network = InceptionI3D().eval()
    network.load_state_dict(pytest.importorskip("safetensors.torch").load_file(path), strict=True)
    return network


def uniform_frames(path: Path, count: int) -> torch.Tensor:
    """``count`` frames spread evenly over a whole video: (1, 3, count, 224, 224) in [-1, 1]."""
    av = pytest.importorskip("av")
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the shared data folder")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = np.stack([frames[int(i)] for i in np.linspace(0, len(frames) - 1, count)])
    video = F.interpolate(torch.from_numpy(chosen).permute(0, 3, 1, 2).float(), (224, 224), mode="bilinear")
    return (video / 127.5 - 1).transpose(0, 1)[None]


@pytest.mark.parametrize(
    ("video", "count", "expected"),
    [
        ("v_GGSY1Qvo990.mp4", 32, {"clean and jerk": 1.0}),
        ("demo.mp4", 32, {"arm wrestling": 1.0}),
        ("mmtest.avi", 64, {"filling eyebrows": 0.55, "applying cream": 0.30, "waxing eyebrows": 0.12}),
    ],
)
def test_published_weights_recognise_real_clips(kinetics, video, count, expected):
    labels = (SHARED_DATA / "weights" / "kinetics400_label_map.txt").read_text().split("\n")
    with torch.inference_mode():
        scores, classes = (
            kinetics(uniform_frames(SHARED_DATA / "clips" / video, count)).softmax(1)[0].topk(len(expected))
        )
    assert [labels[i] for i in classes] == list(expected)
    # How the reference numbers were resized and sampled is not recorded; close calls move by some hundredths.
    assert scores.tolist() == pytest.approx(list(expected.values()), abs=0.1)
