"""The fill rule and its helpers, against numbers worked out from the rule itself."""

import math
import zlib

import numpy as np
import pytest
import torch
from vidcore.testing import fill_published, golden_clip, relative_error


def drawn(name, shape):
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)


def test_every_line_of_the_rule():
    state = {
        "bn.num_batches_tracked": torch.tensor(7),
        "bn.running_var": torch.zeros(5),
        "bn.running_mean": torch.zeros(5),
        "bn.weight": torch.zeros(5),
        "conv.weight": torch.zeros(4, 3, 2, 2, 2),
        "conv.bias": torch.zeros(4),
        "scale.weight": torch.zeros(()),
    }
    filled = fill_published(state)
    assert list(filled) == list(state)
    expected = {
        "bn.num_batches_tracked": np.zeros(()),
        "bn.running_var": 0.5 + 0.5 * drawn("bn.running_var", 5) ** 2,
        "bn.running_mean": 0.1 * drawn("bn.running_mean", 5),
        "bn.weight": 1 + 0.1 * drawn("bn.weight", 5),
        "conv.weight": drawn("conv.weight", (4, 3, 2, 2, 2)) * math.sqrt(2 / 24),
        "conv.bias": 0.1 * drawn("conv.bias", 4),
        "scale.weight": 1 + 0.1 * drawn("scale.weight", ()),
    }
    for name, tensor in filled.items():
        assert tensor.dtype == state[name].dtype
        assert tensor.shape == state[name].shape
        np.testing.assert_allclose(tensor.numpy(), expected[name], rtol=1e-6)
    assert abs(float(filled["conv.bias"][0]) - 0.1 * drawn("conv.bias", 4)[0]) < 1e-7


def test_meta_tensors_are_filled_for_real_and_the_input_is_left_alone():
    with torch.device("meta"):
        network = torch.nn.Linear(3, 2)
    filled = fill_published(network.state_dict())
    assert {tensor.device.type for tensor in filled.values()} == {"cpu"}
    assert network.weight.device.type == "meta"


def test_golden_clip():
    clip = golden_clip(seed=1, frames=9, size=32)
    assert clip.dtype == torch.float32
    reference = np.random.default_rng(1).uniform(-1, 1, (1, 3, 9, 32, 32)).astype(np.float32)
    assert np.array_equal(clip.numpy(), reference)


def test_relative_error():
    golden = np.array([3.0, 4.0])
    assert relative_error(torch.tensor([3.0, 4.0]), golden) == 0
    assert relative_error(torch.tensor([3.0, 9.0]), golden) == pytest.approx(1.0)
    assert relative_error(torch.ones(2), np.zeros(2)) == pytest.approx(math.sqrt(2))
    # A broadcast would compare something else.
    assert relative_error(torch.ones(1, 2), np.ones((2, 2))) == math.inf
