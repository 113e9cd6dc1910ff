from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from vidcore.catalog import FeatureInfo, FusionSpec, HeadSpec, ReadoutSpec, installed, load_target
from vidcore.config import TrainConfig, component_config
from vidcore.errors import DataError, TrainingError
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.heads.base import TargetInfo
from vidcore.model import VideoModel
from vidcore.training import cohort
from vidcore.training.batches import TrainingData
from vidcore.training.grid import GridData, fit_grid, starting_from
from vidcore.training.member import GridMember
from vidcore.training.seeding import seed_all
from vidcore.training.selection import Selected
from vidcore.training.trainer import Trainer

CLIPS, CLASSES = 41, 3
FOLDS = {
    0: (list(range(12, 41)), list(range(12))),
    1: (list(range(26)), list(range(26, 41))),
    # Fewer steps than the others, and no step of full size in validation.
    2: (list(range(5, 20)), [0, 1, 2, 40]),
}
CONFIG = TrainConfig(epochs=3, batch_size=8, device="cpu")
MEMBERS = [
    GridMember(lr, decay, seed, fold)
    for lr, decay, seed, fold in [
        (1e-2, 0.0, 0, 0), (1e-2, 0.5, 0, 0), (3e-2, 0.0, 1, 0), (1e-2, 0.1, 1, 1),
        (1e-3, 0.1, 0, 1), (1e-2, 0.0, 0, 2), (1e-2, 0.3, 2, 2),
    ]
]  # fmt: skip
FEW = [MEMBERS[0], MEMBERS[1], MEMBERS[3], MEMBERS[6]]
STREAMS = {"a": FeatureInfo(8, stride=(2, 1, 1)), "b": FeatureInfo(6, stride=(1, 1, 1))}


def _features(streams=("a",), dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    targets = torch.randint(0, CLASSES, (CLIPS,), generator=generator)
    shapes = {"a": (8, 3, 2, 2), "b": (6, 5, 1, 1)}
    maps = {}
    for name in streams:
        dim, steps, rows, columns = shapes[name]
        data = torch.randn(CLIPS, dim, steps, rows, columns, generator=generator, dtype=dtype)
        data[:, :CLASSES] += torch.nn.functional.one_hot(targets, CLASSES)[:, :, None, None, None]
        mask = torch.arange(steps) < torch.randint(1, steps + 1, (CLIPS, 1), generator=generator)
        maps[name] = FeatureMap(data, torch.arange(steps) * 6.0 / steps, mask)
    return maps, targets


def _data(streams=("a",), folds=FOLDS):
    return GridData.of(*_features(streams), folds)


def _part(kind, name, options, *inputs):
    spec = installed().get(kind, name)
    return load_target(spec)(spec, component_config(spec, options), *inputs)


def _build(
    readout=("mean", {}), fusion=("concat", {}), head=None, streams=("a",), wrap=lambda readout, member: readout
):
    """A model of a member: its seed decides its weights, its fold how often a class is there."""

    def build(member):
        seed_all(member.seed)
        fused = _part(FusionSpec, *fusion, {name: STREAMS[name] for name in streams})
        read = wrap(_part(ReadoutSpec, *readout, fused.output), member)
        targets = _features()[1][FOLDS[member.fold][0]]
        info = TargetInfo("class", ("x", "y", "z"), tuple(targets.bincount(minlength=CLASSES).tolist()))
        made = _part(HeadSpec, "classification", head or {}, read.output, info)
        model = VideoModel({}, fused, read, made).double()
        if made.weight is not None:
            # The head computes its loss in float32 whatever it is given.
            made.weight = made.weight.float()
        return model

    return build


def _alone(build, data, member, config=CONFIG):
    model = build(member)
    trainer = Trainer(member.config(config), fold=member.fold)
    trainer.prepare(model)
    seed_all(member.seed)
    train, val = (Selected(data.clips, rows) for rows in data.folds[member.fold])
    trainer.fit(model, TrainingData(train, val if len(val) else None))
    return trainer, trainer.predict(val, "validation") if len(val) else None


def _assert_same(result, build, data, config=CONFIG):
    for found in result.members:
        trainer, judged = _alone(build, data, found.member, config)
        assert found.failure is None
        assert found.best_epoch == trainer.state.best_epoch
        assert len(found.history) == len(trainer.state.history)
        for one, other in zip(found.history, trainer.state.history, strict=True):
            assert list(one) == list(other)
            for name in one.keys() - {"seconds"}:
                assert one[name] == pytest.approx(other[name], rel=1e-6, abs=1e-7), (found.member, name)
        expected = trainer.model.state_dict()
        assert found.state.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.allclose(found.state[name], tensor, atol=1e-6), (found.member, name)
        if judged is not None:
            assert torch.allclose(found.validation.predictions, judged.predictions, atol=1e-6)
            assert torch.equal(found.validation.targets, judged.targets)
            assert found.validation.rows == judged.rows
            assert found.validation.scores == pytest.approx(judged.scores)
            assert found.validation.loss == pytest.approx(judged.loss)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"readout": ("max", {})},
        {"readout": ("attention", {"width": 8, "heads": 2})},
        {"readout": ("attention", {"width": 8, "heads": 2, "blocks": 1})},
        {"readout": ("transformer", {"width": 8, "heads": 2, "depth": 1, "dropout": 0.0})},
        {"fusion": ("gated", {"width": 4}), "streams": ("a", "b")},
        {"fusion": ("cross_attention", {"width": 8, "heads": 2, "dropout": 0.0}), "streams": ("a", "b")},
        {"head": {"class_weights": "balanced", "label_smoothing": 0.1}},
    ],
    ids=str,
)
def test_each_member_is_what_it_is_alone(parts):
    build, data = _build(**parts), _data(parts.get("streams", ("a",)))
    members = MEMBERS if len(parts) < 2 else FEW
    result = fit_grid(build, data, members, CONFIG)
    assert result.notes == ()
    assert [found.member for found in result.members] == members
    _assert_same(result, build, data)


