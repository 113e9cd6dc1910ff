"""Part of ``benchmarks/fuzz_decoding.py``: damaged videos are refused, or read as a plain decode reads them."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

CHEAP = ("faststart.mp4", "h264.ts", "mjpeg.avi", "vp8.webm", "vp8.ogv", "wmv2.wmv", "animation.gif", "animation.apng")
MUTANTS = 12


@pytest.fixture(scope="module")
def fuzz(root):
    spec = importlib.util.spec_from_file_location("fuzz_decoding", root / "benchmarks" / "fuzz_decoding.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", CHEAP)
def test_no_damage_gives_other_frames_than_a_plain_decode(name, fuzz, tmp_path):
    source = fuzz.make(tmp_path / name)
    whole, original = source.read_bytes(), fuzz.plain(source)
    assert fuzz.outcome(source, original) == ("whole", "")
    for seed in range(MUTANTS):
        path = tmp_path / f"mutant{seed}{source.suffix}"
        path.write_bytes(fuzz.mutant(whole, np.random.default_rng(seed)))
        kind, detail = fuzz.outcome(path, original)
        assert kind in ("refused", "whole", "hidden"), f"seed {seed}: {detail}"


def test_the_comparison_can_fail(fuzz, tmp_path, monkeypatch):
    source = fuzz.make(tmp_path / "mjpeg.avi")
    original = fuzz.plain(source)
    monkeypatch.setattr(fuzz, "read", lambda path: np.stack(original[::-1]))
    assert fuzz.outcome(source, original)[0] == "differs"
    monkeypatch.setattr(fuzz, "read", lambda path: np.stack(original[:-1]))
    assert fuzz.outcome(source, original)[0] == "differs"
    monkeypatch.setattr(fuzz, "read", lambda path: 1 / 0)
    assert fuzz.outcome(source, original)[0] == "failed"
