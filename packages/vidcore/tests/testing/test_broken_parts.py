"""Each check of a fusion, a readout and a head fails on one with the defect it is for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from vidcore.catalog import FeatureInfo, FusionSpec, HeadSpec, Plugin, ReadoutSpec, Registry
from vidcore.config import FusionConfig, HeadConfig, ReadoutConfig
from vidcore.errors import WiringError
from vidcore.features import ReadoutInfo
from vidcore.fusion import Fusion
from vidcore.fusion.align import align
from vidcore.heads import FittedHead, Head, TargetInfo
from vidcore.readouts import Readout
from vidcore.testing import FittedHeadConformance, FusionConformance, HeadConformance, ReadoutConformance
from vidcore.testing.run import run_suite


def suite(base: Any, spec_type: Any, target: str, config: str, **changes: Any) -> Any:
    spec = spec_type(
        name="fake", target=f"{__name__}:{target}", config=f"{__name__}:{config}", summary="a fake", **changes
    )
    registry = Registry([Plugin("fake", "vidplug-fake", "1", "vidcore.builtin", specs=(spec,))])
    return type("Fake", (base,), {"name": "fake", "registry": registry})


def failure(kind: Any, target: str, check: str, *arguments: Any, **changes: Any) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        getattr(kind(target, **changes)(), f"test_{check}")(*arguments)
    return str(caught.value)


# Fusions


class SumConfig(FusionConfig):
    width: int = Field(8, ge=1)


class Sum(Fusion):
    """The sum of projected streams on the grid of the first."""

    def __init__(self, spec, config, streams):
        super().__init__(spec, config, streams)
        self.project = nn.ModuleList(nn.Conv3d(info.dim, config.width, 1) for info in self.streams.values())

    @property
    def output(self):
        return replace(next(iter(self.streams.values())), dim=self.config.width)

    def forward(self, streams):
        first = streams[next(iter(self.streams))]
        parts = [
            align(replace(streams[n], data=p(streams[n].data)), first)
            for n, p in zip(self.streams, self.project, strict=True)
        ]
        return replace(first, data=torch.stack(parts).sum(0))


class WrongOutput(Sum):
    @property
    def output(self):
        return replace(super().output, stride=(2, 8, 8))


class FirstOnly(Sum):
    def forward(self, streams):
        first = next(iter(self.streams))
        return replace(streams[first], data=self.project[0](streams[first].data))


class TwoOnly(Sum):
    def __init__(self, spec, config, streams):
        if len(streams) != 2:
            raise WiringError(f"needs two streams, not {len(streams)}")
        super().__init__(spec, config, streams)


class LosesMask(Sum):
    def forward(self, streams):
        return replace(super().forward(streams), mask=None)


class MixesTime(Sum):
    def forward(self, streams):
        fused = super().forward(streams)
        return replace(fused, data=fused.data + fused.data.mean(2, keepdim=True))


class LeaksAcrossRates(Sum):
    """Resamples as if padding were there; right where streams share their steps."""

    def forward(self, streams):
        first = streams[next(iter(self.streams))]
        return replace(super().forward({n: replace(m, mask=None) for n, m in streams.items()}), mask=first.mask)


class SaysMeansWillDo(Sum):
    spatial = False

    def forward(self, streams):
        return super().forward({name: replace(fmap, data=fmap.data.relu()) for name, fmap in streams.items()})


class MixesRows(Sum):
    def forward(self, streams):
        fused = super().forward(streams)
        return replace(fused, data=fused.data + fused.data.flip(0))


def fusion(target: str, **changes: Any) -> Any:
    return suite(FusionConformance, FusionSpec, target, "SumConfig", **changes)


@pytest.mark.parametrize(
    ("target", "check", "said"),
    [
        ("WrongOutput", "shapes", "declared is (2, 8, 8, 4, 4) (B, D, T', H', W')"),
        ("WrongOutput", "streams", "the fusion of appearance over 16 frames"),
        ("TwoOnly", "streams", "the refusal of the streams appearance does not name 'fake'"),
        ("FirstOnly", "every_stream_counts", "no gradient reaches the streams motion"),
        ("FirstOnly", "gradients", "no gradient reaches 2 of 4 parameters: project.1.weight, project.1.bias"),
        ("LosesMask", "mask", "the mask is not passed on"),
        ("MixesTime", "mask", "motion (every 1 frames): padded steps change the real ones by"),
        ("LeaksAcrossRates", "mask", "motion (every 4 frames): padded steps change the real ones by"),
        ("MixesRows", "batch_rows", "rows mix"),
        ("SaysMeansWillDo", "spatial", "spatial means give another result than the grid, by"),
        ("Mean", "declaration", "does not derive from vidcore.fusion.base.Fusion"),
    ],
)
def test_fusion(target, check, said):
    assert said in failure(fusion, target, check)


# Readouts


class NoConfig(ReadoutConfig):
    pass


class Mean(Readout):
    @property
    def output(self):
        return ReadoutInfo(self.features.dim)

    def forward(self, features):
        sequence = features.sequence()
        weight = torch.ones(sequence.shape[:2]) if features.mask is None else features.mask.float()
        weight = weight.to(sequence)[..., None]
        return (sequence * weight).sum(1) / weight.sum(1).clamp(min=1)


class MeanOfAll(Mean):
    def forward(self, features):
        return features.sequence().mean(1)


class NanOnPadding(Mean):
    def forward(self, features):
        if features.mask is None:
            return super().forward(features)
        weight = features.mask.float()[..., None]
        return (features.sequence() * weight).sum(1) / weight.sum(1)


class DividesByAll(Mean):
    """Padding is left out of the sum, and counted."""

    def forward(self, features):
        weight = 1.0 if features.mask is None else features.mask.float()[..., None]
        return (features.sequence() * weight).mean(1)


class LargestCell(Mean):
    spatial = False

    def forward(self, features):
        return features.data.amax((2, 3, 4))


class HalfMask(Mean):
    def forward(self, features):
        return super().forward(features) * (1.0 if features.mask is None else 2.0)


class Wide(Mean):
    @property
    def output(self):
        return ReadoutInfo(7)


class Constant(Mean):
    def forward(self, features):
        return torch.ones(features.data.shape[0], features.dim) + 0 * features.data.sum()


class Steps(Mean):
    """Per step, and each step sees the clip's mean."""

    @property
    def output(self):
        return ReadoutInfo(self.features.dim, per_step=True)

    def forward(self, features):
        return features.sequence() + super().forward(features)[:, None]


