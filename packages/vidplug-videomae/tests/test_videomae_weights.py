"""Published layouts load as they are, and parameter counts are those of the published definitions."""

from __future__ import annotations

import pytest
import torch
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidplug_videomae.variants import VARIANTS

NAME = "videomae/base_test"
# Built with the mean-pooling flag, so without a final norm.
PUBLISHED = {
    "videomae/small": 21_879_168,
    "videomae/base": 86_225_664,
    "videomae/large": 303_858_688,
    "videomae/huge": 631_604_480,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_exact(name, monkeypatch):
    # Seconds of pure Python for a table that is no parameter.
    table = "transformers.models.videomae.modeling_videomae.get_sinusoid_encoding_table"
    monkeypatch.setattr(table, lambda positions, width: torch.zeros(1, positions, width))
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
    count = sum(p.numel() for p in extractor.parameters())
    norm = sum(p.numel() for p in extractor.network.layernorm.parameters())
    assert count == spec.parameters
    assert norm == 2 * VARIANTS[name].width
    assert count - norm == PUBLISHED.get(name, count - norm)


def original(pretrained):
    """Random tensors under the names and shapes of the authors' files."""
    generator = torch.Generator().manual_seed(2)
    d = 48
    shapes = {"patch_embed.proj.weight": (d, 3, 2, 16, 16), "patch_embed.proj.bias": (d,)}
    for index in range(3):
        block = {"norm1.weight": (d,), "norm1.bias": (d,), "norm2.weight": (d,), "norm2.bias": (d,)}
        block |= {"attn.q_bias": (d,), "attn.v_bias": (d,), "attn.qkv.weight": (3 * d, d)}
        block |= {"attn.proj.weight": (d, d), "attn.proj.bias": (d,)}
        block |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,)}
        block |= {"mlp.fc2.weight": (d, 4 * d), "mlp.fc2.bias": (d,)}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    norm = "norm" if pretrained else "fc_norm"
    shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
    tensors = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    if not pretrained:
        return tensors | {"head.weight": torch.zeros(5, d), "head.bias": torch.zeros(5)}
    tensors = {f"encoder.{name}": value for name, value in tensors.items()}
    return tensors | {
        "mask_token": torch.zeros(1, 1, 24),
        "encoder_to_decoder.weight": torch.zeros(24, d),
        "decoder.blocks.0.attn.qkv.weight": torch.zeros(72, 24),
        "decoder.norm.weight": torch.zeros(24),
    }


def hub(tensors, pretrained):
    """The same tensors under the names of the hub's ``pytorch_model.bin``."""
    prefix = "encoder." if pretrained else ""
    get = {name.removeprefix(prefix): value for name, value in tensors.items()}.__getitem__
    found = {
        "videomae.embeddings.patch_embeddings.projection.weight": get("patch_embed.proj.weight"),
        "videomae.embeddings.patch_embeddings.projection.bias": get("patch_embed.proj.bias"),
    }
    renamed = {"norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense"}
    renamed |= {"mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    for index in range(3):
        old, new = f"blocks.{index}.", f"videomae.encoder.layer.{index}."
        for part, value in zip(("query", "key", "value"), get(f"{old}attn.qkv.weight").split(48), strict=True):
            found[f"{new}attention.attention.{part}.weight"] = value.clone()
        for bias in ("q_bias", "v_bias"):
            found[f"{new}attention.attention.{bias}"] = get(f"{old}attn.{bias}")
        for theirs, ours in renamed.items():
            for kind in ("weight", "bias"):
                found[f"{new}{ours}.{kind}"] = get(f"{old}{theirs}.{kind}")
    norm, ours = ("norm", "videomae.layernorm") if pretrained else ("fc_norm", "fc_norm")
    found |= {f"{ours}.{kind}": get(f"{norm}.{kind}") for kind in ("weight", "bias")}
    if pretrained:
        return found | {"decoder.norm.weight": torch.zeros(24), "mask_token": torch.zeros(1, 1, 24)}
    return found | {"classifier.weight": torch.zeros(5, 48), "classifier.bias": torch.zeros(5)}


@pytest.mark.parametrize("pretrained", [True, False])
def test_the_hub_s_file_and_the_authors_file_give_the_same_features(pretrained, tmp_path):
    tensors = original(pretrained)
    torch.save({"model" if pretrained else "module": tensors}, tmp_path / "original.pth")
    torch.save(hub(tensors, pretrained), tmp_path / "pytorch_model.bin")
    clip = torch.randn(1, 3, 16, 64, 64, generator=torch.Generator().manual_seed(3))
    outputs = {}
    for file in ("original.pth", "pytorch_model.bin"):
        extractor = create(NAME, weights=str(tmp_path / file), outputs=VARIANTS[NAME].outputs)
        report = extractor.weights_report
        assert (report.matched_fraction, report.missing) == (1.0, ())
        assert report.left_over
        with torch.no_grad():
            outputs[file] = extractor(clip)
    for name, fmap in outputs["original.pth"].items():
        assert torch.equal(fmap.data, outputs["pytorch_model.bin"][name].data), name


def test_the_attention_of_the_authors_is_reproduced():
    """One block written out from the reference: a wrong third of ``qkv`` or a lost bias would show here."""
    w = original(pretrained=False)
    extractor = create(NAME, outputs=("block0",))
    extractor.load_state_dict({k: v for k, v in extractor.convert(w).items() if "classifier" not in k})
    clip = torch.randn(1, 3, 16, 64, 64, generator=torch.Generator().manual_seed(3))
    tokens = extractor.network.embeddings(clip.transpose(1, 2), None).detach()
    norm = torch.nn.functional.layer_norm
    x = norm(tokens, (48,), w["blocks.0.norm1.weight"], w["blocks.0.norm1.bias"], 1e-6)
    bias = torch.cat([w["blocks.0.attn.q_bias"], torch.zeros(48), w["blocks.0.attn.v_bias"]])
    q, k, value = (x @ w["blocks.0.attn.qkv.weight"].T + bias).chunk(3, -1)
    heads = [t.unflatten(-1, (4, 12)).transpose(1, 2) for t in (q, k, value)]
    scores = (heads[0] @ heads[1].transpose(-1, -2) / 12**0.5).softmax(-1)
    x = (scores @ heads[2]).transpose(1, 2).flatten(2)
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
