"""Many classification heads computed at once give what each gives alone."""

from __future__ import annotations

import pytest
import torch
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.features import ReadoutInfo
from vidcore.heads import TargetInfo


def classification(**options):
    spec = installed().find("head", "classification")[0].spec
    targets = TargetInfo("multilabel" if options.get("multilabel") else "class", ("a", "b", "c"), (6, 3, 1))
    return load_target(spec)(spec, component_config(spec, options), ReadoutInfo(5), targets)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_each_as_alone(smoothing):
    torch.manual_seed(0)
    heads = [classification(label_smoothing=smoothing).eval() for _ in range(6)]
    for head in heads:
        torch.nn.init.normal_(head.linear.weight)
    features, targets = torch.randn(2, 7, 5), torch.randint(0, 3, (2, 7))
    named = [dict(head.named_parameters()) for head in heads]
    stacked = {name: torch.stack([own[name].detach() for own in named]).unflatten(0, (2, 3)) for name in named[0]}
    losses, outputs = heads[0].losses_of_many(stacked, features, targets)
    for k, head in enumerate(heads):
        unit, member = divmod(k, 3)
        alone = head(features[unit])
        torch.testing.assert_close(outputs["logits"][unit, member], alone["logits"])
        torch.testing.assert_close(losses[unit, member], head.loss(alone, targets[unit]))


def test_soft_and_several_labels_are_left_to_the_general_way():
    soft = torch.rand(1, 4, 3).softmax(-1)
    for head in (classification(), classification(multilabel=True)):
        tensors = {name: parameter[None, None] for name, parameter in head.named_parameters()}
        assert head.losses_of_many(tensors, torch.randn(1, 4, 5), soft) is None