class Cumulative(Steps):
    """Per step and causal: the mean of what came so far."""

    def forward(self, features):
        return features.sequence().cumsum(1) / torch.arange(1, features.steps + 1)[:, None]


def readout(target: str, **changes: Any) -> Any:
    return suite(ReadoutConformance, ReadoutSpec, target, "NoConfig", **changes)


@pytest.mark.parametrize(
    ("target", "check", "said", "changes"),
    [
        ("Wide", "shapes", "is (2, 32); declared is (2, 7)", {}),
        ("Constant", "features_count", "no gradient reaches the features", {}),
        ("MeanOfAll", "mask", "padded steps are read", {}),
        ("HalfMask", "mask", "a mask that hides nothing changes the result", {}),
        ("NanOnPadding", "mask", "a clip of padding only gives values that are not finite", {}),
        ("LargestCell", "spatial", "the spatial mean gives another result than the grid, by", {}),
        ("DividesByAll", "padded_clip", "5 steps padded to 8 give another result than 5 steps alone", {}),
        ("Mean", "causal", "it gives one result per clip", {"causal": True}),
        ("Steps", "causal", "declared causal, yet step 1 changes earlier results", {"causal": True}),
    ],
)
def test_readout(target, check, said, changes):
    assert said in failure(readout, target, check, **changes)


def test_a_causal_readout_passes():
    readout("Cumulative", causal=True)().test_causal()


# Heads


class LinearConfig(HeadConfig):
    scale: float = Field(1.0, gt=0)


class Linear(Head):
    def __init__(self, spec, config, features, targets):
        super().__init__(spec, config, features, targets)
        self.linear = nn.Linear(features.dim, len(targets.classes))

    def forward(self, features):
        return {"logits": self.linear(features) * self.config.scale}

    def loss(self, outputs, targets):
        return nn.functional.cross_entropy(outputs["logits"], targets)

    def metrics(self):
        return MetricCollection({"accuracy": MulticlassAccuracy(len(self.targets.classes), average="micro")})

    @property
    def score(self):
        return "accuracy"

    def predictions(self, outputs):
        return outputs["logits"].softmax(-1)


class Backwards(Linear):
    def loss(self, outputs, targets):
        return -super().loss(outputs, targets).clamp(max=50)


class Blind(Linear):
    """Rewards confidence in anything."""

    def loss(self, outputs, targets):
        return -(outputs["logits"].softmax(-1) ** 2).sum(-1).mean()


class Scoreless(Linear):
    @property
    def score(self):
        return "acuracy"


class LossPerRow(Linear):
    def loss(self, outputs, targets):
        return nn.functional.cross_entropy(outputs["logits"], targets, reduction="none")


class NoLoss(Linear):
    def loss(self, outputs, targets):
        return (outputs["logits"] * 0).sum() + (self.linear.bias * 0).sum()


class UpsideDown(Linear):
    def predictions(self, outputs):
        return (-outputs["logits"]).softmax(-1)


class NoMetrics(Linear):
    def metrics(self):
        return MetricCollection({})


class TakesAnything(Linear):
    def __init__(self, spec, config, features, targets):
        nn.Module.__init__(self)
        self.spec, self.config, self.features, self.targets = spec, config, features, targets
        self.linear = nn.Linear(features.dim, 4)


def head(target: str, **changes: Any) -> Any:
    return suite(HeadConformance, HeadSpec, target, "LinearConfig", **changes)


