"""Published layouts load as they are, and parameter counts are those of the published network."""

from __future__ import annotations

import pytest
import torch
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidplug_timesformer.variants import VARIANTS

NAME = "timesformer/base_test"


@pytest.mark.parametrize(("name", "published"), [("timesformer/base", 121_258_752), (NAME, None)])
def test_parameter_counts_are_exact(name, published):
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
    count = sum(p.numel() for p in extractor.parameters())
    assert count == spec.parameters == (published or count)


def original():
    """Random tensors under the names and shapes of the authors' ``TimeSformer_divST_*.pyth``."""
    generator = torch.Generator().manual_seed(2)
    d = 48
    shapes = {"cls_token": (1, 1, d), "pos_embed": (1, 17, d), "time_embed": (1, 4, d)}
    shapes |= {"patch_embed.proj.weight": (d, 3, 16, 16), "patch_embed.proj.bias": (d,)}
    for index in range(3):
        block = {f"{norm}.{kind}": (d,) for norm in ("norm1", "norm2", "temporal_norm1") for kind in ("weight", "bias")}
        for attention in ("attn", "temporal_attn"):
            block |= {f"{attention}.qkv.weight": (3 * d, d), f"{attention}.qkv.bias": (3 * d,)}
            block |= {f"{attention}.proj.weight": (d, d), f"{attention}.proj.bias": (d,)}
        block |= {"temporal_fc.weight": (d, d), "temporal_fc.bias": (d,)}
        block |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,)}
        block |= {"mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    shapes |= {"norm.weight": (d,), "norm.bias": (d,), "head.weight": (5, d), "head.bias": (5,)}
    return {f"model.{name}": torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}


def hub(tensors):
    """The same tensors under the names of the hub's ``pytorch_model.bin``."""
    tensors = {name.removeprefix("model."): value for name, value in tensors.items()}
    whole = {
        "cls_token": "timesformer.embeddings.cls_token",
        "pos_embed": "timesformer.embeddings.position_embeddings",
        "time_embed": "timesformer.embeddings.time_embeddings",
    }
    parts = {
        "patch_embed.proj": "timesformer.embeddings.patch_embeddings.projection",
        "norm": "timesformer.layernorm",
        "head": "classifier",
    }
    of_block = {
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "temporal_norm1": "temporal_layernorm",
        "attn.qkv": "attention.attention.qkv",
        "attn.proj": "attention.output.dense",
        "temporal_attn.qkv": "temporal_attention.attention.qkv",
        "temporal_attn.proj": "temporal_attention.output.dense",
        "temporal_fc": "temporal_dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
    for index in range(3):
        for theirs, ours in of_block.items():
            parts[f"blocks.{index}.{theirs}"] = f"timesformer.encoder.layer.{index}.{ours}"
    whole |= {f"{old}.{kind}": f"{new}.{kind}" for old, new in parts.items() for kind in ("weight", "bias")}
    assert set(whole) == set(tensors)
    return {whole[name]: value for name, value in tensors.items()}


def test_the_hub_s_file_and_the_authors_file_give_the_same_features(tmp_path):
    tensors = original()
    torch.save({"model_state": tensors, "epoch": 15}, tmp_path / "original.pyth")
    torch.save(hub(tensors), tmp_path / "pytorch_model.bin")
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(3))
    outputs = {}
    for file in ("original.pyth", "pytorch_model.bin"):
        extractor = create(NAME, weights=str(tmp_path / file), outputs=VARIANTS[NAME].outputs)
        report = extractor.weights_report
        assert (report.matched_fraction, report.missing) == (1.0, ())
        assert len(report.left_over) == 2
        with torch.no_grad():
            outputs[file] = extractor(clip)
    for name, fmap in outputs["original.pyth"].items():
        assert torch.equal(fmap.data, outputs["pytorch_model.bin"][name].data), name


def attend(x, w, block, name):
    q, k, v = (x @ w[f"{block}{name}.qkv.weight"].T + w[f"{block}{name}.qkv.bias"]).chunk(3, -1)
    q, k, v = (t.unflatten(-1, (4, 12)).transpose(-3, -2) for t in (q, k, v))
    x = ((q @ k.transpose(-1, -2) / 12**0.5).softmax(-1) @ v).transpose(-3, -2).flatten(-2)
    return x @ w[f"{block}{name}.proj.weight"].T + w[f"{block}{name}.proj.bias"]


def test_the_block_of_the_authors_is_reproduced():
    """One block written out on a (steps, rows * columns) grid: time and space exchanged would show here."""
    w = original()
    extractor = create(NAME, outputs=("block0",))
    extractor.load_state_dict({k: v for k, v in extractor.convert(w).items() if "classifier" not in k})
    w = {name.removeprefix("model."): value for name, value in w.items()}
    clip = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(3))
    b = "blocks.0."

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, (48,), w[f"{b}{name}.weight"], w[f"{b}{name}.bias"], 1e-6)

    frames = clip[0].transpose(0, 1)
    patches = torch.nn.functional.conv2d(frames, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], 16)
    # (steps, places, D)
    x = patches.flatten(2).transpose(1, 2) + w["pos_embed"][:, 1:] + w["time_embed"].transpose(0, 1)
    first = w["cls_token"] + w["pos_embed"][:, :1]
    temporal = attend(norm(x, "temporal_norm1").transpose(0, 1), w, b, "temporal_attn").transpose(0, 1)
    x = x + temporal @ w[f"{b}temporal_fc.weight"].T + w[f"{b}temporal_fc.bias"]
    spatial = attend(norm(torch.cat([first.expand(4, -1, -1), x], 1), "norm1"), w, b, "attn")
    x = x + spatial[:, 1:]
    hidden = torch.nn.functional.gelu(norm(x, "norm2") @ w[f"{b}mlp.fc1.weight"].T + w[f"{b}mlp.fc1.bias"])
    x = x + hidden @ w[f"{b}mlp.fc2.weight"].T + w[f"{b}mlp.fc2.bias"]
    with torch.no_grad():
        got = extractor(clip)["block0"].data[0]
    assert (got - x.reshape(4, 4, 4, 48).permute(3, 0, 1, 2)).abs().max() < 1e-5


def test_names_of_its_own_lead_to_themselves():
    extractor = create(NAME)
    own = extractor.state_dict()
    again = extractor.convert(dict(own))
    assert set(again) == set(own) and all(again[name] is own[name] for name in own)
