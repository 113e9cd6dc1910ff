from __future__ import annotations

import pytest
import torch
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import WiringError
from vidcore.features import FeatureMap
from vidcore.fusion.align import align
from vidcore.plugin import FeatureInfo


def fusion(name, streams, **options):
    spec = installed().find("fusion", name)[0].spec
    torch.manual_seed(0)
    return load_target(spec)(spec, component_config(spec, options), streams)


def fmap(dim, steps, grid, stride=1.0, batch=2):
    generator = torch.Generator().manual_seed(dim)
    times = torch.arange(steps) * stride + (stride - 1) / 2
    return FeatureMap(torch.randn(batch, dim, steps, *grid, generator=generator), times)


TWO = {"a": FeatureInfo(4, (2, 8, 8)), "b": FeatureInfo(6, (4, 16, 16))}


def test_streams_are_aligned_by_their_times_not_by_their_index():
    # A ramp in time, sampled at another rate, must come out as the same ramp.
    slow_times = torch.tensor([0.0, 4.0, 8.0])
    slow = FeatureMap(slow_times.reshape(1, 1, 3, 1, 1).expand(1, 2, 3, 2, 2), slow_times)
    fast = fmap(3, 9, (4, 4), batch=1)
    aligned = align(slow, fast)
    assert aligned.shape == (1, 2, 9, 4, 4)
    assert torch.allclose(aligned[0, 0, :, 0, 0], torch.arange(9.0))


def test_concat_of_one_stream_changes_nothing():
    features = fmap(4, 8, (3, 5))
    part = fusion("concat", {"a": TWO["a"]})
    assert torch.equal(part({"a": features}).data, features.data)
    assert part.output == TWO["a"]


def test_concat_keeps_the_reference_and_appends_the_others():
    streams = {"a": fmap(4, 8, (4, 4), 2.0), "b": fmap(6, 4, (2, 2), 4.0)}
    part = fusion("concat", TWO)
    fused = part(streams)
    assert part.output == FeatureInfo(10, (2, 8, 8))
    assert fused.data.shape == (2, 10, 8, 4, 4)
    assert torch.equal(fused.data[:, :4], streams["a"].data)
    other = fusion("concat", TWO, reference="b")
    assert other(streams).data.shape == (2, 10, 4, 2, 2)
    assert torch.equal(other(streams).data[:, 4:], streams["b"].data)


def test_gates_start_equal_and_sum_to_one():
    streams = {"a": fmap(4, 8, (4, 4), 2.0), "b": fmap(6, 8, (4, 4), 2.0)}
    part = fusion("gated", TWO, width=5)
    mean = sum(project(streams[name].data) for name, project in zip("ab", part.project, strict=True)) / 2
    assert torch.allclose(part(streams).data, mean, atol=1e-6)
    part.gate_logits.data[:] = torch.tensor([30.0, -30.0])
    assert torch.allclose(part(streams).data, part.project[0](streams["a"].data), atol=1e-6)


def test_projecting_before_or_after_resampling_is_the_same():
    streams = {"a": fmap(4, 8, (4, 4), 2.0), "b": fmap(6, 4, (2, 2), 4.0)}
    part = fusion("gated", TWO, width=5)
    resampled = FeatureMap(align(streams["b"], streams["a"]), streams["a"].times)
    by_hand = (part.project[0](streams["a"].data) + part.project[1](resampled.data)) / 2
    assert torch.allclose(part(streams).data, by_hand, atol=1e-5)


def test_an_unknown_reference_names_the_streams():
    with pytest.raises(WiringError, match="reference 'c' is not a stream; the streams are: a, b"):
        fusion("concat", TWO, reference="c")
    with pytest.raises(WiringError, match="needs at least one stream"):
        fusion("concat", {})


def test_padding_does_not_reach_real_steps_of_another_rate():
    slow, fast = fmap(6, 4, (2, 2), 4.0), fmap(4, 16, (2, 2))
    slow_mask = torch.tensor([[True, True, True, False]]).expand(2, -1)
    fast_mask = (torch.arange(16) < 12).expand(2, -1)
    streams = {"b": FeatureMap(slow.data, slow.times, slow_mask), "a": FeatureMap(fast.data, fast.times, fast_mask)}
    part = fusion("concat", {"a": FeatureInfo(4, (1, 8, 8)), "b": TWO["b"]})
    before = part(streams).data
    slow.data[:, :, 3] += 100
    assert torch.equal(part(streams).data[:, :, :12], before[:, :, :12])
