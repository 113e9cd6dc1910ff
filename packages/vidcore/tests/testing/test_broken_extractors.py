"""Each check of an extractor fails on an extractor with the defect it is for, and names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ConfigDict, Field
from torch import nn
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo, Plugin, Registry
from vidcore.config import ExtractorConfig
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap
from vidcore.testing import ExtractorConformance
from vidcore.testing.run import run_suite


class SoundConfig(ExtractorConfig):
    width: int = Field(8, ge=4, multiple_of=4)
    dropout: float = Field(0.0, ge=0, lt=1)


class Sound(Extractor):
    """Two convolutions; the second sees the step before, so the order of frames matters."""

    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.embed = nn.Conv3d(3, config.width, (2, 4, 4), (2, 4, 4))
        self.mix = nn.Conv3d(config.width, 2 * config.width, (2, 1, 1))
        self.dropout = nn.Dropout(config.dropout)

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        width = self.config.width
        known = {"features": FeatureInfo(2 * width, (2, 4, 4)), "early": FeatureInfo(width, (2, 4, 4))}
        return {name: known[name] for name in self.output_names}

    def maps(self, clip):
        early = self.embed(clip).relu()
        return {"early": early, "features": self.mix(nn.functional.pad(self.dropout(early), (0, 0, 0, 0, 1, 0)))}

    def forward(self, clip):
        found = self.maps(clip)
        return {name: FeatureMap(found[name], step_times(found[name].shape[2], 2, clip)) for name in self.output_names}


SOUND: dict[str, Any] = {
    "name": "fake/sound",
    "target": f"{__name__}:Sound",
    "config": f"{__name__}:SoundConfig",
    "summary": "two convolutions",
    "outputs": {"features": FeatureInfo(16, (2, 4, 4)), "early": FeatureInfo(8, (2, 4, 4))},
    "clip": ClipFormat(size=(16, 16), min_frames=2, max_frames=8, frame_multiple=2, overlap_frames=2),
    "parameters": 3 * 8 * 32 + 8 + 8 * 16 * 2 + 16,
    "causal": True,
}


def suite(target: str = "Sound", module: str = "vidcore.builtin", **changes: Any) -> type[ExtractorConformance]:
    spec = ExtractorSpec(**{**SOUND, "target": f"{__name__}:{target}", **changes})
    registry = Registry([Plugin("fake", "vidplug-fake", "1", module, specs=(spec,))])
    return type(
        "Fake", (ExtractorConformance,), {"name": spec.name, "registry": registry, "clip_shape": (2, 6, 3, 16, 16)}
    )


def failure(check: str, *arguments: Any, **changes: Any) -> str:
    """What the check says of an extractor; it must fail."""
    with pytest.raises(pytest.fail.Exception) as caught:
        getattr(suite(**changes)(), f"test_{check}")(*arguments)
    return str(caught.value)


def test_a_sound_extractor_passes_every_check():
    verdicts = run_suite(suite())
    # It publishes no classifier.
    assert [v.check for v in verdicts if v.outcome == "not applicable"] == ["classifier"]
    assert {v.outcome for v in verdicts if v.check != "classifier"} == {"passed"}, verdicts
    assert {v.check.partition("[")[0] for v in verdicts} == set(ExtractorConformance.checks())


def test_an_exemption_is_shown_with_its_reason_and_only_that_check_is_left_out():
    verdicts = run_suite(suite(exempt={"time_order": "it is blind by design", "options.dropout": "for a reason"}))
    left_out = {v.check: v.message for v in verdicts if v.outcome == "exempt"}
    assert left_out == {"time_order": "it is blind by design", "options[dropout]": "for a reason"}
    assert [v.check for v in verdicts if v.outcome == "not applicable"] == ["classifier"]
    assert {v.outcome for v in verdicts if v.check != "classifier"} == {"passed", "exempt"}


# Declaration


class NotAnExtractor(nn.Module):
    pass


class Abstract(Extractor):
    pass


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "NotAnExtractor"}, "does not derive from vidcore.extractors.base.Extractor"),
        ({"target": "Abstract"}, "does not define forward"),
        ({"summary": "two\nlines"}, "the summary is one line"),
        ({"exempt": {"colour": "grey"}}, "exempt names no check: 'colour'"),
        ({"exempt": {"options.colour": "grey"}}, "exempt names no option: 'options.colour'"),
        ({"exempt": {"time_order": " "}}, "gives no reason"),
    ],
)
def test_declaration(changes, said):
    assert said in failure("declaration", **changes)


def test_cold_declaration():
    assert "also imports" in (said := failure("cold_declaration", module="vidcore.features"))
    assert "torch" in said


class Chute(SoundConfig):
    model_config = ConfigDict(extra="ignore")


def test_unknown_option():
    assert "the unknown option 'outputs_' is accepted" in failure("unknown_option", config=f"{__name__}:Chute")


# Shapes


class LateTimes(Sound):
    def forward(self, clip):
        return {n: FeatureMap(m.data, m.times + 100) for n, m in super().forward(clip).items()}


class BackwardTimes(Sound):
    def forward(self, clip):
        return {n: FeatureMap(m.data, m.times.flip(0)) for n, m in super().forward(clip).items()}


class Deaf(Sound):
    def forward(self, clip):
        found = self.maps(clip)
        return {name: FeatureMap(data, step_times(data.shape[2], 2, clip)) for name, data in found.items()}


class OtherAlone(Sound):
    def maps(self, clip):
        found = super().maps(clip)
        return found if len(self.output_names) > 1 else {n: 2 * m for n, m in found.items()}


def test_shapes():
    wrong = {"features": FeatureInfo(16, (1, 4, 4)), "early": FeatureInfo(8, (2, 4, 4))}
    assert "with default options it is FeatureInfo(dim=16, stride=(2, 4, 4)" in failure("shapes", outputs=wrong)
    assert "times leave the clip" in failure("shapes", target="LateTimes")
    assert "times do not increase" in failure("shapes", target="BackwardTimes")


class WrongShape(Sound):
    @property
    def outputs(self):
        return {n: FeatureInfo(i.dim, (2, 8, 4)) for n, i in super().outputs.items()}


@pytest.mark.parametrize("check", ["shapes", "meta_device"])
def test_declared_shape_is_not_the_real_one(check):
    said = failure(check, target="WrongShape")
    assert "is (2, 16, 3, 4, 4); declared is (2, 16, 3, 2, 4) (B, D, T', H', W')" in said


def test_output_choice():
    assert "asked for 'features', features gave" in failure("output_choice", target="Unchoosy")
    assert "differs between being asked for alone and among all" in failure("output_choice", target="OtherAlone")


class Unchoosy(Sound):
    """Gives every output, whatever is asked for."""

    def features(self, video, mask=None):
        return {n: FeatureMap(m, step_times(m.shape[2], 2, m)) for n, m in self.maps(self.preprocess(video)).items()}


# Numbers


class NotFinite(Sound):
    def maps(self, clip):
        return {n: m / 0 for n, m in super().maps(clip).items()}


class MixesRows(Sound):
    def maps(self, clip):
        return {n: m - 0.1 * m.mean(0, keepdim=True) for n, m in super().maps(clip).items()}


class Noisy(Sound):
    def maps(self, clip):
        return {n: m + 0.01 * torch.rand_like(m) for n, m in super().maps(clip).items()}


class WritesToTheVideo(Sound):
    def features(self, video, mask=None):
        maps = super().features(video, mask)
        video.zero_()
        return maps


class PreprocessWrites(Sound):
    def preprocess(self, video):
        clip = super().preprocess(video)
        video[:, 0] = 0
        return clip


class ForwardWrites(Sound):
    def forward(self, clip):
        maps = super().forward(clip)
        clip.zero_()
        return maps


class Accumulates(Sound):
    def maps(self, clip):
        self.calls = getattr(self, "calls", 0) + 1
        return {n: m * self.calls for n, m in super().maps(clip).items()}


def test_finite():
    assert "values that are not finite" in failure("finite", target="NotFinite")


def test_batch_rows():
    assert "rows mix" in failure("batch_rows", target="MixesRows")


@pytest.mark.parametrize("target", ["Noisy", "Accumulates"])
def test_deterministic(target):
    assert "between two runs on the same input in eval mode" in failure("deterministic", target=target)


def test_input_unchanged():
    assert "was changed in place" in failure("input_unchanged", target="WritesToTheVideo")


def test_preprocess():
    assert "preprocess changed the raw video in place" in failure("preprocess", target="PreprocessWrites")
    assert "forward changed its clip in place" in failure("preprocess", target="ForwardWrites")
    assert "a second forward on the same clip" in failure("preprocess", target="Accumulates")


# Parameters


class Unused(Sound):
    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.forgotten = nn.Linear(4, 4)
        self.silenced = nn.Parameter(torch.ones(3))

    def maps(self, clip):
        return {n: m + 0 * self.silenced.sum() for n, m in super().maps(clip).items()}


def test_gradients_names_the_parameters():
    said = failure("gradients", target="Unused")
    assert said == "no gradient reaches 3 of 7 parameters: silenced, forgotten.weight, forgotten.bias"


class ZeroGate(Sound):
    """Sound: what starts at zero, and hides what lies behind it, is not dead."""

    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.gate = nn.Parameter(torch.zeros(()))
        self.behind = nn.Parameter(torch.ones(()))

    def maps(self, clip):
        return {n: m + self.gate * self.behind for n, m in super().maps(clip).items()}


def test_gradients_reach_what_a_zero_hides():
    suite("ZeroGate")().test_gradients()


def test_parameters():
    assert "the spec says 5 parameters; the extractor has 1,048" in failure("parameters", parameters=5)
    assert "states no parameter count" in failure("parameters", parameters=None)


# Device and files


class StrayTensor(Sound):
    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.register_buffer("offset", torch.zeros(1, device="cpu"))


class HiddenStray(Sound):
    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.table = torch.ones(1, 8, 1, 1, 1, device="cpu")

    def maps(self, clip):
        found = super().maps(clip)
        return {**found, "early": torch.cat([found["early"], self.table.expand_as(found["early"])])[:2]}


class NotSaved(Sound):
    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.code = [torch.rand(1).item()]

    def maps(self, clip):
        return {n: m * self.code[0] for n, m in super().maps(clip).items()}


def test_meta_device():
    assert "yet not on it: offset" in failure("meta_device", target="StrayTensor")
    with pytest.raises(RuntimeError, match="device"):
        suite("HiddenStray")().test_meta_device()


def test_safetensors(tmp_path):
    assert "some state is not saved" in failure("safetensors", tmp_path, target="NotSaved")


# Options


class IgnoredConfig(SoundConfig):
    hinge: bool = False
    pool: str = "mean"
    named: str = Field("a", json_schema_extra={"examples": ["b"]})
    rate: float = Field(0.5, json_schema_extra={"when": {"dropout": 0.5}})


class Negates(Sound):
    """``named`` and ``rate`` do something, the latter with dropout only."""

    def maps(self, clip):
        sign = 1 if self.config.named == "a" else -1
        if self.config.dropout:
            sign = sign * self.config.rate
        return {n: m * sign for n, m in super().maps(clip).items()}


def test_options():
    changes = {"config": f"{__name__}:IgnoredConfig", "target": "Negates"}
    assert failure("options", "hinge", **changes) == "option 'hinge' changes nothing: False and True give the same"
    said = failure("options", "pool", **changes)
    assert "no other valid value of option 'pool' could be derived" in said
    assert "json_schema_extra={'examples': [...]}" in said
    for option in ("named", "rate", "width", "dropout"):
        suite(**changes)().test_options(option)


def test_options_of_an_extractor_that_is_not_reproducible():
    assert "two builds with the same seed and options differ" in failure("options", "width", target="Unrepeatable")


class Unrepeatable(Sound):
    def __init__(self, spec, config):
        torch.seed()
        super().__init__(spec, config)


# Time


class NanOnOneStep(Sound):
    def maps(self, clip):
        return {n: m / m.std(2, keepdim=True) for n, m in super().maps(clip).items()}


class DropsFrames(Sound):
    def extract(self, video):
        return super().extract(video)[:, ::2]


class WholeVideo(Sound):
    def features(self, video, mask=None):
        return self(self.preprocess(video[:, : video.shape[1] // 2 * 2]))


class LooksAhead(Sound):
    def maps(self, clip):
        return {n: m + m.mean(2, keepdim=True) for n, m in super().maps(clip).items()}


class Blind(Sound):
    def maps(self, clip):
        return {
            n: m.mean(2, keepdim=True).expand_as(m)
            for n, m in super().maps(clip.mean(2, keepdim=True).expand_as(clip)).items()
        }


def test_clip_lengths():
    assert "extract of 1 frames of 16x16 gave values that are not finite" in failure(
        "clip_lengths", target="NanOnOneStep"
    )
    assert "extract of 5 frames of 16x16 gave (1, 3, 16); expected (1, 5, 16)" in failure(
        "clip_lengths", target="DropsFrames", clip=ClipFormat(size=(16, 16), frames=6)
    )


def test_windows():
    assert "was read by 1 forwards" in failure("windows", target="WholeVideo")


def test_causal():
    assert "declared causal, yet frame" in failure("causal", target="LooksAhead")


def test_time_order():
    assert "blind to the order of frames" in failure("time_order", target="Blind")


class Deep(Sound):
    """Sound: thirty normalised layers, through which a signal with untouched statistics would die away."""

    def __init__(self, spec, config):
        super().__init__(spec, config)
        width = 2 * config.width
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Conv3d(width, width, 1), nn.BatchNorm3d(width), nn.ReLU()) for _ in range(30))
        )

    def maps(self, clip):
        found = super().maps(clip)
        return {**found, "features": self.layers(found["features"])}


def test_a_deep_normalised_network_is_awake():
    suite("Deep")().test_time_order()
    module = suite("Deep")().ready()
    assert not module.training
    assert {layer[1].momentum for layer in module.layers} == {0.1}
