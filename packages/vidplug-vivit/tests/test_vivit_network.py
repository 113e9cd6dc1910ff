"""What the factorised ViViT promises whatever its weights: shapes, causality, and that every option does its work."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from vidplug_vivit.architecture import BASE, SMALL, Architecture
from vidplug_vivit.network import FactorisedViViT

TINY = Architecture(
    in_channels=2,
    width=16,
    spatial_depth=2,
    temporal_depth=2,
    heads=2,
    head_dim=8,
    feedforward_width=24,
    patch_size=(2, 4, 4),
)
LEARNED = {"spatial_position": "learned", "temporal_position": "learned", "learned_grid": (5, 3, 4)}
SINUSOIDAL = {"spatial_position": "sinusoidal", "temporal_position": "sinusoidal"}
POSITIONS = pytest.mark.parametrize("positions", [{}, LEARNED, SINUSOIDAL], ids=["rope", "learned", "sinusoidal"])


def build(**changes) -> FactorisedViViT:
    torch.manual_seed(0)
    network = FactorisedViViT(dataclasses.replace(TINY, **changes))
    with torch.no_grad():
        # Initial weights are so small that attention is nearly uniform; these make every path count.
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval()


def a_clip(*, batch=2, channels=2, frames=8, rows=8, columns=12, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, frames, rows, columns, generator=generator, dtype=dtype)


def count(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [
        (SMALL, 5_035_584),
        (dataclasses.replace(SMALL, in_channels=1), 4_838_976),
        (dataclasses.replace(SMALL, registers=4), 5_035_584 + 4 * 192),
        (BASE, 28_450_944),
        (dataclasses.replace(BASE, norm="rms_norm", final_norm=True), 28_450_944 - 25 * 384 + 384),
    ],
)
def test_parameter_counts_and_meta_device(architecture, parameters):
    with torch.device("meta"):
        network = FactorisedViViT(architecture)
    assert count(network) == parameters
    assert not list(network.buffers())
    out = network(torch.empty(2, architecture.in_channels, 16, 24, 40, device="meta"))
    frames, rows, columns = architecture.patch_size
    assert out.shape == (2, architecture.width, 16 // frames, 24 // rows, 40 // columns)
    assert out.device.type == "meta"


def test_the_published_numbers():
    assert (SMALL.width, SMALL.spatial_depth, SMALL.temporal_depth) == (192, 4, 4)
    assert (SMALL.heads, SMALL.head_dim, SMALL.feedforward_width, SMALL.patch_size) == (4, 48, 768, (8, 8, 8))
    assert (BASE.width, BASE.spatial_depth, BASE.temporal_depth) == (384, 6, 6)
    assert (BASE.heads, BASE.head_dim, BASE.feedforward_width, BASE.patch_size) == (6, 64, 1536, (4, 4, 4))
    biases = {name for name, _ in FactorisedViViT(TINY).named_parameters() if name.endswith("bias")}
    assert not any("to_qkv" in name for name in biases)


@POSITIONS
def test_no_later_frame_reaches_an_earlier_step(positions):
    network = build(registers=2, **positions)
    clip = a_clip().requires_grad_()
    out = network(clip)
    for step in range(4):
        (gradient,) = torch.autograd.grad(out[:, :, step].square().sum(), clip, retain_graph=True)
        per_frame = gradient.abs().amax(dim=(0, 1, 3, 4))
        assert torch.all(per_frame[2 * (step + 1) :] == 0)
        assert torch.all(per_frame[: 2 * (step + 1)] > 0)


@POSITIONS
def test_a_longer_clip_begins_as_the_shorter_one(positions):
    network = build(**positions)
    clip = a_clip(frames=10)
    torch.testing.assert_close(network(clip)[:, :, :3], network(clip[:, :, :6]), atol=1e-5, rtol=1e-5)


def test_one_step_and_one_cell():
    assert build()(a_clip(frames=2, rows=4, columns=4)).shape == (2, 16, 1, 1, 1)


def test_rows_of_a_batch_do_not_mix():
    network = build(registers=2)
    clip = a_clip(batch=3).requires_grad_()
    (gradient,) = torch.autograd.grad(network(clip)[1].square().sum(), clip)
    assert torch.all(gradient[[0, 2]] == 0)
    assert gradient[1].abs().max() > 0


def test_space_is_attended_within_a_step_and_then_time_within_a_cell():
    network = build()
    clip = a_clip(batch=1).requires_grad_()
    layers = network.forward_layers(clip, ("tokens", "spatial1"))

    def patches(gradient):
        cut = gradient.abs().unflatten(4, (3, 4)).unflatten(3, (2, 4)).unflatten(2, (4, 2))
        return cut.sum((0, 1, 3, 5, 7))

    (own,) = torch.autograd.grad(layers["tokens"][:, :, 2, 1, 2].square().sum(), clip, retain_graph=True)
    assert patches(own).nonzero().tolist() == [[2, 1, 2]]
    (spatial,) = torch.autograd.grad(layers["spatial1"][:, :, 2, 1, 2].square().sum(), clip)
    assert patches(spatial).nonzero()[:, 0].unique().tolist() == [2]
    assert patches(spatial)[2].all()


def test_the_grid_is_the_clips_own_aspect():
    network = build()
    clip = a_clip(rows=8, columns=12)
    out = network(clip)
    assert out.shape == (2, 16, 4, 2, 3)
    clip = torch.zeros(1, 2, 2, 8, 12)
    clip[..., :4, :] = 5.0  # the first row of patches
    tokens = network.forward_layers(clip, ("tokens",))["tokens"][0, :, 0]
    torch.testing.assert_close(tokens[:, 0], tokens[:, 0, :1].expand(-1, 3))
    torch.testing.assert_close(tokens[:, 1], tokens[:, 1, :1].expand(-1, 3))
    assert (tokens[:, 0] - tokens[:, 1]).abs().max() > 0.1


def test_inner_layers_have_the_outputs_form():
    network = build(registers=3, final_norm=True)
    names = ("tokens", "spatial0", "spatial1", "temporal0", "temporal1", "output")
    assert network.layers == names
    clip = a_clip()
    maps = network.forward_layers(clip, set(names))
    assert tuple(maps) == names
    assert {m.shape for m in maps.values()} == {(2, 16, 4, 2, 3)}
    torch.testing.assert_close(maps["output"], network(clip))
    normed = network.final_norm(maps["temporal1"].movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(maps["output"], normed)
    assert list(network.forward_layers(clip, ["spatial1"])) == ["spatial1"]
    with pytest.raises(ValueError, match="no layer named 'spatial9'; there are tokens, spatial0, spatial1, temporal0"):
        network.forward_layers(clip, ["output", "spatial9"])


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "rms_norm"},
        {"spatial_position": "sinusoidal"},
        {"temporal_position": "sinusoidal"},
        {"rope_base": 50.0},
        {"registers": 4},
        {"final_norm": True},
        LEARNED,
        {"spatial_position": "learned", "learned_grid": (4, 2, 3)},
        {"temporal_position": "learned", "learned_grid": (4, 2, 3)},
    ],
    ids=str,
)
def test_every_option_changes_the_output_for_the_same_weights(change):
    plain, changed = build(), build(**change)
    changed.load_state_dict(plain.state_dict(), strict=False)
    difference = (plain(a_clip()) - changed(a_clip())).abs().max()
    assert difference > 1e-3


@POSITIONS
def test_order_in_time_and_place_in_space_matter(positions):
    """Without positions, space would be blind to a permutation of cells; time is not, thanks to the causal mask."""
    network = build(**positions)
    clip = a_clip(batch=1)
    swapped = clip.clone()
    swapped[..., :4], swapped[..., 4:8] = clip[..., 4:8], clip[..., :4]
    layer = network.forward_layers(clip, ["spatial1"])["spatial1"]
    other = network.forward_layers(swapped, ["spatial1"])["spatial1"]
    assert (layer[..., 2] - other[..., 2]).abs().max() > 1e-3
    turned = clip.unflatten(2, (4, 2))[:, :, [1, 0, 2, 3]].flatten(2, 3)
    assert (network(clip)[:, :, 3] - network(turned)[:, :, 3]).abs().max() > 1e-3


def test_learned_space_is_resampled_and_learned_time_is_cut():
    network = build(**LEARNED)
    assert network(a_clip(frames=6, rows=12, columns=16)).shape == (2, 16, 3, 3, 4)
    assert network(a_clip(frames=10, rows=4, columns=24)).shape == (2, 16, 5, 1, 6)
    wanted = "the clip has 6 time steps, the learned temporal positions 5; .*temporal_position='rope'"
    with pytest.raises(ValueError, match=wanted):
        network(a_clip(frames=12))


def test_registers_matter_and_stay_inside():
    network = build(registers=4)
    clip = a_clip()
    out = network(clip)
    assert out.shape == build()(clip).shape
    with torch.no_grad():
        network.registers[2] *= -1.0
    assert (network(clip) - out).abs().max() > 1e-3


@pytest.mark.parametrize(
    "change",
    [{}, {"registers": 2, "norm": "rms_norm", "final_norm": True}, LEARNED, {"gradient_checkpointing": True}],
    ids=str,
)
def test_gradients_reach_every_parameter(change):
    network = build(**change).train()
    network(a_clip()).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_patch_dropout_zeroes_whole_tokens_and_only_in_training():
    network = build(patch_dropout=0.25)
    clip = a_clip(batch=8, rows=16, columns=16)
    plain = network.tokenizer(clip)
    torch.testing.assert_close(plain, build().tokenizer(clip))
    network.train()
    tokens = network.tokenizer(clip)
    dropped = (tokens == 0).all(-1)
    torch.testing.assert_close(tokens[~dropped], plain[~dropped] / 0.75)
    # 512 tokens, sd of the share 0.019; drawn per clip, per step and per cell.
    assert 0.15 < dropped.float().mean() < 0.35
    assert len({tuple(row) for row in dropped.flatten(1).tolist()}) == 8
    assert len({tuple(row) for row in dropped[0].tolist()}) > 1
    assert (network.tokenizer(clip) != tokens).any()
    assert network(clip).shape == (8, 16, 4, 4, 4)


def test_a_dropped_token_keeps_its_place_and_gets_its_position():
    network = build(patch_dropout=0.5, **SINUSOIDAL).train()
    tokens = network.tokenizer(a_clip())
    placed, _ = network.spatial_position(tokens.flatten(0, 1), (2, 3))
    dropped = (tokens == 0).all(-1).flatten(0, 1)
    assert dropped.any()
    torch.testing.assert_close(
        placed[dropped], (placed - tokens.flatten(0, 1))[0].expand(8, -1, -1)[dropped], atol=1e-6, rtol=0
    )


def test_stochastic_depth_keeps_the_expectation():
    block = build(stochastic_depth=0.4).spatial_blocks[0]
    with torch.no_grad():
        # Only the attention branch speaks, so that the expectation of the block is the block of expectations.
        block.feedforward.contract.weight.zero_()
        block.feedforward.contract.bias.zero_()
    x = torch.randn(1, 3, 16).expand(20_000, -1, -1)
    with torch.no_grad():
        branch = block(x[:1]) - x[:1]
        block.train()
        trained = block(x) - x
    skipped = (trained == 0).flatten(1).all(1)
    torch.testing.assert_close(trained[~skipped], (branch / 0.6).expand(20_000, -1, -1)[~skipped], atol=1e-5, rtol=1e-5)
    assert abs(skipped.float().mean() - 0.4) < 0.02
    torch.testing.assert_close(trained.mean(0), branch[0], rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("rate", ["attention_dropout", "feedforward_dropout", "stochastic_depth", "patch_dropout"])
def test_regularisers_act_in_training_only(rate):
    network, clip = build(**{rate: 0.3}), a_clip()
    torch.testing.assert_close(network(clip), build()(clip))
    network.train()
    assert (network(clip) - network(clip)).abs().max() > 1e-3


def test_checkpointing_gives_identical_gradients():
    noise = {"patch_dropout": 0.2, "attention_dropout": 0.2, "feedforward_dropout": 0.2, "stochastic_depth": 0.2}
    gradients, saved = [], []
    for checkpointing in (False, True):
        network = build(registers=2, gradient_checkpointing=checkpointing, **noise).train()
        torch.manual_seed(5)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            out = network(a_clip())
        out.square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
        saved.append(sum(kept))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert saved[1] < saved[0] / 2


@pytest.mark.parametrize("training", [False, True])
def test_compiles_to_one_graph(training):
    changes = {"registers": 2, "patch_dropout": 0.2, "stochastic_depth": 0.2, "gradient_checkpointing": True}
    network = build(**changes).train(training)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    clip = a_clip()
    if training:
        compiled(clip).square().mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
    else:
        torch.testing.assert_close(compiled(clip), network(clip))


def test_exports():
    network = build(registers=2)
    program = torch.export.export(network, (a_clip(),))
    torch.testing.assert_close(program.module()(a_clip(seed=4)), network(a_clip(seed=4)))


@POSITIONS
def test_half_precision(positions):
    network = build(registers=2, **positions)
    full = network(a_clip())
    half = network.bfloat16()(a_clip().bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).norm() < 0.05 * full.norm()


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(2, 8, 8, 12), r"a clip is \(B, C, T, H, W\), got 4 axes: \(2, 8, 8, 12\)"),
        (torch.zeros(1, 3, 8, 8, 12), r"the clip has 3 channels, the network in_channels=2; .*got \(1, 3, 8, 8, 12\)"),
        (torch.zeros(1, 2, 7, 8, 12), "the clip has 7 frames, .* the patch's 2; pad, crop or resize to 6 or 8"),
        (torch.zeros(1, 2, 8, 10, 12), "the clip has 10 rows, .* the patch's 4; pad, crop or resize to 8 or 12"),
        (torch.zeros(1, 2, 8, 8, 3), "the clip has 3 columns, .* the patch's 4; pad, crop or resize to 4"),
        (torch.zeros(1, 2, 0, 8, 12), "the clip has 0 frames, .* resize to 2"),
        (torch.zeros(1, 2, 8, 8, 12, dtype=torch.uint8), "floating point and already normalised, got torch.uint8"),
    ],
    ids=["axes", "channels", "frames", "rows", "columns", "empty", "dtype"],
)
def test_clips_that_do_not_fit(clip, message):
    with pytest.raises(ValueError, match=message):
        build()(clip)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"registers": -1}, "registers must be at least 0, got -1"),
        ({"patch_size": (2, 4)}, r"patch_size is three positive numbers \(time, rows, columns\), got \(2, 4\)"),
        ({"stochastic_depth": 1.0}, r"stochastic_depth is a rate in \[0, 1\), got 1.0"),
        ({"norm": "batch_norm"}, "norm is one of layer_norm, rms_norm, got 'batch_norm'"),
        ({"temporal_position": "none"}, "temporal_position is one of rope, learned, sinusoidal, got 'none'"),
        ({"rope_base": 1.0}, "rope_base must exceed 1, got 1.0"),
        ({"head_dim": 6}, "spatial_position 'rope' wants head_dim to be a multiple of 4, got 6"),
        ({"head_dim": 7, "spatial_position": "sinusoidal"}, "temporal_position 'rope' wants head_dim .* of 2, got 7"),
        ({"width": 18, "spatial_position": "sinusoidal"}, "'sinusoidal' wants width to be a multiple of 4, got 18"),
        ({"temporal_position": "learned"}, r"a learned position wants learned_grid=\(T', H', W'\)"),
        ({"learned_grid": (4, 2, 3)}, r"learned_grid=\(4, 2, 3\) would be ignored"),
    ],
    ids=str,
)
def test_architectures_that_cannot_be_built(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change)
