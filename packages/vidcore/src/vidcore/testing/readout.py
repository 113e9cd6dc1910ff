"""The conformance suite of readouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from vidcore.catalog import FeatureInfo, Kind, load_target
from vidcore.errors import ConfigError, WiringError
from vidcore.features import FeatureMap
from vidcore.readouts.base import Readout
from vidcore.testing._tensors import awaken, difference
from vidcore.testing.component import fail
from vidcore.testing.fakes import fake_map
from vidcore.testing.module import CLOSE, ModuleConformance


class ReadoutConformance(ModuleConformance):
    """Every check of a readout; ``class TestMean(ReadoutConformance): name = "mean"`` is enough.

    ``features`` is the map it is built for, of a clip of ``frames`` frames of ``size`` (height, width).
    """

    kind: ClassVar[Kind] = "readout"
    base: ClassVar[str] = "vidcore.readouts.base.Readout"
    features: ClassVar[FeatureInfo] = FeatureInfo(32, (2, 8, 8))
    frames: ClassVar[int] = 16
    size: ClassVar[tuple[int, int]] = (32, 32)

    def construct(self, config: Any) -> Readout:
        """The readout of ``features``."""
        return self._readout(config, self.features)

    def _readout(self, config: Any, features: FeatureInfo) -> Readout:
        readout: Readout = load_target(self.spec)(self.spec, config, features)
        return readout

    def inputs(self, module: Readout, seed: int = 0) -> FeatureMap:
        """A map of ``features``."""
        return fake_map(self.features, frames=self.frames, size=self.size, seed=seed)

    def observe(self, module: Readout) -> Iterator[Any]:
        """Also the declared output."""
        yield module.output
        yield from super().observe(module)

    def test_shapes(self) -> None:
        """The declared shape is the real one, for several lengths and grids and for pooled features.

        A readout that needs a grid refuses pooled features with a WiringError when it is built.
        """
        height, width = self.size
        step = self.features.stride[0] or 1
        for frames, size in ((self.frames, self.size), (5 * step, (height, 2 * width)), (1, self.size)):
            self._check(self.ready(), self.features, frames, size)
        pooled = replace(self.features, stride=(self.features.stride[0], None, None))
        try:
            torch.manual_seed(0)
            module = awaken(self._readout(self.config(), pooled)).eval()
        except (WiringError, ConfigError) as exc:
            if self.spec.name not in str(exc):
                fail(f"the refusal of pooled features does not name {self.spec.name!r}: {exc}")
            return
        self._check(module, pooled, self.frames, self.size)

    def _check(self, module: Any, info: FeatureInfo, frames: int, size: tuple[int, int]) -> None:
        fmap = fake_map(info, frames=frames, size=size)
        with torch.no_grad():
            got: Tensor = module(fmap)
        declared = module.output
        expected = (2, fmap.steps, declared.dim) if declared.per_step else (2, declared.dim)
        what = f"the readout of {fmap!r}"
        if tuple(got.shape) != expected:
            fail(f"{what} is {tuple(got.shape)}; declared is {expected}")
        if not bool(got.isfinite().all()):
            fail(f"{what} has values that are not finite")

    def test_features_count(self) -> None:
        """A gradient reaches the features."""
        module = self.ready()
        fmap = self.inputs(module)
        got = module(replace(fmap, data=fmap.data.requires_grad_()))
        (got * torch.randn(got.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        if fmap.data.grad is None or not bool(fmap.data.grad.any()):
            fail("no gradient reaches the features")

    def test_mask(self) -> None:
        """Padded steps are not read: what they hold changes nothing, and a clip of padding gives no NaN."""
        module = self.ready()
        fmap = self.inputs(module)
        mask = torch.ones(2, fmap.steps, dtype=torch.bool)
        with torch.no_grad():
            if (gap := difference(module(replace(fmap, mask=mask)), module(fmap))) > CLOSE:
                fail(f"a mask that hides nothing changes the result by {gap:.1e}")
            mask = mask.clone()
            mask[:, -fmap.steps // 2 :] = False
            other = torch.where(mask[:, None, :, None, None], fmap.data, 5 - fmap.data)
            plain = module(replace(fmap, mask=mask))
            changed = module(replace(fmap, data=other, mask=mask))
            if module.output.per_step:
                plain, changed = plain * mask[..., None], changed * mask[..., None]
            if (gap := difference(changed, plain)) > CLOSE:
                fail(f"padded steps are read: changing them changes the result by {gap:.1e}")
            if not bool(module(replace(fmap, mask=torch.zeros_like(mask))).isfinite().all()):
                fail("a clip of padding only gives values that are not finite")

    def test_padded_clip(self) -> None:
        """A padded clip gives what the clip alone gives; what answers per step gives it at the real steps."""
        module = self.ready()
        fmap = self.inputs(module)
        real = max(fmap.steps * 5 // 8, 1)
        alone = replace(fmap, data=fmap.data[:, :, :real], times=fmap.times[:real])
        with torch.no_grad():
            padded = module(replace(fmap, mask=(torch.arange(fmap.steps) < real).expand(2, -1)))
            expected = module(alone)
        padded = padded[:, :real] if module.output.per_step else padded
        if (gap := difference(padded, expected)) > CLOSE:
            fail(f"{real} steps padded to {fmap.steps} give another result than {real} steps alone, by {gap:.1e}")

    def test_spatial(self) -> None:
        """Where it says that the grid does not matter beyond its mean, the spatial mean gives the same."""
        module = self.ready()
        if module.spatial:
            pytest.skip("it reads the grid")
        fmap = self.inputs(module)
        with torch.no_grad():
            gap = difference(module(fmap.pooled()), module(fmap))
        if gap > CLOSE:
            fail(f"spatial is False, yet the spatial mean gives another result than the grid, by {gap:.1e}")

    def test_causal(self) -> None:
        """Where the spec says causal, as it is with the options, a later step changes no earlier result."""
        module = self.ready()
        if not module.spec.causal:
            pytest.skip("not declared causal")
        if not module.output.per_step:
            fail("declared causal, yet it gives one result per clip; causal readouts answer per step")
        fmap = self.inputs(module)
        with torch.no_grad():
            before = module(fmap)
            for later in range(1, fmap.steps):
                changed = torch.cat([fmap.data[:, :, :later], 5 - fmap.data[:, :, later:]], 2)
                gap = difference(module(replace(fmap, data=changed))[:, :later], before[:, :later])
                if gap > 1e-5:
                    fail(f"declared causal, yet step {later} changes earlier results by {gap:.1e}")
