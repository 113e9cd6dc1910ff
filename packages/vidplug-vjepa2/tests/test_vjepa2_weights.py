"""Published layouts load as they are, and parameter counts are those of the published encoders."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidplug_vjepa2.variants import VARIANTS

NAME = "vjepa2/vitl_test"
PUBLISHED = {"vjepa2/vitl": 303_885_312, "vjepa2/vith": 631_648_000, "vjepa2/vitg": 1_012_173_952}


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_exact(name):
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
    count = sum(p.numel() for p in extractor.parameters())
    assert count == spec.parameters == PUBLISHED.get(name, count)


def original(seed):
    """Random tensors under the names and shapes of one encoder of the authors' ``vitl.pt``."""
    generator = torch.Generator().manual_seed(seed)
    d = 48
    shapes = {"pos_embed": (1, 64, d), "patch_embed.proj.weight": (d, 3, 2, 16, 16), "patch_embed.proj.bias": (d,)}
    for index in range(3):
        block = {"norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        block |= {"attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,)}
        block |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,)}
        block |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,)}
        block |= {"mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,)}
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def hub(tensors):
    """The same tensors under the names of the hub's safetensors."""
    found = {
        "encoder.embeddings.patch_embeddings.proj.weight": tensors["patch_embed.proj.weight"],
        "encoder.embeddings.patch_embeddings.proj.bias": tensors["patch_embed.proj.bias"],
        "encoder.layernorm.weight": tensors["norm.weight"],
        "encoder.layernorm.bias": tensors["norm.bias"],
        "predictor.layernorm.weight": torch.zeros(24),
        "predictor.layer.0.attention.query.weight": torch.zeros(24, 24),
    }
    for index in range(3):
        old, new = f"blocks.{index}.", f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            thirds = tensors[f"{old}attn.qkv.{kind}"].split(48)
            for part, value in zip(("query", "key", "value"), thirds, strict=True):
                found[f"{new}attention.{part}.{kind}"] = value.clone()
            found[f"{new}attention.proj.{kind}"] = tensors[f"{old}attn.proj.{kind}"]
            for same in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                found[f"{new}{same}.{kind}"] = tensors[f"{old}{same}.{kind}"]
    return found


def test_the_hub_s_file_and_the_moving_average_of_the_authors_file_give_the_same_features(tmp_path):
    average, student = original(2), original(3)
    wrap = "module.backbone."
    torch.save(
        {
            "encoder": {f"{wrap}{name}": value for name, value in student.items()},
            "target_encoder": {f"{wrap}{name}": value for name, value in average.items()},
            "predictor": {f"{wrap}predictor_blocks.0.attn.qkv.weight": torch.zeros(72, 24)},
            "opt": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1}]},
            "epoch": 3,
        },
        tmp_path / "vitl.pt",
    )
    torch.save(
        {"encoder": {f"{wrap}{name}": value for name, value in average.items()}, "epoch": 3}, tmp_path / "student.pt"
    )
    save_file(hub(average), tmp_path / "model.safetensors")
    save_file(
        {f"vjepa2.{name}": value for name, value in hub(average).items()} | {"classifier.bias": torch.zeros(5)},
        tmp_path / "classifier.safetensors",
    )
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(4))
    outputs = {}
    for file in ("vitl.pt", "student.pt", "model.safetensors", "classifier.safetensors"):
        extractor = create(NAME, weights=str(tmp_path / file), outputs=VARIANTS[NAME].outputs)
        report = extractor.weights_report
        assert (report.matched_fraction, report.missing) == (1.0, ())
        if file == "model.safetensors":
            kept = ("network.predictor.layernorm.weight", "network.predictor.layer.0.attention.query.weight")
            assert set(report.left_over) == set(kept)
        with torch.no_grad():
            outputs[file] = extractor(clip)
    for file, maps in outputs.items():
        for name, fmap in maps.items():
            assert torch.equal(fmap.data, outputs["vitl.pt"][name].data), (file, name)


def rotated(x, position):
    """Reference rotary embedding of consecutive channel pairs (arXiv:2104.09864), base 10000."""
    half = x.shape[-1] // 2
    # The authors tile the angles of the half rather than repeat each for its pair.
    angle = (position[:, None] * 10_000.0 ** -(torch.arange(half) / half)).tile(1, 2)
    pairs = x.unflatten(-1, (-1, 2))
    turned = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
    return x * angle.cos() + turned * angle.sin()


def test_the_attention_of_the_authors_is_reproduced():
    """One block written out: a wrong third of ``qkv``, or rows taken for columns, would show here."""
    w = original(2)
    extractor = create(NAME, outputs=("block0",))
    extractor.load_state_dict(extractor.convert(w))
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(4))
    tokens = extractor.network.embeddings(clip.transpose(1, 2)).detach()
    step, row, column = (
        index.flatten().float() for index in torch.meshgrid(*map(torch.arange, (2, 4, 4)), indexing="ij")
    )
    norm = torch.nn.functional.layer_norm
    x = norm(tokens, (48,), w["blocks.0.norm1.weight"], w["blocks.0.norm1.bias"], 1e-6)
    q, k, value = (x @ w["blocks.0.attn.qkv.weight"].T + w["blocks.0.attn.qkv.bias"]).chunk(3, -1)
    q, k, value = (t.unflatten(-1, (2, 24)).transpose(1, 2) for t in (q, k, value))
    q, k = (
        torch.cat([rotated(t[..., 8 * i : 8 * i + 8], p) for i, p in enumerate((step, row, column))], -1)
        for t in (q, k)
    )
    scores = (q @ k.transpose(-1, -2) / 24**0.5).softmax(-1)
    x = (scores @ value).transpose(1, 2).flatten(2)
    tokens = tokens + x @ w["blocks.0.attn.proj.weight"].T + w["blocks.0.attn.proj.bias"]
    x = norm(tokens, (48,), w["blocks.0.norm2.weight"], w["blocks.0.norm2.bias"], 1e-6)
    x = torch.nn.functional.gelu(x @ w["blocks.0.mlp.fc1.weight"].T + w["blocks.0.mlp.fc1.bias"])
    tokens = tokens + x @ w["blocks.0.mlp.fc2.weight"].T + w["blocks.0.mlp.fc2.bias"]
    with torch.no_grad():
        got = extractor(clip)["block0"].data
    assert (got - tokens.transpose(1, 2).reshape(got.shape)).abs().max() < 1e-5


def test_names_of_its_own_lead_to_themselves():
    extractor = create(NAME)
    own = extractor.state_dict()
    again = extractor.convert(dict(own))
    assert set(again) == set(own) and all(again[name] is own[name] for name in own)
