"""Cross-attention, bottleneck and late fusion: what each does beyond what the conformance suite asks of all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, WiringError
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.heads import TargetInfo
from vidcore.plugin import FeatureInfo
from vidcore.testing import fake_map

SLOW = FeatureInfo(6, (4, 16, 16))
FAST = FeatureInfo(4, (1, 8, 8))
STEPS = FeatureInfo(5, (2, None, None))
CLIP = FeatureInfo(5, (None, None, None))


def part(kind, name, *inputs, **options):
    spec = installed().find(kind, name)[0].spec
    torch.manual_seed(0)
    return load_target(spec)(spec, component_config(spec, options), *inputs).eval()


def fusion(name, streams, **options):
    return part("fusion", name, streams, **{"width": 16, "heads": 2, **options})


def maps(streams, seed=0):
    return {name: fake_map(info, seed=seed + i) for i, (name, info) in enumerate(streams.items())}


TWO = {"fast": FAST, "slow": SLOW}
THREE = {**TWO, "steps": STEPS}


# Cross-attention


def test_it_is_below_four_million_parameters():
    # The projections take 1.57 M and each direction 1.05 M: no room for an MLP.
    with torch.device("meta"):
        module = part("fusion", "cross_attention", {"a": FeatureInfo(1024), "b": FeatureInfo(2048)})
    count = sum(p.numel() for p in module.parameters())
    assert module.output.dim == 512 and module.attend[0].num_heads == 8
    assert count == 1024 * 512 + 2048 * 512 + 2 * 512 + 2 * (4 * 512 * 512 + 4 * 512) + 4 * 2 * 512
    assert count < 4_000_000


@pytest.mark.parametrize(("direction", "pairs"), [("both", 6), ("one", 2)])
def test_attention_maps_are_distributions_over_several_keys(direction, pairs):
    streams = maps(THREE)
    module = fusion("cross_attention", THREE, direction=direction)
    found = module.attention(streams)
    assert len(found) == pairs and all(query != key for query, key in found)
    tokens = {"fast": 16 * 4 * 4, "slow": 4 * 2 * 2, "steps": 8}
    for (query, key), weights in found.items():
        assert weights.shape == (2, 2, tokens[query], tokens[key])
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
        assert weights.shape[-1] > 1 and weights.amax() < 0.999, "spread over more than one key"
        assert weights.std(-1).mean() > 1e-4, "and not uniform"


def test_attention_maps_are_what_the_result_is_made_of():
    """The values, weighted by the maps, give the result again."""
    streams = maps(TWO)
    module = fusion("cross_attention", TWO, direction="one", reference="slow")
    weights = module.attention(streams)["slow", "fast"]
    fast, slow = module.tokens[0](streams["fast"]).tokens(), module.tokens[1](streams["slow"]).tokens()
    attend = module.attend[0]
    values = torch.nn.functional.linear(fast, attend.in_proj_weight[32:], attend.in_proj_bias[32:])
    heads = weights @ values.unflatten(-1, (2, 8)).transpose(1, 2)
    expected = module.norms[0](slow + attend.out_proj(heads.transpose(1, 2).flatten(2)))
    assert torch.allclose(module(streams).tokens(), expected, atol=1e-5)


def test_padding_is_attended_to_by_none():
    mask = torch.tensor([[True, True, True, False], [True] * 4])
    streams = maps(TWO)
    streams["slow"] = replace(streams["slow"], mask=mask)
    weights = fusion("cross_attention", TWO).attention(streams)["fast", "slow"]
    assert weights[0, :, :, 12:].abs().max() == 0 and weights[1, :, :, 12:].min() > 0
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)


def test_streams_find_each_other_by_time_not_by_number():
    streams = maps(TWO)
    module = fusion("cross_attention", TWO, direction="one", reference="fast")
    plain = module(streams).data
    order = torch.tensor([2, 0, 3, 1])
    slow = streams["slow"]
    moved = FeatureMap(slow.data[:, :, order], slow.times[order])
    assert torch.allclose(module({**streams, "slow": moved}).data, plain, atol=1e-5), "steps keep their times"
    shuffled = replace(slow, data=slow.data[:, :, order])
    assert not torch.allclose(module({**streams, "slow": shuffled}).data, plain, atol=1e-3), "steps at other times"


def test_tokens_know_their_place():
    streams = maps(TWO)
    module = fusion("cross_attention", TWO, direction="one", reference="fast")
    mirrored = replace(streams["slow"], data=streams["slow"].data.flip(4))
    assert not torch.allclose(module({**streams, "slow": mirrored}).data, module(streams).data, atol=1e-3)


def test_directions():
    streams = maps(TWO)
    one = fusion("cross_attention", TWO, direction="one", reference="slow")
    assert len(one.attend) == 1
    assert one.output == FeatureInfo(16, (4, 16, 16))
    both = fusion("cross_attention", TWO, reference="slow")
    assert len(both.attend) == 2
    assert both(streams).data.shape == one(streams).data.shape == (2, 16, 4, 2, 2)
    pooled = fusion("cross_attention", TWO, pool=True)
    assert pooled.output == FeatureInfo(16, (1, None, None))
    assert pooled(streams).data.shape == (2, 16, 16, 1, 1)


def test_what_cannot_attend_is_refused_when_it_is_built():
    with pytest.raises(WiringError, match="'cross_attention' needs at least two streams; there is one: fast"):
        fusion("cross_attention", {"fast": FAST})
    with pytest.raises(WiringError, match="stream 'clip' is one vector per clip, and attention over a single key is 1"):
        fusion("cross_attention", {"fast": FAST, "clip": CLIP})
    grid_only = FeatureInfo(5, (None, 8, 8))
    fusion("cross_attention", {"fast": FAST, "grid": grid_only})
    with pytest.raises(WiringError, match=r"has steps or a grid \(or pool: false\)"):
        fusion("cross_attention", {"fast": FAST, "grid": grid_only}, pool=True)
    # Where it only asks, there is no such key.
    assert fusion("cross_attention", {"clip": CLIP, "fast": FAST}, direction="one").output.stride == CLIP.stride
    with pytest.raises(ConfigError, match=r"width 16 is not a multiple of heads \(3\)"):
        fusion("cross_attention", TWO, heads=3)


# Bottleneck


def test_streams_exchange_through_the_bottleneck_alone():
    streams = maps(TWO)
    other = maps(TWO, seed=7)
    module = fusion("bottleneck", TWO, reference="fast")
    seen = []
    hook = module.norms[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    module(streams)
    module({**streams, "slow": other["slow"]})
    assert not torch.allclose(seen[0], seen[1], atol=1e-4), "the slow stream reaches the tokens of the fast one"
    # Closed: every stream's reading of the bottleneck is thrown away, and the shared tokens stay as learned.
    for layer in module.layers:
        for block in layer.blocks:
            block.register_forward_hook(
                lambda _, inputs, out: torch.cat([out[:, : -len(module.bottleneck)], inputs[0][:, -4:]], 1)
            )
    seen.clear()
    module(streams)
    module({**streams, "slow": other["slow"]})
    hook.remove()
    assert torch.allclose(seen[0], seen[1], atol=1e-6), "nothing else crosses"


def test_bottleneck_follows_its_equations():
    """Two layers written out for two streams of single cells, without padding."""
    infos = {"a": FeatureInfo(4, (1, None, None)), "b": FeatureInfo(3, (2, None, None))}
    streams = maps(infos)
    module = fusion("bottleneck", infos, bottlenecks=3)
    from vidcore.fusion._tokens import positions
    from vidcore.fusion.align import align

    embedded = [embed(fmap) for embed, fmap in zip(module.tokens, streams.values(), strict=True)]
    a, b = (fmap.tokens() + positions(fmap) for fmap in embedded)
    shared = module.bottleneck.expand(2, -1, -1)
    for layer in module.layers:
        block_a, block_b = layer.blocks
        a, from_a = block_a(torch.cat([a, shared], 1)).split([16, 3], 1)
        b, from_b = block_b(torch.cat([b, shared], 1)).split([8, 3], 1)
        shared = (from_a + from_b) / 2
    final_a = module.norms[0](a).transpose(1, 2)[..., None, None]
    final_b = FeatureMap(module.norms[1](b).transpose(1, 2)[..., None, None], streams["b"].times)
    expected = (final_a + align(final_b, streams["a"])) / 2
    assert torch.allclose(module(streams).data, expected, atol=1e-5)


def test_bottleneck_refuses_one_stream():
    with pytest.raises(WiringError, match="'bottleneck' needs at least two streams"):
        fusion("bottleneck", {"fast": FAST})
    with pytest.raises(ConfigError, match="depth"):
        fusion("bottleneck", TWO, depth=1)


# Late


def ensemble(streams, **options):
    module = part("fusion", "late", streams, **{"width": 8, **options})
    readout = part("readout", "mean", module.output)
    targets = TargetInfo("class", ("a", "b", "c"), (1, 1, 1))
    return module, readout, part("head", "classification", ReadoutInfo(8), targets)


def test_late_is_the_weighted_sum_of_each_streams_logits():
    streams = maps(THREE)
    module, readout, head = ensemble(THREE)
    module.weight_logits.data = torch.tensor([1.0, -0.5, 0.2])
    logits = head(readout(module(streams)))["logits"]
    weights = module.stream_weights
    alone = {name: head(readout(member))["logits"] for name, member in module.members(streams).items()}
    assert weights.sum().item() == pytest.approx(1)
    assert torch.allclose(logits, sum(w * alone[n] for w, n in zip(weights, THREE, strict=True)), atol=1e-6)
    for changed in THREE:
        other = {**streams, changed: maps(THREE, seed=9)[changed]}
        for name, member in module.members(other).items():
            same = torch.equal(head(readout(member))["logits"], alone[name])
            assert same == (name != changed), "a classifier sees its own stream only"


def test_a_member_can_be_any_linear_classifier():
    """Fused logits equal those of three classifiers that were made by hand, biases included."""
    streams = maps(THREE)
    module, readout, head = ensemble(THREE)
    head.linear.weight.data = torch.eye(3, 8)
    head.linear.bias.data.zero_()
    expected, weights = torch.zeros(()), module.stream_weights.tolist()
    for place, (name, info) in enumerate(THREE.items()):
        classifier = torch.nn.Linear(info.dim, 3)
        module.project[place].weight.data[:3], module.project[place].bias.data[:3] = classifier.weight, classifier.bias
        pooled = torch.nn.functional.layer_norm(streams[name].data.mean((2, 3, 4)), (info.dim,))
        expected = expected + weights[place] * classifier(pooled)
    assert torch.allclose(head(readout(module(streams)))["logits"], expected, atol=1e-5)


def test_late_averages_real_steps_and_learns_weights_only_where_there_is_a_choice():
    streams = maps(TWO)
    mask = torch.tensor([[True, True, False, False], [False] * 4])
    masked = {**streams, "slow": replace(streams["slow"], mask=mask)}
    module = part("fusion", "late", TWO, width=8)
    short = {**streams, "slow": FeatureMap(streams["slow"].data[:, :, :2], streams["slow"].times[:2])}
    assert torch.allclose(module(masked).data[0], module(short).data[0], atol=1e-6)
    assert torch.allclose(module(masked).data[1], module(streams).data[1], atol=1e-6), "all padding: what there is"
    assert module.members(masked)["slow"].mask.tolist() == [[True], [False]]
    assert module.members(masked)["slow"].times[0] == pytest.approx((1.5 + 5.5) / 2)
    assert module.stream_weights.tolist() == [0.5, 0.5]
    assert not part("fusion", "late", {"fast": FAST}).weight_logits.requires_grad
    assert not part("fusion", "late", TWO, weights="equal").weight_logits.requires_grad
    assert module.weight_logits.requires_grad
