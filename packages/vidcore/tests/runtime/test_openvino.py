"""OpenVINO: the same numbers, kept on disk; int8 and its error."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vidcore.errors import ConfigError, RuntimeEngineError
from vidcore.features import FeatureMap
from vidcore.runtime import _openvino, accelerate
from vidcore.testing.fakes import fake_video

pytest.importorskip("openvino", reason="the extra vidcore[openvino] is not installed")


def assert_close(found: dict[str, FeatureMap], expected: dict[str, FeatureMap], tolerance: float = 1e-3) -> None:
    assert list(found) == list(expected)
    for name, fmap in expected.items():
        assert (found[name].data - fmap.data).norm() <= tolerance * fmap.data.norm()
        assert torch.equal(found[name].times, fmap.times)


def test_same_maps_and_the_second_start_converts_nothing(
    make: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = make(kinds["two"], outputs=("map",))
    first = accelerate(extractor, "openvino", batch=2)
    video = fake_video((3, 11, 3, 16, 16))
    assert_close(first.features(video), extractor.features(video))
    assert first.report.runtime == "openvino"
    assert not first.report.remembered

    monkeypatch.setattr(_openvino, "convert", lambda job: pytest.fail("converted again"))
    second = accelerate(extractor, "openvino", batch=2)
    assert second.report.remembered
    assert second.report.path == first.report.path
    assert_close(second.features(video), extractor.features(video))


class _SignalStack(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory map of Linux")
def test_engines_that_are_gone_leave_this_thread_a_stack_for_signals(make: Any, kinds: Any) -> None:
    engines = [accelerate(make(kinds["two"], outputs=("map",)), "openvino", batch=batch) for batch in (1, 2, 3)]
    while engines:
        # In the order they were made in, which is not how a pile of saved stacks is taken down.
        engines.pop(0)
        gc.collect()
    stack = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    memory = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    disabled = stack.flags & 2
    mapped = any(int(first, 16) <= (stack.address or 0) < int(last, 16) for first, last in memory)
    assert disabled or mapped, "the next signal that Python handles would end this process"


def test_a_damaged_file_is_made_anew(make: Any) -> None:
    extractor = make()
    path = accelerate(extractor, "openvino").report.path / "openvino.blob"
    path.write_bytes(b"not a network")
    report = accelerate(extractor, "openvino").report
    assert report.difference < 1e-3
    assert not report.remembered
    assert path.stat().st_size > 100


def test_what_cannot_be_traced_is_an_error_that_says_why(make: Any, kinds: Any) -> None:
    with pytest.raises(RuntimeEngineError) as caught:
        accelerate(make(kinds["untraceable"]), "openvino")
    text = str(caught.value)
    assert text.startswith("runtime 'openvino' cannot run 'test/untraceable': openvino: torch.export cannot trace it: ")
    assert text.endswith("runtime='auto' takes the fastest engine that can")


def test_an_operation_it_does_not_know_is_named(make: Any, kinds: Any) -> None:
    class Antialiased(kinds["one"]):  # type: ignore[misc]
        """Resizes the clip itself, by an operation OpenVINO has no rule for."""

        def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
            frames = clip.transpose(1, 2).flatten(0, 1)
            small = torch.nn.functional.interpolate(frames, (8, 8), mode="bicubic", antialias=True)
            return super().forward(small.unflatten(0, (clip.shape[0], -1)).transpose(1, 2))

    with pytest.raises(RuntimeEngineError, match=r"no conversion rule for aten\._upsample_bicubic2d_aa"):
        accelerate(make(Antialiased), "openvino")


def test_the_same_operation_on_weights_alone_is_computed_before(make: Any, kinds: Any) -> None:
    class Positions(kinds["one"]):  # type: ignore[misc]
        def __init__(self, spec: Any, config: Any) -> None:
            super().__init__(spec, config)
            self.positions = torch.nn.Parameter(torch.randn(1, 3, 7, 7))

        def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
            grid = torch.nn.functional.interpolate(self.positions, clip.shape[3:], mode="bicubic", antialias=True)
            return super().forward(clip + grid[:, :, None])

    extractor = make(Positions)
    clip = torch.rand(1, 3, 8, 16, 16)
    assert_close(accelerate(extractor, "openvino")(clip), extractor(clip))


def test_int8_reports_its_error_on_clips_held_out(make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nncf", reason="the extra vidcore[openvino] is not installed")
    extractor = make()
    raw = [fake_video((1, 8, 3, 16, 16), seed=seed)[0] for seed in range(9)]
    fast = accelerate(extractor, precision="int8", calibration=iter(raw))
    report = fast.report
    # The bars of nncf go to the other stream.
    assert capsys.readouterr().out == ""
    assert (report.runtime, report.precision, report.remembered) == ("openvino_int8", "int8", False)
    # Eight bits are seen: neither exact nor far off.
    assert 1e-4 < report.difference < 0.1
    assert 0.99 < report.cosine < 1 - 1e-7
    clip = extractor.preprocess(fake_video((2, 8, 3, 16, 16), seed=77))
    assert_close(fast(clip), extractor(clip), tolerance=0.1)

    preprocessed = [extractor.preprocess(video[None]) for video in raw]
    again = accelerate(extractor, "openvino", precision="int8", calibration=preprocessed).report
    assert again.remembered
    assert again.difference == pytest.approx(report.difference)
    assert again.cosine == pytest.approx(report.cosine)
    other = accelerate(extractor, precision="int8", calibration=raw[:2]).report
    assert not other.remembered


def test_int8_without_what_it_needs(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = make()
    for nothing in (None, []):
        with pytest.raises(ConfigError, match="precision='int8' needs calibration clips: give calibration= raw videos"):
            accelerate(extractor, precision="int8", calibration=nothing)
    with pytest.raises(ConfigError, match="use runtime='openvino' or 'auto', not 'compiled'"):
        accelerate(extractor, "compiled", precision="int8", calibration=[torch.zeros(1)])
    with pytest.raises(
        ConfigError, match=r"no calibration clip has the shape \[\(3, 8, 16, 16\)\] .* their shapes are: .*4, 4"
    ):
        accelerate(extractor, precision="int8", calibration=[torch.rand(1, 3, 8, 4, 4)])
    monkeypatch.setattr(_openvino, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(ConfigError, match=r"nncf is not installed; pip install 'vidcore\[openvino\]'"):
        accelerate(extractor, precision="int8", calibration=[torch.zeros(1)])
