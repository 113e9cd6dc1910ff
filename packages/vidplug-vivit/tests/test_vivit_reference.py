"""The network against an independent computation: numpy, explicit softmax, rotations as complex products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vidplug_vivit.architecture import Architecture
from vidplug_vivit.blocks import Attention
from vidplug_vivit.network import FactorisedViViT
from vidplug_vivit.positions import axial_angles, grid_positions, rotate, sinusoids


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights large enough that attention is far from uniform and no bias or gain is trivial."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def np_rotate(x, positions, base):
    """x (..., N, d); positions (N, A): pair (i, i + d/2) as one complex number, axes sharing the pairs in order."""
    half = x.shape[-1] // 2
    per_axis = half // positions.shape[1]
    angle = np.stack(
        [positions[:, a] / base ** (i / per_axis) for a in range(positions.shape[1]) for i in range(per_axis)],
        axis=-1,
    )
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
    return np.concatenate((z.real, z.imag), axis=-1)


def np_attention(x, weights, heads, positions, base, causal):
    n, d = x.shape[1], weights["to_qkv.weight"].shape[0] // 3 // heads
    out = np.zeros((*x.shape[:2], heads * d))
    q_all, k_all, v_all = np.split(x @ weights["to_qkv.weight"].T, 3, axis=-1)
    for h in range(heads):
        channels = slice(h * d, (h + 1) * d)
        q, k, v = q_all[..., channels], k_all[..., channels], v_all[..., channels]
        if positions is not None:
            q, k = np_rotate(q, positions, base), np_rotate(k, positions, base)
        logits = np.einsum("sid,sjd->sij", q, k) / np.sqrt(d)
        if causal:
            logits = np.where(np.tril(np.ones((n, n), dtype=bool)), logits, -np.inf)
        weight = np.exp(logits - logits.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
        out[..., channels] = np.einsum("sij,sjd->sid", weight, v)
    return out @ weights["to_out.weight"].T + weights["to_out.bias"]


def np_layer_norm(x, weights, prefix):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]


def np_block(x, weights, prefix, heads, positions, base, causal):
    own = {key.removeprefix(f"{prefix}.attention."): w for key, w in weights.items()}
    x = x + np_attention(np_layer_norm(x, weights, f"{prefix}.attention_norm"), own, heads, positions, base, causal)
    y = np_layer_norm(x, weights, f"{prefix}.feedforward_norm")
    y = y @ weights[f"{prefix}.feedforward.expand.weight"].T + weights[f"{prefix}.feedforward.expand.bias"]
    value, gate = np.split(y, 2, axis=-1)
    y = gate / (1 + np.exp(-gate)) * value
    return x + y @ weights[f"{prefix}.feedforward.contract.weight"].T + weights[f"{prefix}.feedforward.contract.bias"]


def np_network(clip, weights, a: Architecture):
    batch, (pt, ph, pw) = clip.shape[0], a.patch_size
    t, h, w = clip.shape[2] // pt, clip.shape[3] // ph, clip.shape[4] // pw
    tokens = np.zeros((batch, t, h * w, a.width))
    kernel = weights["tokenizer.project.weight"]
    for i in range(t):
        for r in range(h):
            for c in range(w):
                patch = clip[:, :, i * pt : (i + 1) * pt, r * ph : (r + 1) * ph, c * pw : (c + 1) * pw]
                tokens[:, i, r * w + c] = np.einsum("bcijk,dcijk->bd", patch, kernel)
    tokens = np_layer_norm(tokens + weights["tokenizer.project.bias"], weights, "tokenizer.norm")

    # A register turns by no angle, which is what position (0, 0) gives.
    cells = [(0, 0)] * a.registers + [(r, c) for r in range(h) for c in range(w)]
    registers = np.broadcast_to(weights["registers"], (batch, t, a.registers, a.width))
    x = np.concatenate((registers, tokens), axis=2).reshape(batch * t, -1, a.width)
    for i in range(a.spatial_depth):
        x = np_block(x, weights, f"spatial_blocks.{i}", a.heads, np.array(cells), a.rope_base, causal=False)
    x = x.reshape(batch, t, -1, a.width)[:, :, a.registers :]
    out = np.zeros((batch, a.width, t, h, w))
    for r in range(h):
        for c in range(w):
            y = x[:, :, r * w + c]
            for i in range(a.temporal_depth):
                steps = np.arange(t)[:, None]
                y = np_block(y, weights, f"temporal_blocks.{i}", a.heads, steps, a.rope_base, causal=True)
            out[:, :, :, r, c] = y.transpose(0, 2, 1)
    return out


def test_the_whole_network_is_the_explicit_computation():
    a = Architecture(
        in_channels=2,
        width=12,
        spatial_depth=2,
        temporal_depth=2,
        heads=3,
        head_dim=8,
        feedforward_width=20,
        patch_size=(2, 3, 2),
        registers=2,
        rope_base=100.0,
    )
    network = randomised(FactorisedViViT(a)).double()
    clip = torch.randn(2, 2, 8, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = network(clip).numpy()
    wanted = np_network(clip.numpy(), {key: p.numpy() for key, p in network.state_dict().items()}, a)
    assert ours.shape == (2, 12, 4, 3, 4)
    # Angles are float32 in the network whatever the tokens' dtype.
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("grid", [(7,), (3, 5)], ids=["time", "space"])
def test_attention_is_the_explicit_softmax(causal, grid):
    attention = randomised(Attention(10, heads=2, head_dim=8, causal=causal))
    positions = grid_positions(grid)
    x = torch.randn(3, len(positions), 10, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = attention(x, axial_angles(positions, 4, 10_000.0)).numpy()
        unrotated = attention(x).numpy()
    weights = {key: p.double().numpy() for key, p in attention.state_dict().items()}
    args = (x.double().numpy(), weights, 2)
    np.testing.assert_allclose(ours, np_attention(*args, positions.numpy(), 10_000.0, causal), atol=1e-5)
    np.testing.assert_allclose(unrotated, np_attention(*args, None, None, causal), atol=1e-5)
    assert np.abs(ours - unrotated).max() > 1e-2


def test_many_sequences_are_attended_in_parts(monkeypatch):
    attention = randomised(Attention(6, heads=1, head_dim=4, causal=True))
    x = torch.randn(11, 5, 6)
    whole = attention(x)
    monkeypatch.setattr("vidplug_vivit.blocks.MAX_SEQUENCES", 4)
    torch.testing.assert_close(attention(x), whole)


def test_rows_come_before_columns_and_columns_run_fastest():
    assert grid_positions((2, 3)).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    angles = axial_angles(torch.tensor([[5.0, 7.0]]), pairs=4, base=100.0)
    torch.testing.assert_close(angles, torch.tensor([[5.0, 0.5, 7.0, 0.7]]))


def test_sinusoids_are_the_published_ones():
    torch.testing.assert_close(
        sinusoids(torch.tensor([[3.0]]), 4, 10_000.0),
        torch.tensor([[np.sin(3.0), np.sin(0.03), np.cos(3.0), np.cos(0.03)]], dtype=torch.float32),
    )


@pytest.mark.parametrize("shift", [(4, 0), (0, 9), (13, 2)])
def test_rotary_logits_depend_on_offsets_only(shift):
    generator = torch.Generator().manual_seed(3)
    query, key = torch.randn(2, 15, 16, generator=generator)
    positions = grid_positions((3, 5))

    def logits(at):
        angles = axial_angles(at, 8, 100.0)
        return rotate(query, angles) @ rotate(key, angles).T

    here = logits(positions)
    torch.testing.assert_close(logits(positions + torch.tensor(shift)), here, atol=2e-4, rtol=0)
    # Rows and columns are told apart: the same step along the other axis is another offset.
    assert (logits(positions.flip(-1)) - here).abs().max() > 0.1
    assert (query @ key.T - here).abs().max() > 0.1


def test_rotation_keeps_lengths_and_dtype():
    x = torch.randn(2, 6, 8, dtype=torch.bfloat16)
    angles = axial_angles(1000 + grid_positions((6,)), 4, 10_000.0)
    turned = rotate(x, angles)
    assert turned.dtype == torch.bfloat16
    torch.testing.assert_close(turned.float().norm(dim=-1), x.float().norm(dim=-1), rtol=0.02, atol=0)
    torch.testing.assert_close(turned, rotate(x.float(), angles).bfloat16())
