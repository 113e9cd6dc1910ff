from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, WiringError
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.heads import TargetInfo
from vidcore.plugin import FeatureInfo

COUNTS = TargetInfo("class", ("a", "b", "c"), (6, 3, 1))


def build(kind, name, *inputs, **options):
    spec = installed().find(kind, name)[0].spec
    torch.manual_seed(0)
    return load_target(spec)(spec, component_config(spec, options), *inputs).eval()


def fmap(mask=None):
    return FeatureMap(torch.randn(2, 8, 4, 3, 3, generator=torch.Generator().manual_seed(1)), torch.arange(4.0), mask)


def test_mean_reads_real_steps_only():
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    part = build("readout", "mean", FeatureInfo(8))
    pooled = part(fmap(mask))
    assert torch.allclose(pooled[0], fmap().data[0].mean((1, 2, 3)), atol=1e-6)
    assert torch.allclose(pooled[1], fmap().data[1, :, :2].mean((1, 2, 3)), atol=1e-6)


def test_attention_does_not_read_masked_steps():
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    part = build("readout", "attention", FeatureInfo(8), heads=2, queries=3)
    before = part(fmap(mask))
    changed = fmap(mask)
    changed.data[1, :, 2:] += 100
    assert torch.allclose(part(changed), before, atol=1e-6)
    assert not torch.allclose(part(FeatureMap(changed.data, changed.times)), before, atol=1e-3)


def test_attention_needs_a_width_that_its_heads_divide():
    with pytest.raises(ConfigError, match=r"width 10 is not a multiple of heads \(4\); set readout.options.width"):
        build("readout", "attention", FeatureInfo(10), heads=4)


def classification(targets=COUNTS, per_step=False, **options):
    return build("head", "classification", ReadoutInfo(5, per_step), targets, **options)


def test_loss_is_cross_entropy_with_smoothing_and_weights():
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 1])
    head = classification(label_smoothing=0.1, class_weights="balanced")
    weight = torch.tensor([10 / 18, 10 / 9, 10 / 3])
    expected = F.cross_entropy(logits, targets, weight=weight, label_smoothing=0.1)
    assert torch.allclose(head.loss({"logits": logits}, targets), expected)
    given = classification(class_weights=(1.0, 2.0, 3.0))
    expected = F.cross_entropy(logits, targets, weight=torch.tensor([1.0, 2.0, 3.0]))
    assert torch.allclose(given.loss({"logits": logits}, targets), expected)


def test_multilabel_uses_sigmoids():
    head = classification(TargetInfo("multilabel", ("a", "b", "c")), multilabel=True)
    logits, targets = torch.randn(4, 3), torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    expected = F.binary_cross_entropy_with_logits(logits, targets.float())
    assert torch.allclose(head.loss({"logits": logits}, targets), expected)
    assert torch.allclose(head.predictions({"logits": logits}), logits.sigmoid())
    perfect = head.metrics()
    perfect.update(targets.float(), targets)
    # A class's average precision is defined where it has a positive: all three do here.
    assert perfect.compute()["mean_average_precision"] == 1


def test_what_does_not_fit_is_refused_when_it_is_built():
    with pytest.raises(WiringError, match="reads one vector per clip; the readout gives one per step"):
        classification(per_step=True)
    with pytest.raises(WiringError, match=r"needs at least two classes; the data has \['a'\]"):
        classification(TargetInfo("class", ("a",), (3,)))
    with pytest.raises(WiringError, match="predicts class targets; the data has multilabel targets"):
        classification(TargetInfo("multilabel", ("a", "b")))
    with pytest.raises(ConfigError, match="class_weights has 2 numbers; the data has 3 classes: a, b, c"):
        classification(class_weights=(1.0, 2.0))
