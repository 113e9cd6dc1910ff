"""Published layouts load as they are, and parameter counts are those of the published files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidplug_dinov2.convert import convert_v2
from vidplug_dinov2.variants import VARIANTS

PUBLISHED = {
    "dinov2/vits14": 22_056_576,
    "dinov2/vitb14": 86_580_480,
    "dinov2/vitl14": 304_368_640,
    "dinov2/vitg14": 1_136_480_768,
    "dinov2/vits14_reg": 22_058_112,
    "dinov2/vitb14_reg": 86_583_552,
    "dinov2/vitl14_reg": 304_372_736,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_exact(name):
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
    count = sum(p.numel() for p in extractor.parameters())
    assert count == spec.parameters == VARIANTS[name].parameters
    assert count == PUBLISHED.get(name, count)
    if name.endswith("_test"):
        assert count <= 2_000_000


def original_v2(v, generator):
    """Random tensors under the names and shapes of ``dinov2_vit*14_pretrain.pth``."""
    d, hidden = v.width, 4 * v.width
    shapes = {"cls_token": (1, 1, d), "pos_embed": (1, 1370, d), "mask_token": (1, d)}
    if v.registers:
        shapes["register_tokens"] = (1, v.registers, d)
    shapes |= {"patch_embed.proj.weight": (d, 3, 14, 14), "patch_embed.proj.bias": (d,)}
    for index in range(v.depth):
        block = {"norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        block |= {"attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,)}
        block |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,), "ls1.gamma": (d,), "ls2.gamma": (d,)}
        if v.gated:
            gated = hidden * 2 // 3
            block |= {"mlp.w12.weight": (2 * gated, d), "mlp.w12.bias": (2 * gated,)}
            block |= {"mlp.w3.weight": (d, gated), "mlp.w3.bias": (d,)}
        else:
            block |= {"mlp.fc1.weight": (hidden, d), "mlp.fc1.bias": (hidden,)}
            block |= {"mlp.fc2.weight": (d, hidden), "mlp.fc2.bias": (d,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,)}
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def hub_v2(original, v):
    """The same tensors under the names of the hub's safetensors."""
    d = v.width
    hub = {
        "embeddings.cls_token": original["cls_token"],
        "embeddings.mask_token": original["mask_token"],
        "embeddings.position_embeddings": original["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": original["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": original["patch_embed.proj.bias"],
        "layernorm.weight": original["norm.weight"],
        "layernorm.bias": original["norm.bias"],
    }
    if v.registers:
        hub["embeddings.register_tokens"] = original["register_tokens"]
    for index in range(v.depth):
        old, new = f"blocks.{index}.", f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            qkv = original[f"{old}attn.qkv.{kind}"]
            hub[f"{new}attention.attention.query.{kind}"] = qkv[:d].clone()
            hub[f"{new}attention.attention.key.{kind}"] = qkv[d : 2 * d].clone()
            hub[f"{new}attention.attention.value.{kind}"] = qkv[2 * d :].clone()
            hub[f"{new}attention.output.dense.{kind}"] = original[f"{old}attn.proj.{kind}"]
            for norm in ("norm1", "norm2"):
                hub[f"{new}{norm}.{kind}"] = original[f"{old}{norm}.{kind}"]
            for ours, theirs in {"fc1": "fc1", "fc2": "fc2", "weights_in": "w12", "weights_out": "w3"}.items():
                if f"{old}mlp.{theirs}.{kind}" in original:
                    hub[f"{new}mlp.{ours}.{kind}"] = original[f"{old}mlp.{theirs}.{kind}"]
        hub[f"{new}layer_scale1.lambda1"] = original[f"{old}ls1.gamma"]
        hub[f"{new}layer_scale2.lambda1"] = original[f"{old}ls2.gamma"]
    return hub


def clip(name):
    patch = VARIANTS[name].patch
    return torch.randn(1, 3, 2, 2 * patch, 3 * patch, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", ["dinov2/vits14_test", "dinov2/vits14_reg_test", "dinov2/vitg14_test"])
def test_the_hub_s_file_and_the_authors_file_give_the_same_features(name, tmp_path):
    v = VARIANTS[name]
    original = original_v2(v, torch.Generator().manual_seed(2))
    torch.save(original, tmp_path / "original.pth")
    save_file(hub_v2(original, v), tmp_path / "model.safetensors")
    outputs = {}
    for file in ("original.pth", "model.safetensors"):
        extractor = create(name, weights=str(tmp_path / file), outputs=v.outputs, position_offset=0)
        report = extractor.weights_report
        assert (report.matched_fraction, report.missing, report.left_over) == (1.0, (), ())
        with torch.no_grad():
            outputs[file] = extractor(clip(name))
    for output, fmap in outputs["original.pth"].items():
        assert torch.equal(fmap.data, outputs["model.safetensors"][output].data), output


def test_the_attention_of_the_authors_is_reproduced():
    """One block written out from the reference: a wrong third of ``qkv`` would show here."""
    v = VARIANTS["dinov2/vitg14_test"]
    w = original_v2(v, torch.Generator().manual_seed(2))
    extractor = create("dinov2/vitg14_test", outputs=("block0",))
    extractor.load_state_dict(extractor.convert(w))
    frames = clip("dinov2/vitg14_test")[:, :, 0]
    tokens = extractor._start(frames)[0].detach()
    norm = torch.nn.functional.layer_norm
    x = norm(tokens, (v.width,), w["blocks.0.norm1.weight"], w["blocks.0.norm1.bias"], 1e-6)
    q, k, value = (x @ w["blocks.0.attn.qkv.weight"].T + w["blocks.0.attn.qkv.bias"]).chunk(3, -1)
    heads = [t.unflatten(-1, (v.heads, -1)).transpose(1, 2) for t in (q, k, value)]
    scores = (heads[0] @ heads[1].transpose(-1, -2) / (v.width / v.heads) ** 0.5).softmax(-1)
    x = (scores @ heads[2]).transpose(1, 2).flatten(2)
    x = x @ w["blocks.0.attn.proj.weight"].T + w["blocks.0.attn.proj.bias"]
    tokens = tokens + w["blocks.0.ls1.gamma"] * x
    x = norm(tokens, (v.width,), w["blocks.0.norm2.weight"], w["blocks.0.norm2.bias"], 1e-6)
    gate, value = (x @ w["blocks.0.mlp.w12.weight"].T + w["blocks.0.mlp.w12.bias"]).chunk(2, -1)
    x = (torch.nn.functional.silu(gate) * value) @ w["blocks.0.mlp.w3.weight"].T + w["blocks.0.mlp.w3.bias"]
    tokens = tokens + w["blocks.0.ls2.gamma"] * x
    with torch.no_grad():
        got = extractor(frames[:, :, None])["block0"].data
    expected = tokens[:, 1:].transpose(1, 2).reshape(got.shape)
    assert (got - expected).abs().max() < 1e-5


def test_classifier_files_and_chunked_training_files_load_too():
    extractor = create("dinov2/vits14_test")
    own = extractor.state_dict()
    original = original_v2(VARIANTS["dinov2/vits14_test"], torch.Generator().manual_seed(2))
    expected = extractor.convert(original)
    assert set(expected) == set(own)
    chunked = {name.replace("blocks.", "blocks.0.", 1): value for name, value in original.items()}
    assert all(torch.equal(extractor.convert(chunked)[name], value) for name, value in expected.items())
    hub = hub_v2(original, VARIANTS["dinov2/vits14_test"])
    classifier = {f"dinov2.{name}": value for name, value in hub.items()} | {"classifier.bias": torch.zeros(3)}
    assert set(extractor.convert(classifier)) - set(own) == {"network.classifier.bias"}


@pytest.mark.parametrize("name", ["dinov2/vits14_test", "dinov2/vitg14_test"])
def test_names_of_either_transformers_version_lead_to_the_installed_ones(name):
    extractor = create(name)
    own = extractor.state_dict()
    hub = hub_v2(original_v2(VARIANTS[name], torch.Generator().manual_seed(2)), VARIANTS[name])
    newer = convert_v2(hub, ["encoder.layer.0.attention.q_proj.weight"])
    assert "encoder.layer.0.attention.o_proj.bias" in newer
    assert not any("attention.attention" in key or "weights_in" in key for key in newer)
    older = convert_v2(newer, ["encoder.layer.0.attention.attention.query.weight"])
    assert set(older) == set(hub) and all(torch.equal(older[key], hub[key]) for key in hub)
    from_own = extractor.convert(dict(own))
    assert set(from_own) == set(own) and all(torch.equal(from_own[key], own[key]) for key in own)


@pytest.mark.parametrize("name", ["dinov2/vits14_reg_test", "dinov2/vitg14_test"])
def test_a_run_saved_under_another_transformers_version_loads(name):
    saved, other = create(name), create(name)
    own = {key.removeprefix("network."): value for key, value in saved.state_dict().items() if "offset" not in key}
    rest = {f"extractors.0.{key}": value for key, value in saved.state_dict().items() if "offset" in key}
    # Whichever the installed version is, one of the two sets of names is the other version's.
    for foreign in ("attention.attention.query", "attention.q_proj"):
        state = convert_v2(own, [f"encoder.layer.0.{foreign}.weight"])
        state = {f"extractors.0.network.{key}": value for key, value in state.items()} | rest
        model = torch.nn.Module()
        model.extractors = torch.nn.ModuleList([other])
        assert model.load_state_dict(state) == ([], [])
        assert all(torch.equal(other.state_dict()[key], value) for key, value in saved.state_dict().items())
        other.load_state_dict(create(name).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*network\.layernorm\.bias"):
        other.load_state_dict({key: value for key, value in saved.state_dict().items() if "layernorm.bias" not in key})


def original_v3(v, generator):
    """Random tensors under the names and shapes of ``dinov3_vit*16_pretrain_*.pth``."""
    d = v.width
    shapes = {"cls_token": (1, 1, d), "mask_token": (1, d), "storage_tokens": (1, v.registers, d)}
    shapes |= {"patch_embed.proj.weight": (d, 3, 16, 16), "patch_embed.proj.bias": (d,), "rope_embed.periods": (3,)}
    up = ("w1", "w2") if v.gated else ("fc1",)
    down = "w3" if v.gated else "fc2"
    for index in range(v.depth):
        block = {"norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        block |= {"attn.qkv.weight": (3 * d, d), "attn.qkv.bias": (3 * d,), "attn.qkv.bias_mask": (3 * d,)}
        block |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,), "ls1.gamma": (d,), "ls2.gamma": (d,)}
        for layer in up:
            block |= {f"mlp.{layer}.weight": (v.hidden, d), f"mlp.{layer}.bias": (v.hidden,)}
        block |= {f"mlp.{down}.weight": (d, v.hidden), f"mlp.{down}.bias": (d,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,)}
    return {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def hub_v3(original, v):
    """The same tensors under the names of the hub's safetensors (no key bias: the authors mask it to zero)."""
    d = v.width
    hub = {
        "embeddings.cls_token": original["cls_token"],
        "embeddings.mask_token": original["mask_token"][None],
        "embeddings.register_tokens": original["storage_tokens"],
        "embeddings.patch_embeddings.weight": original["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.bias": original["patch_embed.proj.bias"],
        "norm.weight": original["norm.weight"],
        "norm.bias": original["norm.bias"],
    }
    gated = {"gate_proj": "w1", "up_proj": "w2", "down_proj": "w3"}
    for index in range(v.depth):
        old, new = f"blocks.{index}.", f"layer.{index}."
        for kind in ("weight", "bias"):
            qkv = original[f"{old}attn.qkv.{kind}"]
            hub[f"{new}attention.q_proj.{kind}"] = qkv[:d].clone()
            hub[f"{new}attention.v_proj.{kind}"] = qkv[2 * d :].clone()
            hub[f"{new}attention.o_proj.{kind}"] = original[f"{old}attn.proj.{kind}"]
            for norm in ("norm1", "norm2"):
                hub[f"{new}{norm}.{kind}"] = original[f"{old}{norm}.{kind}"]
            for ours, theirs in (gated if v.gated else {"up_proj": "fc1", "down_proj": "fc2"}).items():
                hub[f"{new}mlp.{ours}.{kind}"] = original[f"{old}mlp.{theirs}.{kind}"]
        hub[f"{new}attention.k_proj.weight"] = original[f"{old}attn.qkv.weight"][d : 2 * d].clone()
        hub[f"{new}layer_scale1.lambda1"] = original[f"{old}ls1.gamma"]
        hub[f"{new}layer_scale2.lambda1"] = original[f"{old}ls2.gamma"]
    return hub


@pytest.mark.parametrize("name", ["dinov3/vits16_test", "dinov3/vits16plus_test"])
def test_dinov3_files_of_the_hub_and_of_the_authors_give_the_same_features(name, tmp_path):
    v = VARIANTS[name]
    original = original_v3(v, torch.Generator().manual_seed(2))
    torch.save(original, tmp_path / "original.pth")
    save_file(hub_v3(original, v), tmp_path / "model.safetensors")
    outputs = {}
    for file in ("original.pth", "model.safetensors"):
        extractor = create(name, weights=str(tmp_path / file), outputs=v.outputs)
        report = extractor.weights_report
        assert (report.matched_fraction, report.missing, report.left_over) == (1.0, (), ())
        with torch.no_grad():
            outputs[file] = extractor(clip(name))
    for output, fmap in outputs["original.pth"].items():
        assert torch.equal(fmap.data, outputs["model.safetensors"][output].data), output


@pytest.mark.parametrize("name", ["dinov2/vits14_test", "dinov2/vits14_reg_test"])
def test_positions_are_interpolated_by_the_rule_of_whoever_published_the_file(name, tmp_path):
    """The authors add 0.1 without registers and nothing with them; the hub's port adds nothing."""
    v = VARIANTS[name]
    original = original_v2(v, torch.Generator().manual_seed(2))
    torch.save(original, tmp_path / "original.pth")
    save_file(hub_v2(original, v), tmp_path / "model.safetensors")
    authors, hub = (create(name, weights=str(tmp_path / file)) for file in ("original.pth", "model.safetensors"))
    assert (authors.offset, hub.offset) == (0.0 if v.registers else 0.1, 0.0)
    assert create(name, weights=str(tmp_path / "original.pth"), position_offset=0.3).offset == 0.3
    # A model that was trained and saved keeps the rule of its weights, whatever its file is called.
    again = create(name)
    again.load_state_dict(authors.state_dict())
    assert again.offset == authors.offset
    with torch.no_grad():
        assert torch.equal(again(clip(name))["cls"].data, authors(clip(name))["cls"].data)
        same = torch.equal(authors(clip(name))["cls"].data, hub(clip(name))["cls"].data)
    assert same == bool(v.registers)
    # One saved before there was such a rule is read by that of transformers.
    older = {key: value for key, value in authors.state_dict().items() if key != "position_offset"}
    again.load_state_dict(older)
    assert again.offset == 0.0


def test_features_of_the_two_rules_are_never_taken_for_each_other(tmp_path):
    from vidcore.extract.identity import extractor_identity

    name = "dinov2/vits14_test"
    original = original_v2(VARIANTS[name], torch.Generator().manual_seed(2))
    torch.save(original, tmp_path / "original.pth")
    save_file(hub_v2(original, VARIANTS[name]), tmp_path / "model.safetensors")
    authors, hub = (create(name, weights=str(tmp_path / file)) for file in ("original.pth", "model.safetensors"))
    assert extractor_identity(authors) != extractor_identity(hub)
