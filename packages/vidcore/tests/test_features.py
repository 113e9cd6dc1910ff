from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vidcore.errors import ShapeError
from vidcore.features import FeatureMap


def fmap(steps=4, batch=2, dim=3, grid=(2, 2), stride=2.0, mask=None):
    data = torch.arange(batch * dim * steps * grid[0] * grid[1], dtype=torch.float32)
    return FeatureMap(data.reshape(batch, dim, steps, *grid), torch.arange(steps) * stride + 0.5, mask)


def test_repr_prints_shapes_and_never_data():
    assert repr(fmap()) == "FeatureMap(B=2, D=3, T=4, H=2, W=2, float32, cpu)"
    assert repr(fmap(mask=torch.ones(2, 4, dtype=torch.bool))).endswith("cpu, masked)")


def test_views():
    features = fmap()
    assert features.sequence().shape == (2, 4, 3)
    assert torch.equal(features.sequence()[1, 2], features.data[1, :, 2].mean((1, 2)))
    assert features.tokens().shape == (2, 16, 3)
    assert torch.equal(features.tokens()[0, 5], features.data[0, :, 1, 0, 1]), "time-major, then rows"
    assert features.pooled().data.shape == (2, 3, 4, 1, 1)
    assert features.temporal_stride == 2.0
    assert fmap(steps=1).temporal_stride == 0.0


def test_shapes_that_do_not_fit_are_refused():
    data = torch.zeros(2, 3, 4, 1, 1)
    with pytest.raises(ShapeError, match=r"must be \(B, D, T, H, W\); got \(2, 3, 4\)"):
        FeatureMap(torch.zeros(2, 3, 4), torch.arange(4))
    with pytest.raises(ShapeError, match=r"times must be \(4,\) or \(2, 4\); got \(5,\)"):
        FeatureMap(data, torch.arange(5))
    with pytest.raises(ShapeError, match=r"mask must be \(2, 4\); got \(4,\)"):
        FeatureMap(data, torch.arange(4), torch.ones(4, dtype=torch.bool))


def test_at_interpolates_between_centres_and_holds_the_ends():
    features = FeatureMap(torch.tensor([0.0, 10.0, 20.0]).reshape(1, 1, 3, 1, 1), torch.tensor([1.0, 3.0, 5.0]))
    asked = torch.tensor([0.0, 1.0, 1.5, 4.0, 5.0, 9.0])
    assert features.at(asked).data.flatten().tolist() == [0.0, 0.0, 2.5, 15.0, 20.0, 20.0]
    assert features.at(asked, "previous").data.flatten().tolist() == [0.0, 0.0, 0.0, 10.0, 20.0, 20.0]


def test_at_takes_times_per_row_and_carries_the_mask():
    features = FeatureMap(
        torch.tensor([[0.0, 10.0, 20.0], [5.0, 6.0, 7.0]]).reshape(2, 1, 3, 1, 1),
        torch.tensor([0.0, 1.0, 2.0]),
        torch.tensor([[True, True, False], [True, True, True]]),
    )
    resampled = features.at(torch.tensor([[0.5, 1.9], [0.0, 1.0]]))
    # 1.9 lies between a real step (10) and padding (20): the real one is held.
    assert torch.allclose(resampled.data.flatten(), torch.tensor([5.0, 10.0, 5.0, 6.0]))
    assert resampled.mask.tolist() == [[True, False], [True, True]]


@given(
    steps=st.integers(1, 9),
    asked=st.lists(st.floats(-5, 25, allow_nan=False, width=32), min_size=1, max_size=9),
    batched=st.booleans(),
    mode=st.sampled_from(["linear", "previous"]),
)
@settings(max_examples=60, deadline=None)
def test_at_properties(steps, asked, batched, mode):
    features = fmap(steps=steps)
    times = torch.tensor(asked)
    resampled = features.at(times.expand(2, -1) if batched else times, mode)
    assert resampled.data.shape == (2, 3, len(asked), 2, 2)
    # Never beyond what was there, and at the steps' own times exactly what was there.
    assert resampled.data.min() >= features.data.min() - 1e-4
    assert resampled.data.max() <= features.data.max() + 1e-4
    assert torch.equal(features.at(features.times, mode).data, features.data)


@given(st.integers(2, 8), st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_previous_never_looks_ahead(steps, changed):
    changed %= steps
    before = fmap(steps=steps)
    data = before.data.clone()
    data[:, :, changed] += 100
    after = FeatureMap(data, before.times)
    asked = torch.linspace(-1, 2 * steps, 23)
    same = asked < (before.times[changed] if changed else -torch.inf)
    assert torch.equal(before.at(asked[same], "previous").data, after.at(asked[same], "previous").data)
    assert not torch.equal(before.at(asked, "previous").data, after.at(asked, "previous").data)


def test_gradients_pass_through_at():
    data = torch.zeros(1, 2, 3, 1, 1, requires_grad=True)
    FeatureMap(data, torch.arange(3.0)).at(torch.tensor([0.5])).data.sum().backward()
    assert data.grad[0, 0, :, 0, 0].tolist() == [0.5, 0.5, 0.0]


def test_to_casts_data_and_keeps_times():
    moved = fmap(mask=torch.ones(2, 4, dtype=torch.bool)).to(dtype=torch.float16)
    assert moved.data.dtype == torch.float16
    assert moved.times.dtype == torch.float32
    assert moved.mask.dtype == torch.bool
