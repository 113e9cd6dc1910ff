"""TorchInductor ahead of time: one tiny network, compiled once and loaded."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest
import torch
import torch._inductor.config
from vidcore.runtime import accelerate


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler")
def test_compiled_once_and_loaded_after(make: Any, own_cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Or inductor compiles three programs to see which vector instructions compile.
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", True)
    extractor = make()
    before = dict(os.environ)
    first = accelerate(extractor, "compiled").report
    assert dict(os.environ) == before
    assert (first.runtime, first.remembered) == ("compiled", False)
    assert first.difference < 1e-5
    assert "GPU" in {c.name: c.reason for c in first.candidates}["compiled_bfloat16"]
    assert (first.path / "compiled.pt2").is_file()
    assert first.path.is_relative_to(own_cache)

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", lambda *_, **__: pytest.fail("compiled again"))
    second = accelerate(extractor, "compiled")
    assert second.report.remembered
    clip = torch.rand(3, 3, 8, 16, 16)
    found, expected = second(clip), extractor(clip)
    for name, fmap in expected.items():
        torch.testing.assert_close(found[name].data, fmap.data, atol=1e-5, rtol=1e-4)
        assert torch.equal(found[name].times, fmap.times)
