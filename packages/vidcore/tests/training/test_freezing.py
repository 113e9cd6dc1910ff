"""Which tensors are trained, how fast, and that the others stay what they were."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import nn
from vidcore.assemble import assemble
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo, Plugin, Registry, installed
from vidcore.config import ExtractorConfig, build_run_config, run_config
from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor, step_times
from vidcore.extractors.freezing import block_places
from vidcore.features import FeatureMap
from vidcore.heads.base import TargetInfo
from vidcore.training import load, resume, train
from vidcore.training.batches import TrainingData
from vidcore.training.checkpoints import trained_state
from vidcore.training.optimisation import adamw
from vidcore.training.seeding import seed_all
from vidcore.training.trainer import Trainer

from .test_resume import _digest
from .test_trainer import STREAM, TARGETS, Memory

DEEP = {"width": 16, "depth": 3, "heads": 2, "size": 16, "patch": 8, "dropout": 0.1}


class Block(nn.Module):
    """Linear, norm with running statistics, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.value = nn.Linear(8, 8)

    def forward(self, x):
        return x + self.value(self.norm(self.query(x)).relu())


class Layers(Extractor):
    """Mean colour through three blocks."""

    def __init__(self, spec, config) -> None:
        super().__init__(spec, config)
        self.scale = nn.Parameter(torch.ones(8))
        self.embed = nn.Linear(3, 8)
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.final = nn.LayerNorm(8)

    @property
    def blocks(self):
        # A norm that is named among them is no block.
        return [self.embed, *self.layers, self.final]

    def forward(self, clip):
        x = self.embed(clip.mean((2, 3, 4))) * self.scale
        for layer in self.layers:
            x = layer(x)
        data = self.final(x)[:, :, None, None, None]
        return {"features": FeatureMap(data, step_times(1, 1, data))}


@pytest.fixture
def registry(monkeypatch):
    module = ModuleType("fake_layers")
    module.Layers, module.LayersConfig = Layers, ExtractorConfig
    monkeypatch.setitem(sys.modules, "fake_layers", module)
    spec = ExtractorSpec(
        name="fake/layers",
        target="fake_layers:Layers",
        config="fake_layers:LayersConfig",
        summary="three blocks",
        outputs={"features": FeatureInfo(8, (None, None, None))},
        clip=ClipFormat(size=(16, 16)),
    )
    return Registry([*installed().plugins, Plugin("fake", "vidplug-fake", "1", "vidcore.builtin", specs=(spec,))])


def _model(choice, registry=None):
    seed_all(0)
    return assemble(run_config({"extractors": [choice]}), TARGETS, registry)


def _trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_last_blocks_and_what_follows_them_are_trained(registry):
    model = _model({"name": "fake/layers", "unfreeze_blocks": 2}, registry)
    inside = "extractors.fake/layers."
    own = {name.removeprefix(inside) for name in _trained(model) if name.startswith(inside)}
    assert {name.rpartition(".")[0] for name in own} == {
        "final",
        *(f"layers.{i}.{part}" for i in (1, 2) for part in ("query", "norm", "value")),
    }
    assert {"head.linear.weight", "head.linear.bias"} <= _trained(model)
    # Fewer tensors are kept in checkpoints; the statistics of a trained block are among them.
    kept = set(trained_state(model))
    assert inside + "layers.1.norm.running_mean" in kept
    assert inside + "layers.0.norm.running_mean" not in kept
    assert kept & set(dict(model.named_parameters())) == _trained(model)


def test_all_blocks_are_the_whole_extractor(registry):
    model = _model({"name": "fake/layers", "unfreeze_blocks": 4}, registry)
    assert _trained(model) == set(dict(model.named_parameters()))


def test_frozen_blocks_and_their_statistics_stay(registry):
    model = _model({"name": "fake/layers", "unfreeze_blocks": 1}, registry)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    class Clips(Memory):
        def batches(self, plan, epoch):
            for batch in super().batches(plan, epoch):
                yield type(batch)(batch.targets, batch.mask, batch.rows, {"fake/layers": batch.clips[STREAM]})

    config = build_run_config(None, {}, ["train.epochs=2", "train.batch_size=8", "train.device=cpu"]).train
    Trainer(config).fit(model, TrainingData(Clips()))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == set(trained_state(model))
    assert "extractors.fake/layers.layers.2.norm.running_var" in changed


def test_running_statistics_of_an_adapted_extractor_stay(registry):
    pytest.importorskip("peft")
    model = _model({"name": "fake/layers", "lora": {"rank": 2}}, registry).train()
    layer = model.extractor("fake/layers").layers[0]
    assert layer.training
    assert not layer.norm.training


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"unfreeze_blocks": 5},
            r"unfreeze_blocks is 5, and extractor 'fake/layers' has 4 blocks; give fewer, or freeze",
        ),
        ({"unfreeze_blocks": 1, "freeze": True}, "freeze=true leaves nothing for unfreeze_blocks to train"),
        ({"unfreeze_blocks": 1, "lora": {}}, "two ways of training an extractor; give one of them"),
        ({"lora": {"targets": ["key"]}}, r"no linear layer named 'key'; its layers are: embed, query, value"),
    ],
)
def test_what_cannot_be_trained_is_said(registry, choice, message):
    with pytest.raises(ConfigError, match=message):
        _model({"name": "fake/layers", **choice}, registry)


