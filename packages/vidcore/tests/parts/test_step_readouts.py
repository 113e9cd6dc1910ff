"""What readouts make of order, of padding, and of the steps so far."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError
from vidcore.features import FeatureMap
from vidcore.plugin import FeatureInfo
from vidcore.testing import fake_map

INFO = FeatureInfo(8, (2, 16, 16))
MAP = fake_map(INFO, frames=12)  # six steps of 2x2 cells

SMALL = {
    "mean": {},
    "max": {},
    "last": {},
    "attention": {"heads": 2, "queries": 3},
    "gru": {"width": 5},
    "lstm": {"width": 5, "layers": 2},
    "transformer": {"width": 8, "heads": 2},
}
PROBE = ("attention", {"heads": 2, "queries": 2, "blocks": 1})
ALL = [*SMALL.items(), PROBE, ("attention", {"heads": 2, "blocks": 3}), ("gru", {"width": 5, "bidirectional": True})]


def build(name, **options):
    spec = installed().find("readout", name)[0].spec
    torch.manual_seed(0)
    return load_target(spec)(spec, component_config(spec, options), INFO).eval()


def some(steps):
    """The map with the given steps only."""
    return FeatureMap(MAP.data[:, :, steps], MAP.times[steps])


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), ALL)
@pytest.mark.parametrize("kept", [[0, 1, 2], [2, 5], [0, 3, 4], [1]])
def test_padding_anywhere_is_as_if_it_were_not_there(name, options, kept):
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[:, kept] = True
    readout = build(name, **options)
    assert torch.allclose(readout(replace(MAP, mask=mask)), readout(some(kept)), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), ALL)
def test_rows_are_padded_by_themselves(name, options):
    mask = torch.tensor([[True] * 6, [True, True, False, False, False, False]])
    readout = build(name, **options)
    both = readout(replace(MAP, mask=mask))
    assert torch.allclose(both[0], readout(MAP)[0], atol=1e-5)
    assert torch.allclose(both[1], readout(some([0, 1]))[1], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), [*SMALL.items(), PROBE])
def test_a_causal_result_is_that_of_the_clip_so_far(name, options):
    per_clip, causal = build(name, **options), build(name, **options, causal=True)
    assert (per_clip.spec.causal, per_clip.output.per_step) == (False, False)
    assert (causal.spec.causal, causal.output.per_step) == (True, True)
    results = causal(MAP)
    assert results.shape == (2, 6, causal.output.dim)
    for step in range(6):
        so_far = some(list(range(step + 1)))
        # A Transformer's step is a result of its own; the clip's is the mean of all.
        expected = causal(so_far)[:, -1] if name == "transformer" else per_clip(so_far)
        assert torch.allclose(results[:, step], expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), [*SMALL.items(), ("attention", {"heads": 2, "blocks": 3})])
def test_padded_steps_hold_the_last_real_result(name, options):
    mask = torch.tensor([[True, True, False, True, False, False], [False, True, True, True, True, True]])
    causal = build(name, **options, causal=True)
    results = causal(replace(MAP, mask=mask))
    alone = causal(some([0, 1, 3]))
    assert torch.allclose(results[0], alone[0, [0, 1, 1, 2, 2, 2]], atol=1e-5)
    assert torch.allclose(results[1], causal(some([1, 2, 3, 4, 5]))[1, [0, 0, 1, 2, 3, 4]], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "reads_order"), [("mean", 0), ("max", 0), ("gru", 1), ("lstm", 1), ("transformer", 1)]
)
def test_shuffled_clips(name, reads_order):
    readout = build(name, **SMALL[name])
    shuffled = replace(MAP, data=MAP.data[:, :, [3, 0, 5, 1, 4, 2]])
    assert torch.allclose(readout(shuffled), readout(MAP), atol=1e-3) != bool(reads_order)


@torch.no_grad()
def test_the_transformer_knows_times_not_numbers():
    readout = build("transformer", width=8, heads=2)
    assert not torch.allclose(readout(replace(MAP, times=2 * MAP.times)), readout(MAP), atol=1e-3)
    order = [3, 0, 5, 1, 4, 2]
    assert torch.allclose(readout(some(order)), readout(MAP), atol=1e-5), "steps that keep their times"


@torch.no_grad()
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_results_are_the_final_states(name):
    readout = build(name, width=5, bidirectional=True)
    _, final = readout.network(readout.norm(MAP.sequence()))
    hidden = final[0] if name == "lstm" else final
    assert torch.allclose(readout(MAP), torch.cat([hidden[0], hidden[1]], 1), atol=1e-6)
    per_step = build(name, width=5, bidirectional=True, per_step=True)
    assert per_step.output.dim == 10 and not per_step.spec.causal
    assert torch.allclose(per_step(MAP), readout.network(readout.norm(MAP.sequence()))[0], atol=1e-6)


@torch.no_grad()
def test_the_probe_is_a_block_of_cross_attention():
    """Query tokens, attention with a residual, an MLP with a residual."""
    probe = build("attention", heads=2, queries=3, blocks=1)
    keys, values = probe.key_value(F.layer_norm(MAP.tokens(), (8,))).chunk(2, -1)
    asked = probe.block.query(probe.queries).expand(2, -1, -1)
    parts = [
        (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        for q, k, v in zip(*(t.split(4, -1) for t in (asked, keys, values)), strict=True)
    ]
    x = probe.queries + probe.project(torch.cat(parts, -1))
    x = x + probe.block.mlp(probe.block.norm(x))
    assert torch.allclose(probe(MAP), x.mean(1), atol=1e-5)


def test_the_norm_is_learned_though_it_is_taken_into_the_projection():
    probe = build("attention", heads=2, queries=3)
    torch.nn.init.normal_(probe.norm.weight)
    torch.nn.init.normal_(probe.norm.bias)
    tokens = torch.randn(2, 5, probe.norm.normalized_shape[0])

    def with_gradients(result):
        probe.zero_grad()
        result.square().sum().backward()
        return [result, *(p.grad for p in (*probe.norm.parameters(), *probe.key_value.parameters()))]

    ours, plain = (with_gradients(r) for r in (probe._keys_values(tokens), probe.key_value(probe.norm(tokens))))
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_blocks_before_the_queries():
    assert [len(build("attention", heads=2, blocks=blocks).encoder) for blocks in range(5)] == [0, 0, 1, 2, 3]
    assert build("attention", heads=2, blocks=0).block is None
    with pytest.raises(ConfigError, match="less than or equal to 4"):
        build("attention", heads=2, blocks=5)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(ConfigError, match="a causal readout cannot read backwards; set bidirectional: false"):
        build("gru", causal=True, bidirectional=True)
    with pytest.raises(ConfigError, match=r"'transformer': width 10 is not a multiple of heads \(8\)"):
        build("transformer", width=10)
