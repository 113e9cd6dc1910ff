from __future__ import annotations

import math

import pytest
import torch
from vidcore.assemble import assemble
from vidcore.config import TrainConfig
from vidcore.errors import TrainingError
from vidcore.heads.base import TargetInfo
from vidcore.training.optimisation import adamw, epoch_order, steps_of, warmup_cosine

TARGETS = TargetInfo("class", ("a", "b"), (1, 1))


def test_only_matrices_are_decayed_and_extractors_have_their_own_rate(tiny_config):
    model = assemble(tiny_config(), TARGETS)
    optimizer = adamw(model, TrainConfig(lr=1e-3, extractor_lr_scale=0.1, weight_decay=0.3))
    where = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(where) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = where[id(parameter)]
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name
        assert group["lr"] == pytest.approx(1e-4 if name.startswith("extractors.") else 1e-3), name


def test_frozen_parameters_are_in_no_group(tiny_config):
    config = tiny_config()
    choice = config.extractors[0].model_copy(update={"freeze": True})
    model = assemble(config.model_copy(update={"extractors": (choice,)}), TARGETS)
    inside = {id(p) for group in adamw(model, TrainConfig(lr=1e-3)).param_groups for p in group["params"]}
    assert inside == {id(p) for p in model.head.parameters()}


def test_nothing_to_train_is_an_error(tiny_config):
    model = assemble(tiny_config(), TARGETS).requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameter to train"):
        adamw(model, TrainConfig(lr=1e-3))


def test_the_rate_rises_linearly_and_falls_as_a_cosine():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, 20, 0.2)
    rates = []
    for _ in range(20):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    expected = [(i + 1) / 5 for i in range(4)] + [0.5 * (1 + math.cos(math.pi * i / 16)) for i in range(16)]
    assert rates == pytest.approx(expected)
    assert schedule.get_last_lr()[0] == pytest.approx(0.0, abs=1e-12)


def test_every_epoch_visits_every_clip_in_an_order_of_its_own():
    orders = [epoch_order(50, 3, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert epoch_order(50, 3, 1) == orders[1] != epoch_order(50, 4, 1)


@pytest.mark.parametrize(("clips", "batch", "accumulate"), [(10, 4, 1), (10, 4, 3), (9, 4, 4), (1, 8, 4)])
def test_steps_hold_every_clip_once_and_no_micro_batch_is_empty(clips, batch, accumulate):
    steps = steps_of(list(range(clips)), batch, accumulate)
    assert [c for step in steps for micro in step for c in micro] == list(range(clips))
    assert all(micro for step in steps for micro in step)
    assert [sum(map(len, step)) for step in steps[:-1]] == [batch] * (len(steps) - 1)
    assert all(len(step) == min(accumulate, sum(map(len, step))) for step in steps)