@pytest.mark.parametrize(
    ("options", "readout"),
    [
        ({"accumulate": 3}, ("mean", {})),
        ({"accumulate": 3, "ema": 0.9}, ("attention", {"width": 8, "heads": 2})),
        ({"clip_norm": None, "warmup": 0.0}, ("mean", {})),
        ({"clip_norm": 0.05, "batch_size": 64}, ("mean", {})),
    ],
    ids=str,
)
def test_whatever_the_configuration(options, readout):
    config = CONFIG.model_copy(update=options)
    # Class weights make the micro-batches of a step count for different shares of it.
    build, data = _build(readout, head={"class_weights": "balanced"}), _data()
    _assert_same(fit_grid(build, data, FEW, config), build, data, config)


def test_members_end_when_their_patience_does():
    config = CONFIG.model_copy(update={"patience": 1, "epochs": 8})
    members = [*FEW[:2], GridMember(1.0, 0.0, 0, 0), GridMember(0.5, 0.0, 0, 2)]
    build, data = _build(), _data()
    result = fit_grid(build, data, members, config)
    assert len({len(found.history) for found in result.members}) > 1
    _assert_same(result, build, data, config)


class Normalised(nn.Module):
    """A readout with running statistics, and a parameter that is not trained."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.norm = inner, nn.BatchNorm1d(8)
        self.shift = nn.Parameter(torch.randn(8), requires_grad=False)

    @property
    def output(self):
        return self.inner.output

    def forward(self, features):
        return self.norm(self.inner(features) + self.shift)


def test_running_statistics_are_each_members_own():
    build, data = _build(wrap=lambda readout, member: Normalised(readout)), _data()
    config = CONFIG.model_copy(update={"ema": 0.9})
    result = fit_grid(build, data, FEW, config)
    assert result.notes == ()
    _assert_same(result, build, data, config)
    means = [found.state["readout.norm.running_mean"] for found in result.members]
    assert not torch.allclose(means[0], means[-1])


class Wrapped(nn.Module):
    """A readout that is computed by ``how``."""

    def __init__(self, inner, how):
        super().__init__()
        self.inner, self.how = inner, how

    @property
    def output(self):
        return ReadoutInfo(8)

    def forward(self, features):
        return self.how(self, self.inner(features))


@pytest.mark.parametrize(
    "how",
    [
        lambda module, x: x - x.mean(0),
        lambda module, x: nn.functional.dropout(x, 1e-12, module.training) * (1.5 if module.training else 1.0),
    ],
    ids=["clips of a batch depend on each other", "training differs"],
)
def test_what_a_readout_without_parameters_makes_of_a_batch(how):
    # Neither can be computed once for all epochs.
    build, data = _build(wrap=lambda readout, member: Wrapped(readout, how)), _data()
    result = fit_grid(build, data, FEW, CONFIG)
    assert result.notes == ()
    _assert_same(result, build, data)


@pytest.mark.parametrize("readout", [("mean", {}), ("transformer", {"width": 8, "heads": 2, "depth": 1})], ids=str)
def test_dropout_is_another_for_each_member(readout):
    members = [GridMember(1e-2, 0.0)] * 2
    head = {"dropout": 0.5} if readout[0] == "mean" else {}
    result = fit_grid(_build(readout, head=head), _data(), members, CONFIG)
    assert result.notes == ()
    one, other = (found.state["head.linear.weight"] for found in result.members)
    assert not torch.allclose(one, other, atol=1e-4)
    again = fit_grid(_build(readout, head=head), _data(), members, CONFIG)
    assert torch.equal(again.members[0].state["head.linear.weight"], one)


@pytest.mark.parametrize("readout", [("gru", {"width": 4}), ("lstm", {"width": 4, "dropout": 0.2})], ids=str)
def test_recurrent_members_are_trained_one_after_the_other(readout):
    build, data = _build(readout), _data()
    result = fit_grid(build, data, MEMBERS[2:5], CONFIG)
    assert len(result.notes) == 1
    assert result.notes[0].startswith("the members are trained one after the other: ")
    _assert_same(result, build, data)


def _by_value(module, x):
    return x * 2 if float(x.detach().sum()) > 0 else x


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda member: _by_value, "the members are trained one after the other: vmap: "),
        (lambda member: lambda module, x: x * (1 + member.seed), "members differ in more than their tensors"),
    ],
    ids=["control flow", "numbers outside of tensors"],
)
def test_what_cannot_be_stacked_is_seen(how, reason):
    # With parameters in the readout, so that it is not computed once for all.
    def wrap(readout, member):
        return Wrapped(Normalised(readout), how(member))

    members = [MEMBERS[0], MEMBERS[2]]
    build, data = _build(wrap=wrap), _data()
    result = fit_grid(build, data, members, CONFIG)
    assert len(result.notes) == 1
    assert reason in result.notes[0]
    _assert_same(result, build, data)


def test_members_of_different_architectures_are_trained_one_after_the_other():
    def build(member):
        return _build(("attention", {"width": 8 + 8 * member.seed, "heads": 2}))(member)

    result = fit_grid(build, _data(), [MEMBERS[0], MEMBERS[2]], CONFIG)
    assert "the members are of different architectures" in result.notes[0]
    _assert_same(result, build, _data())


@pytest.mark.parametrize("readout", [("mean", {}), ("gru", {"width": 4})], ids=str)
def test_a_member_that_diverges_leaves_the_others_alone(readout):
    members = [MEMBERS[0], GridMember(1e38, 0.0), MEMBERS[1]]
    build = _build(readout)
    result = fit_grid(build, _data(), members, CONFIG)
    assert "is not finite in epoch 1, step " in result.members[1].failure or "in epoch 1" in result.members[1].failure
    for found, member in ((result.members[0], MEMBERS[0]), (result.members[2], MEMBERS[1])):
        trainer, _ = _alone(build, _data(), member)
        assert found.failure is None
        assert torch.allclose(found.state["head.linear.weight"], trainer.model.head.linear.weight, atol=1e-6)
    with pytest.raises(TrainingError, match="no member of the grid came to its end; the first one: "):
        fit_grid(build, _data(), members[1:2], CONFIG)


def test_several_passes_change_nothing():
    build, data = _build(("attention", {"width": 8, "heads": 2})), _data()
    result = fit_grid(build, data, FEW, CONFIG, memory=200_000)
    whole = fit_grid(build, data, FEW, CONFIG)
    assert len(result.notes) == 1
    assert result.notes[0].startswith("4 members are trained in ")
    assert whole.notes == ()
    for one, other in zip(result.members, whole.members, strict=True):
        assert one.member == other.member
        for name, tensor in one.state.items():
            assert torch.allclose(tensor, other.state[name], atol=1e-6)


def test_too_little_memory_halves_the_members(monkeypatch):
    def fit(self):
        if len(self.members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self)

    whole = cohort.Cohort.fit
    monkeypatch.setattr(cohort.Cohort, "fit", fit)
    build, data = _build(), _data()
    result = fit_grid(build, data, FEW, CONFIG)
    assert result.notes[0] == "4 members at once do not fit into memory: going on with 2"
    _assert_same(result, build, data)


def test_without_validation_clips_the_last_epoch_is_the_best():
    build, data = _build(), _data(folds={0: (list(range(20)), [])})
    result = fit_grid(build, data, MEMBERS[:2], CONFIG)
    assert [found.best_epoch for found in result.members] == [3, 3]
    assert result.members[0].validation is None
    _assert_same(result, build, data)


def test_the_time_budget_ends_all_members():
    config = CONFIG.model_copy(update={"time_budget": 1e-9})
    with pytest.raises(TrainingError, match="the time budget of 0s was over before an epoch was complete"):
        fit_grid(_build(), _data(), FEW, config)


def test_float32_gives_the_same_answers():
    maps, targets = _features(dtype=torch.float32)
    data = GridData.of(maps, targets, FOLDS)
    double = _build(("attention", {"width": 8, "heads": 2}))

    def build(member):
        return double(member).float()

    result = fit_grid(build, data, FEW, CONFIG)
    for found in result.members:
        _, judged = _alone(build, data, found.member)
        assert torch.allclose(found.validation.predictions, judged.predictions, atol=1e-4)


def test_models_are_made_once_per_seed_and_fold():
    made = []

    def make(seed, fold):
        made.append((seed, fold))
        return _build()(GridMember(1.0, 0.0, seed, fold))

    result = fit_grid(starting_from(make), _data(), FEW, CONFIG)
    assert sorted(made) == sorted({(member.seed, member.fold) for member in FEW})
    _assert_same(result, _build(), _data())


def test_what_is_read_from_a_source_is_what_is_in_memory():
    data = _data()
    again = GridData.read(Selected(data.clips, list(range(10, 30))), {0: ([0, 1, 2], [3])})
    assert torch.equal(again.clips.whole.targets, data.clips.whole.targets[10:30])
    assert again.clips.whole.rows == tuple(range(10, 30))
    found = fit_grid(_build(), again, [GridMember(1e-2, 0.0)], CONFIG)
    assert found.members[0].validation.rows == [13]


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({0: ([0, 41], [1])}, "fold 0 names clip 41; there are 41, from 0"),
        ({4: ([], [1])}, "fold 4 has no clip to train on"),
        ({0: ([0, 1], [1])}, "fold 0 trains on clip 1 and is judged by it"),
    ],
)
def test_folds_that_are_none(folds, message):
    with pytest.raises(DataError, match=message):
        _data(folds=folds)


def test_bad_grids():
    with pytest.raises(DataError, match="the grid has no members"):
        fit_grid(_build(), _data(), [], CONFIG)
    with pytest.raises(DataError, match="the grid names fold 7; there are folds 0, 1, 2"):
        fit_grid(_build(), _data(), [GridMember(1.0, 0.0, 0, 7)], CONFIG)
    with pytest.raises(DataError, match=r"features are of \{'a': 41\} clips, targets of 3; must be the same clips"):
        GridData.of(_features()[0], torch.zeros(3), FOLDS)

    def frozen(member):
        model = _build()(member)
        model.head.requires_grad_(False)
        return model

    with pytest.raises(TrainingError, match="no parameter to train: fusion, readout and head have none"):
        fit_grid(frozen, _data(), FEW, CONFIG)


def test_the_rate_that_a_row_tells_is_the_last_one():
    result = fit_grid(_build(), _data(), MEMBERS[:1], CONFIG)
    rates = [row["lr"] for row in result.members[0].history]
    assert rates[-1] == 0.0
    assert 0 < rates[1] < rates[0] <= MEMBERS[0].lr
    assert math.isfinite(result.members[0].history[-1]["val_loss"])
