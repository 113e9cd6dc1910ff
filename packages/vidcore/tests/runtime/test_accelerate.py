"""An accelerated extractor is the extractor, but for what runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor
from vidcore.catalog import FeatureInfo
from vidcore.errors import ConfigError, RuntimeEngineError
from vidcore.features import FeatureMap
from vidcore.runtime import Accelerated, _openvino, accelerate
from vidcore.runtime import accelerated as accelerated_module
from vidcore.runtime._candidates import CANDIDATES, RUNTIMES, Candidate
from vidcore.runtime._job import CannotRunError, Job
from vidcore.testing.fakes import fake_video


def assert_same_maps(found: dict[str, FeatureMap], expected: dict[str, FeatureMap]) -> None:
    assert list(found) == list(expected)
    for name, fmap in expected.items():
        assert (found[name].data - fmap.data).norm() <= 1e-3 * fmap.data.norm()
        assert torch.equal(found[name].times, fmap.times)
        assert (found[name].mask is None) == (fmap.mask is None)
        assert fmap.mask is None or torch.equal(found[name].mask, fmap.mask)


@pytest.mark.parametrize("kind", ["one", "two"])
def test_same_maps_for_any_batch(make: Any, kinds: Any, kind: str) -> None:
    extractor = make(kinds[kind])
    fast = accelerate(extractor, "eager", batch=2)
    for batch in (1, 2, 5):
        clip = extractor.preprocess(fake_video((batch, 8, 3, 16, 16)))
        found = fast(clip)
        assert_same_maps(found, extractor(clip))
        assert not any(fmap.data.requires_grad or fmap.data.is_inference() for fmap in found.values())
    assert len(fast.reports) == 1
    assert fast.report.notes == ("1 batch normalisations folded into convolutions",)
    assert fast.report.shapes[-1] == (2, 3, 8, 16, 16)
    assert fast.report.runtime in ("eager", "eager_channels_last")
    assert fast.report.difference < 1e-5


def test_long_videos_and_masks_go_the_extractors_way(make: Any) -> None:
    extractor = make(outputs=("map",))
    fast = accelerate(extractor, "eager")
    video = fake_video((2, 19, 3, 20, 24))
    mask = torch.arange(19).expand(2, -1) < 15
    assert_same_maps(fast.features(video, mask), extractor.features(video, mask))
    torch.testing.assert_close(fast.extract(video), extractor.extract(video), atol=1e-5, rtol=1e-4)


def test_what_an_extractor_does_around_its_forward_is_kept(make: Any, kinds: Any) -> None:
    class Doubled(kinds["one"]):  # type: ignore[misc]
        def features(
            self, video: Tensor, mask: Tensor | None = None, times: Tensor | None = None, windows: int = 1
        ) -> dict[str, FeatureMap]:
            maps = super().features(video, mask, times, windows)
            return {name: FeatureMap(fmap.data * 2, fmap.times) for name, fmap in maps.items()}

        @property
        def outputs(self) -> dict[str, FeatureInfo]:
            return {name: FeatureInfo(99, info.stride) for name, info in super().outputs.items()}

    extractor = make(Doubled)
    fast = accelerate(extractor, "eager")
    video = fake_video((1, 8, 3, 16, 16))
    assert_same_maps(fast.features(video), extractor.features(video))
    assert fast.outputs["map"].dim == 99


def test_parameters_are_the_extractors(make: Any) -> None:
    extractor = make()
    fast = accelerate(extractor, "eager")
    assert fast.eager is extractor
    assert fast.spec is extractor.spec
    assert fast.output_names == extractor.output_names
    assert fast.clip == extractor.clip
    assert list(fast.state_dict()) == list(extractor.state_dict())
    assert all(a is b for a, b in zip(fast.parameters(), extractor.parameters(), strict=True))
    assert accelerate(fast, "eager").eager is extractor


def test_the_extractor_is_left_as_it_was(make: Any) -> None:
    extractor = make().train()
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    fast = accelerate(extractor, "eager")
    clip = extractor.preprocess(fake_video((1, 8, 3, 16, 16)))
    found = fast(clip)
    assert extractor.training
    assert extractor.norm.training
    assert not extractor.conv._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in extractor.state_dict().items())
    assert_same_maps(found, extractor.eval()(clip))


def test_moving_it_forgets_the_engines(make: Any) -> None:
    fast = accelerate(make(), "eager")
    clip = torch.rand(1, 3, 8, 16, 16)
    assert fast.reports
    fast.double()
    assert not fast.reports
    found = fast(clip.double())
    assert found["map"].data.dtype == torch.float64
    assert_same_maps(found, fast.eager(clip.double()))


def test_other_weights_are_another_identity(make: Any) -> None:
    first = accelerate(make(seed=0), "eager").report
    assert not first.remembered
    again = accelerate(make(seed=0), "eager").report
    assert (again.remembered, again.runtime, again.path) == (True, first.runtime, first.path)
    assert [c.seconds for c in again.candidates] == [c.seconds for c in first.candidates]
    other = accelerate(make(seed=1), "eager").report
    assert not other.remembered
    assert other.path != first.path
    assert first.speedup() >= 1
    assert json.loads(json.dumps(again.as_dict()))["candidates"][0]["name"] == "eager"


def test_shapes_that_are_not_known_are_prepared_when_they_come(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = make(frames=None, size=None)
    fast = accelerate(extractor, "eager")
    with pytest.raises(RuntimeEngineError, match=r"run one, or give accelerate\(\.\.\., frames=, size=\)"):
        _ = fast.report
    monkeypatch.setattr(accelerated_module, "_MOST_SHAPES", 2)
    for frames, shapes in ((4, 1), (6, 2), (4, 2), (8, 2)):
        clip = torch.rand(1, 3, frames, 12, 12)
        assert_same_maps(fast(clip), extractor(clip))
        assert len(fast.reports) == shapes
    assert accelerate(extractor, "eager", frames=5, size=(10, 12)).report.shapes == ((1, 3, 5, 10, 12),)


def test_a_twin_has_engines_of_its_own_and_asks_pytorch_nothing_again(
    make: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Watched(kinds["one"]):  # type: ignore[misc]
        def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
            asked.append(tuple(clip.shape))
            return super().forward(clip)  # type: ignore[no-any-return]

    monkeypatch.setitem(
        CANDIDATES, "eager", Candidate(lambda job, path: lambda tensors: [d.clone() for d in job.reference])
    )
    monkeypatch.setitem(RUNTIMES, "eager", ("eager",))
    extractor = make(Watched)
    first = accelerate(extractor, "eager")
    assert asked
    asked.clear()
    twin = first.twin()
    assert not asked
    clip = extractor.preprocess(fake_video((1, 8, 3, 16, 16)))
    assert_same_maps(twin(clip), first(clip))
    (own,), (other,) = twin._engines.values(), first._engines.values()
    assert own[0].engine is not other[0].engine
    assert twin.report.difference == first.report.difference == 0.0
    # A shape that either of them meets first is known to the other.
    larger = torch.rand(1, 3, 8, 24, 24)
    twin(larger)
    asked.clear()
    first(larger)
    assert not asked
    # What it built itself is built anew when that is asked for.
    first.prepare(larger)
    assert asked


def test_an_engine_can_be_built_in_inference_mode(make: Any) -> None:
    extractor = make(frames=None, size=None)
    video = fake_video((1, 8, 3, 16, 16))
    with torch.inference_mode():
        fast = accelerate(extractor, "eager")
        found = fast.features(video)
    assert any("folded" in note for note in fast.report.notes)
    with torch.no_grad():
        expected = extractor.features(video)
    for name, fmap in expected.items():
        torch.testing.assert_close(found[name].data, fmap.data)


def test_auto_takes_what_is_faster_and_agrees(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(job: Job, _: Any) -> Any:
        return lambda tensors: [data + 1 for data in job.reference]

    def instant(job: Job, _: Any) -> Any:
        return lambda tensors: job.reference

    def absent(job: Job, _: Any) -> Any:
        raise CannotRunError("no compiler")

    monkeypatch.setitem(CANDIDATES, "openvino", Candidate(instant))
    monkeypatch.setitem(CANDIDATES, "compiled", Candidate(wrong))
    monkeypatch.setitem(CANDIDATES, "compiled_bfloat16", Candidate(absent))
    report = accelerate(make(), "auto").report
    assert report.runtime == "openvino"
    found = {candidate.name: candidate for candidate in report.candidates}
    assert found["compiled"].reason.startswith("refused: differs by ")
    assert found["compiled"].difference > 0.1
    assert found["compiled_bfloat16"].reason == "no compiler"
    assert found["eager"].seconds > found["openvino"].seconds
    with pytest.raises(RuntimeEngineError, match=r"runtime 'compiled' cannot run 'test/onepathway': compiled: refused"):
        accelerate(make(), "compiled")


def test_what_cannot_be_traced_runs_eagerly_and_says_why(
    make: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = make(kinds["untraceable"])
    report = accelerate(extractor, "auto").report
    assert report.runtime in ("eager", "eager_channels_last")
    reasons = {candidate.name: candidate.reason for candidate in report.candidates}
    assert reasons["compiled"].startswith("torch.export cannot trace it: ")


def test_unknown_names() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown runtime 'openvno'; did you mean 'openvino'\? runtime is one of: auto"
    ):
        accelerate(None, "openvno")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"unknown precision 'int4'; did you mean 'int8'\? precision is one of"):
        accelerate(None, precision="int4")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch must be at least 1; got 0"):
        accelerate(None, batch=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="calibration clips are for precision='int8'"):
        accelerate(None, calibration=[torch.zeros(1)])  # type: ignore[arg-type]


def test_missing_extra_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openvino, "find_spec", lambda name: None)
    for options in ({"runtime": "openvino"}, {"precision": "int8"}):
        with pytest.raises(ConfigError, match=r"openvino is not installed; pip install 'vidcore\[openvino\]'"):
            accelerate(make(), **options)
    monkeypatch.setitem(CANDIDATES, "compiled", Candidate(lambda job, path: lambda tensors: job.reference))
    reasons = {c.name: c.reason for c in accelerate(make(), "auto").report.candidates}
    assert reasons["openvino"] == "openvino is not installed; pip install 'vidcore[openvino]'"


def test_it_is_an_extractor(make: Any) -> None:
    fast = accelerate(make(), "eager")
    assert isinstance(fast, Accelerated)
    assert not fast.training
    assert list(fast.blocks) == list(fast.eager.blocks)
