"""Streams are standardised as scikit-learn standardises their pooled features, and nothing is divided by zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from vidcore.features import FeatureMap
from vidcore.standardise import RunningStatistics, Standardise, standardised


def _map(clips=20, dim=5, seed=0, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(clips, dim, 4, 2, 3, generator=generator) * torch.logspace(-2, 3, dim)[:, None, None, None]
    mask = torch.arange(4) < torch.randint(1, 5, (clips, 1), generator=generator)
    return FeatureMap(data + offset, torch.arange(4.0), mask)


def _statistics(fmap, batch=7):
    running = RunningStatistics()
    for start in range(0, len(fmap.data), batch):
        part = slice(start, start + batch)
        running.update(FeatureMap(fmap.data[part], fmap.times, None if fmap.mask is None else fmap.mask[part]))
    return running.found()


def _pooled(fmap):
    steps = fmap.data.double().mean((3, 4))
    weight = torch.ones(len(steps), 4).double() if fmap.mask is None else fmap.mask.double()
    return ((steps * weight[:, None]).sum(2) / weight.sum(1, keepdim=True)).numpy()


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_pooled_features_become_what_standard_scaler_makes_of_them(offset):
    fmap = _map(offset=offset)
    module = Standardise({"a": 5})
    module.set_statistics({"a": _statistics(fmap)})
    module.double()
    found = _pooled(module({"a": FeatureMap(fmap.data.double(), fmap.times, fmap.mask)})["a"])
    expected = StandardScaler().fit_transform(_pooled(fmap))
    # Beside 10,000 float32 hardly holds a deviation of 0.01: that channel is constant up to rounding.
    first = 1 if offset else 0
    # And the mean it subtracts is off by a bit of 10,000, alike for all clips.
    apart = (found - expected)[:, first:]
    assert np.abs(apart - apart.mean(0)).max() < 1e-5
    assert np.abs(apart).max() < (0.02 if offset else 1e-5)


def test_constant_channels_are_silenced_and_stay_so():
    fmap = _map()
    fmap.data[:, 1] = 7.3
    fmap.data[:, 3] = 1e4 + 1e-3 * fmap.data[:, 3].sign()
    gain = _statistics(fmap).gain()
    assert (gain[1], gain[3]) == (0, 0)
    module = Standardise({"a": 5})
    module.set_statistics({"a": _statistics(fmap)})
    other = FeatureMap(fmap.data + 1e6, fmap.times)
    assert torch.equal(module({"a": other})["a"].data[:, 1], torch.zeros(20, 4, 2, 3))
    single = _statistics(FeatureMap(fmap.data[:1], fmap.times))
    assert single.gain().isfinite().all()


def test_a_channel_whose_clips_hardly_differ_is_scaled_by_its_tokens():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(50, 1, 10, 10, 10, generator=generator)
    data -= data.mean((2, 3, 4), keepdim=True)
    data += 1e-4 * torch.randn(50, 1, 1, 1, 1, generator=generator)
    found = _statistics(FeatureMap(data, torch.arange(10.0)))
    assert found.gain()[0] == pytest.approx(10, rel=0.05)


def test_without_statistics_it_changes_nothing_and_other_streams_pass():
    fmap = _map()
    module = Standardise({"a": 5})
    found = module({"a": fmap, "b": fmap})
    assert torch.equal(found["a"].data, fmap.data)
    assert found["b"] is fmap
    assert Standardise({}).state_dict() == {}


def test_units_of_a_grid_are_standardised_each_by_its_own():
    one, two = Standardise({"a": 5}), Standardise({"a": 5})
    one.set_statistics({"a": _statistics(_map(seed=1))})
    two.set_statistics({"a": _statistics(_map(seed=2))})
    fmap = _map(clips=6, seed=3)
    found = standardised({"a": fmap}, [one, two])["a"].data
    halves = [FeatureMap(fmap.data[part], fmap.times) for part in (slice(0, 3), slice(3, 6))]
    expected = torch.cat([unit({"a": half})["a"].data for unit, half in zip((one, two), halves, strict=True)])
    assert torch.equal(found, expected)