@pytest.mark.parametrize(
    ("target", "check", "said"),
    [
        ("Blind", "loss", "fitted to its targets, the loss is"),
        ("Backwards", "metrics", "metric 'accuracy' of perfect predictions is 0.0000; expected 1"),
        ("NoLoss", "loss_gradients", "no gradient of the loss reaches (the features), linear.weight, linear.bias"),
        ("UpsideDown", "metrics", "metric 'accuracy' of perfect predictions is"),
        ("Scoreless", "score", "score is 'acuracy'; the metrics are accuracy"),
        ("NoMetrics", "metrics", "expected a MetricCollection of at least one metric"),
        ("TakesAnything", "wrong_targets_refused", "multilabel targets are accepted; the spec says class"),
    ],
)
def test_head(target, check, said):
    assert said in failure(head, target, check)


def test_a_loss_is_one_number():
    class Summed(head("LossPerRow")):  # type: ignore[misc]
        def fitted(self):
            module = self.ready()
            return module, module(self.inputs(module))

    with pytest.raises(pytest.fail.Exception, match="expected one finite number"):
        Summed().test_loss()


def test_a_head_for_positions_says_how_its_targets_look():
    with pytest.raises(pytest.fail.Exception, match="a head for position targets defines right_targets"):
        head("Linear")().right_targets(SimpleNamespace(targets=TargetInfo("position")))


# Fitted heads


class NearestConfig(HeadConfig):
    sharpness: float = Field(1.0, gt=0)


class Nearest(FittedHead):
    """Softmax of the negative distance to the class means, on standardised features."""

    def fit(self, features, targets):
        self.mean, self.std = features.mean(0), features.std(0)
        scaled = (features - self.mean) / self.std
        classes = range(len(self.targets.classes))
        far = np.full(features.shape[1], 1e6)
        self.centres = np.stack([scaled[targets == c].mean(0) if (targets == c).any() else far for c in classes])

    def predict(self, features):
        scaled = (features - self.mean) / self.std
        distance = np.linalg.norm(scaled[:, None] - self.centres, axis=2) * self.config.sharpness
        odds = np.exp(distance.min(1, keepdims=True) - distance)
        return odds / odds.sum(1, keepdims=True)

    def state(self):
        return {"mean": self.mean, "std": self.std, "centres": self.centres}

    def load_state(self, state):
        self.mean, self.std, self.centres = state["mean"], state["std"], state["centres"]


class NotNormalised(Nearest):
    def predict(self, features):
        return super().predict(features) * 2


class Guesses(Nearest):
    def predict(self, features):
        return np.full((len(features), 4), 0.25)


class OnlySeen(Nearest):
    def predict(self, features):
        seen = self.centres[:, 0] < 1e6
        return super().predict(features)[:, seen]


class Forgetful(Nearest):
    def load_state(self, state):
        super().load_state({**state, "centres": state["centres"][::-1]})


class Rescales(Nearest):
    def fit(self, features, targets):
        super().fit(features, targets)
        features -= self.mean


class Ranks(Nearest):
    def predict(self, features):
        return super().predict(features - features.mean(0) + self.mean)


class Random(Nearest):
    def fit(self, features, targets):
        super().fit(features, targets)
        self.centres = self.centres + np.random.standard_normal(self.centres.shape)


class Ignores(Nearest):
    def predict(self, features):
        self.config = NearestConfig()
        return super().predict(features)


def fitted(target: str) -> Any:
    return suite(FittedHeadConformance, HeadSpec, target, "NearestConfig", fitted=True)


@pytest.mark.parametrize(
    ("target", "check", "said"),
    [
        ("NotNormalised", "fit_predict", "not probabilities"),
        ("Guesses", "fit_predict", "40% of them are found"),
        ("OnlySeen", "missing_class", "predict gave (100, 3)"),
        ("Rescales", "input_unchanged", "changed its input in place"),
        ("Ranks", "rows", "differ in a batch and alone"),
        ("Random", "deterministic", "two fits to the same rows"),
        ("Linear", "declaration", "does not derive from vidcore.heads.base.FittedHead"),
    ],
)
def test_fitted_head(target, check, said):
    assert said in failure(fitted, target, check)


def test_fitted_head_that_forgets(tmp_path):
    assert "some of what is fitted is not in it" in failure(fitted, "Forgetful", "safetensors", tmp_path)


def test_fitted_head_that_ignores_an_option():
    assert "option 'sharpness' changes nothing" in failure(fitted, "Ignores", "options", "sharpness")


@pytest.mark.parametrize("sound", [fusion("Sum"), readout("Mean"), head("Linear"), fitted("Nearest")])
def test_a_sound_one_passes_every_check(sound):
    verdicts = run_suite(sound)
    assert {v.outcome for v in verdicts} <= {"passed", "not applicable"}, verdicts
    assert {v.check.partition("[")[0] for v in verdicts} == set(sound.checks())


def test_pooled_features_may_be_refused_by_name_only():
    assert FeatureInfo(4, (1, None, None)).pooled
    assert "does not name 'fake'" in failure(readout, "NeedsGrid", "shapes")


class NeedsGrid(Mean):
    def __init__(self, spec, config, features):
        super().__init__(spec, config, features)
        if features.pooled:
            raise WiringError("needs a grid")