def test_adapters_are_for_layers_that_are_called():
    with pytest.raises(ConfigError, match=r"'basic/naive_cnn' has no linear layer .* use unfreeze_blocks instead"):
        _model({"name": "basic/naive_cnn", "lora": {}})
    # torch's fused Transformer layer reads its weights past an adapter.
    with pytest.raises(ConfigError, match="has no linear layer"):
        _model({"name": STREAM, "options": DEEP, "lora": {}})


def test_adapters_need_peft(registry, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'vidcore\[lora\]'"):
        _model({"name": "fake/layers", "lora": {}}, registry)


def test_adapters_change_nothing_before_training_and_are_all_that_is_trained(registry):
    pytest.importorskip("peft")
    config = build_run_config(None, {"extractors": [{"name": "fake/layers"}]}, ["extractors.0.lora.rank=2"])
    assert config.extractors[0].lora.rank == 2
    plain, adapted = (
        _model(choice, registry).eval() for choice in ({"name": "fake/layers"}, config.extractors[0].model_dump())
    )
    clips = Memory().videos
    with torch.no_grad():
        one, other = (m.encode(clips)["fake/layers"].data for m in (plain, adapted))
    assert torch.equal(one, other)
    inside = {name for name in _trained(adapted) if name.startswith("extractors.")}
    assert inside and all(".lora_A." in name or ".lora_B." in name for name in inside)
    # Two matrices of rank 2 beside each of the seven linear layers of the blocks.
    sizes = [2 * (3 + 8), *[2 * (8 + 8)] * 6]
    assert sum(dict(adapted.named_parameters())[name].numel() for name in inside) == sum(sizes)
    few = _model({"name": "fake/layers", "lora": {"rank": 2, "targets": ["query"]}}, registry)
    assert {name.split(".")[4] for name in _trained(few) if "lora" in name} == {"query"}


def test_an_adapted_run_is_shipped_loaded_and_resumed(registry, tiny_config, monkeypatch):
    pytest.importorskip("peft")
    tree = tiny_config(train={"epochs": 2, "lr": 0.05}).model_dump(mode="json")
    tree["extractors"] = [{"name": "fake/layers", "lora": {"rank": 2}}]
    run = train(run_config(tree), registry=registry)
    assert "of them trained" in run.log.read_text()
    model = load(run.root, device="cpu", registry=registry)
    with run.predictions.open() as file:
        import csv

        rows = list(csv.DictReader(file))
    for row, found in zip(rows, model.predict([row["video"] for row in rows], top_k=3), strict=True):
        for name, chance in found.top:
            assert chance == pytest.approx(float(row[f"p({name})"]), abs=1e-5)
    last = torch.load(run.checkpoints / "last.pt", weights_only=True)["model"]
    assert all("lora" in name or name.startswith("head.") or "num_batches" in name for name in last)
    assert any(tensor.abs().max() > 0 for name, tensor in last.items() if "lora_B" in name)
    run.results.unlink()
    before = _digest(run.weights)
    again = resume(run.root, registry=registry)
    assert _digest(again.weights) == before


def test_blocks_learn_the_slower_the_deeper_they_are(registry):
    model = _model({"name": "fake/layers"}, registry)
    config = build_run_config(None, {}, ["train.lr=1", "train.layer_decay=0.5", "train.extractor_lr_scale=0.1"]).train
    rates = {id(p): group["lr"] for group in adamw(model, config).param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in model.named_parameters()}
    inside = "extractors.fake/layers."
    assert found["head.linear.weight"] == 1
    assert found[inside + "final.weight"] == pytest.approx(0.1)
    assert found[inside + "layers.2.value.weight"] == pytest.approx(0.1 / 2)
    assert found[inside + "layers.0.norm.bias"] == pytest.approx(0.1 / 8)
    assert found[inside + "embed.weight"] == found[inside + "scale"] == pytest.approx(0.1 / 16)
    assert adamw(model, config).param_groups[0]["lr"] == 1


def test_places_of_parameters_of_no_block():
    extractor = _model({"name": STREAM, "options": DEEP}).extractor(STREAM)
    places = block_places(extractor)
    assert places["rows"] == places["columns"] == places["embed.weight"] == 0
    assert places["encoder.2.linear1.weight"] == 3
    assert places["norm.weight"] == 4


def test_a_partly_trained_run_keeps_the_rest_as_it_was(tiny_config):
    config = tiny_config(extractors=[{"name": STREAM, "options": DEEP, "unfreeze_blocks": 1}], train={"epochs": 1})
    run = train(config)
    seed_all(0)
    initial = assemble(run.read_config(), TargetInfo("class", ("bright", "dark", "grey"), (8, 8, 8))).state_dict()
    shipped = load(run.root, device="cpu").model.state_dict()
    inside = f"extractors.{STREAM}."
    assert torch.equal(shipped[inside + "encoder.0.linear1.weight"], initial[inside + "encoder.0.linear1.weight"])
    assert not torch.equal(shipped[inside + "encoder.2.linear1.weight"], initial[inside + "encoder.2.linear1.weight"])
    assert run.read_config().extractors[0].unfreeze_blocks == 1
