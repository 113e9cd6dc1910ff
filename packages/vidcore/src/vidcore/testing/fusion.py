"""The conformance suite of fusions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

from vidcore.catalog import FeatureInfo, Kind, load_target
from vidcore.errors import WiringError
from vidcore.features import FeatureMap
from vidcore.fusion.base import Fusion
from vidcore.testing._tensors import awaken, difference
from vidcore.testing.component import fail
from vidcore.testing.fakes import fake_map
from vidcore.testing.module import CLOSE, ModuleConformance


class FusionConformance(ModuleConformance):
    """Every check of a fusion; ``class TestGated(FusionConformance): name = "gated"`` is enough.

    ``streams`` are the maps it is built for, by default two of other widths, time steps and grids, of a
    clip of ``frames`` frames of ``size`` (height, width).
    """

    kind: ClassVar[Kind] = "fusion"
    base: ClassVar[str] = "vidcore.fusion.base.Fusion"
    streams: ClassVar[Mapping[str, FeatureInfo]] = {
        "appearance": FeatureInfo(24, (1, 8, 8)),
        "motion": FeatureInfo(16, (4, 16, 16)),
    }
    frames: ClassVar[int] = 16
    size: ClassVar[tuple[int, int]] = (32, 32)

    def construct(self, config: Any) -> Fusion:
        """The fusion of ``streams``."""
        return self._fusion(config, self.streams)

    def _fusion(self, config: Any, streams: Mapping[str, FeatureInfo]) -> Fusion:
        fusion: Fusion = load_target(self.spec)(self.spec, config, streams)
        return fusion

    def inputs(self, module: Fusion, seed: int = 0) -> dict[str, FeatureMap]:
        """A map per stream."""
        return self._maps(self.streams, self.frames, self.size, seed)

    def _maps(
        self, streams: Mapping[str, FeatureInfo], frames: int, size: tuple[int, int], seed: int = 0
    ) -> dict[str, FeatureMap]:
        return {
            name: fake_map(info, frames=frames, size=size, seed=seed + index)
            for index, (name, info) in enumerate(streams.items())
        }

    def examples(self, option: str) -> Iterable[str]:
        """An option may name a stream."""
        return list(self.streams)

    def observe(self, module: Fusion) -> Iterator[Any]:
        """Also the declared output."""
        yield module.output
        yield from super().observe(module)

    def test_shapes(self) -> None:
        """The declared shape is the real one, for clips of several lengths and sizes."""
        module = self.ready()
        height, width = self.size
        for frames, size in ((self.frames, self.size), (2 * self.frames, (height, 2 * width)), (1, self.size)):
            self._check(module, self.streams, frames, size)

    def test_streams(self) -> None:
        """One stream, three, and pooled ones are fused, or refused with a WiringError when it is built."""
        items = list(self.streams.items())
        first, second = items[0], items[-1]
        pooled = ("pooled", FeatureInfo(8, (2, None, None)))
        for streams in ([first], [second, first], [first, pooled], [pooled, first], [first, second, pooled]):
            chosen = dict(streams)
            try:
                torch.manual_seed(0)
                module = awaken(self._fusion(self.config(), chosen)).eval()
            except WiringError as exc:
                if self.spec.name not in str(exc):
                    fail(f"the refusal of the streams {', '.join(chosen)} does not name {self.spec.name!r}: {exc}")
                continue
            self._check(module, chosen, self.frames, self.size)

    def _check(self, module: Any, streams: Mapping[str, FeatureInfo], frames: int, size: tuple[int, int]) -> None:
        with torch.no_grad():
            fused = module(self._maps(streams, frames, size))
        what = f"the fusion of {', '.join(streams)} over {frames} frames of {size[0]}x{size[1]}"
        if not isinstance(fused, FeatureMap):
            fail(f"{what} is a {type(fused).__name__}; expected a FeatureMap")
        expected = (fused.data.shape[0], *module.output.shape(frames, *size))
        if tuple(fused.data.shape) != expected:
            fail(f"{what} is {tuple(fused.data.shape)}; declared is {expected} (B, D, T', H', W')")
        if not bool((fused.times.diff() > 0).all()):
            fail(f"{what}: times do not increase: {fused.times.tolist()}")
        if not bool(fused.data.isfinite().all()):
            fail(f"{what} has values that are not finite")

    def test_every_stream_counts(self) -> None:
        """A gradient reaches every stream."""
        module = self.ready()
        maps = {name: replace(fmap, data=fmap.data.requires_grad_()) for name, fmap in self.inputs(module).items()}
        fused = module(maps).data
        (fused * torch.randn(fused.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        unread = [name for name, fmap in maps.items() if fmap.data.grad is None or not bool(fmap.data.grad.any())]
        if unread:
            fail(f"no gradient reaches the streams {', '.join(unread)}: they are not read")

    def test_spatial(self) -> None:
        """Where it says that the grid does not matter beyond its mean, the spatial means give the same."""
        module = self.ready()
        if module.spatial:
            pytest.skip("it reads the grid")
        maps = self.inputs(module)
        with torch.no_grad():
            whole = module(maps).sequence()
            means = module({name: fmap.pooled() for name, fmap in maps.items()}).sequence()
        if (gap := difference(means, whole)) > CLOSE:
            fail(f"spatial is False, yet spatial means give another result than the grid, by {gap:.1e}")

    def test_mask(self) -> None:
        """What padded steps hold changes no step that the result calls real.

        Checked where streams share their time steps, and where they have other rates, with the faster and with
        the slower one first: resampling blends neighbours, padded or not. Rows are padded by other lengths.
        """
        shared = {name: replace(info, stride=(1, *info.stride[1:])) for name, info in self.streams.items()}
        for streams in (shared, dict(self.streams), dict(reversed(list(self.streams.items())))):
            torch.manual_seed(0)
            module = awaken(self._fusion(self.config(), streams)).eval()
            # Frames that are real: the last steps of each stream begin before, on and after the last of them.
            for frames in ((self.frames * 3 // 4, self.frames * 5 // 8), (self.frames, self.frames // 2)):
                self._check_padding(module, streams, frames)

    def _check_padding(self, module: Any, streams: Mapping[str, FeatureInfo], frames: tuple[int, int]) -> None:
        plain = {name: _padded(fmap, frames) for name, fmap in self._maps(streams, self.frames, self.size).items()}
        other = {name: _with_other_padding(fmap) for name, fmap in plain.items()}
        with torch.no_grad():
            a, b = module(plain), module(other)
        real = torch.ones(2, a.steps, dtype=torch.bool) if a.mask is None else a.mask
        shown = real[:, None, :, None, None]
        gap = difference(b.data * shown, a.data * shown)
        if gap > CLOSE:
            lost = "; the mask is not passed on" if a.mask is None else ""
            rates = ", ".join(f"{name} (every {info.stride[0]} frames)" for name, info in streams.items())
            fail(f"with {rates}: padded steps change the real ones by {gap:.1e}{lost}")


def _padded(fmap: FeatureMap, frames: tuple[int, int]) -> FeatureMap:
    """Row i is real up to frame ``frames[i]``; a step is as its nearest frame, and the first one is always real."""
    real = fmap.times.round()[None] < torch.tensor(frames)[:, None]
    real[:, 0] = True
    return replace(fmap, mask=real)


def _with_other_padding(fmap: FeatureMap) -> FeatureMap:
    if fmap.mask is None:
        return fmap
    return replace(fmap, data=torch.where(fmap.mask[:, None, :, None, None], fmap.data, 5 - fmap.data))
