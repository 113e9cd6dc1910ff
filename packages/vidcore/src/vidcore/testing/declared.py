"""The part of an extractor's suite that needs no memory: its declaration, on the meta device."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from vidcore.catalog import ClipFormat, FeatureInfo, Kind, load_target
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.preprocess import fit_frames, plan_windows
from vidcore.testing._tensors import apply
from vidcore.testing.component import ComponentConformance, fail
from vidcore.testing.fakes import fake_video


class ExtractorDeclarationConformance(ComponentConformance):
    """What an extractor of any size can be checked for: declaration, options, parameter count and shapes.

    Nothing is computed, so that a network of a billion parameters takes a second.
    """

    kind: ClassVar[Kind] = "extractor"
    base: ClassVar[str] = "vidcore.extractors.base.Extractor"
    clip_shape: ClassVar[tuple[int, int, int, int, int] | None] = None

    @classmethod
    def checks(cls) -> list[str]:
        """Those of the whole suite, which a spec may name in ``exempt``."""
        from vidcore.testing.extractor import ExtractorConformance

        return [name.removeprefix("test_") for name in dir(ExtractorConformance) if name.startswith("test_")]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(B, T, C, H, W) of the raw video."""
        return self.clip_shape or video_shape(self.spec.clip)

    @classmethod
    def base_options(cls) -> dict[str, Any]:
        """The class's options, and every declared output."""
        spec: Any = cls.entry().spec
        return {"outputs": tuple(spec.outputs), **super().base_options()}

    def construct(self, config: Any) -> Extractor:
        """The extractor, without weights."""
        extractor: Extractor = load_target(self.spec)(self.spec, config)
        return extractor

    def test_parameters(self) -> None:
        """``spec.parameters`` is the number of parameters of the extractor as it is built by default."""
        if self.spec.parameters is None:
            fail("the spec states no parameter count; set parameters=... to the exact one")
        count = sum(p.numel() for p in self._on_meta().parameters())
        if count != self.spec.parameters:
            # With all outputs asked for it may be larger than with the default one, which is what is declared.
            with torch.device("meta"):
                module = self.construct(self.config(outputs=()))
            count = sum(p.numel() for p in module.parameters())
        if not self.options and count != self.spec.parameters:
            fail(f"the spec says {self.spec.parameters:,} parameters; the extractor has {count:,}")

    def _on_meta(self) -> Any:
        def make() -> Any:
            with torch.device("meta"):
                return self.build().eval()

        return self.remembered("on meta", make)

    def test_meta_device(self) -> None:
        """It can be constructed and run on the meta device, and its shapes there are the declared ones."""
        module = self._on_meta()
        stray = [name for name, tensor in module.state_dict().items() if tensor.device.type != "meta"]
        if stray:
            fail(f"built under the meta device, yet not on it: {', '.join(stray)}")
        maps, size = meta_maps(module, self.shape)
        for name, fmap in maps.items():
            check_map(name, fmap, module.outputs[name], size, self.shape[0])


def meta_maps(module: Extractor, shape: tuple[int, int, int, int, int]) -> tuple[dict[str, FeatureMap], Any]:
    """Outputs of an extractor on the meta device, and the clip's (frames, height, width).

    Preprocessing runs on the CPU: resizing is not the network's, and not every kernel of it has a meta form.
    """
    window = plan_windows(shape[1], module.clip)[0]
    raw = window.take(fake_video(shape))
    clip = apply(lambda tensor: tensor.to("meta"), module.preprocess(raw))
    with torch.no_grad():
        return module(clip), (window.length, *fit_frames(raw, module.clip).shape[-2:])


def video_shape(clip: ClipFormat) -> tuple[int, int, int, int, int]:
    """A small raw video (B, T, C, H, W) for a clip format: one window of frames of its size."""
    length = plan_windows(clip.frames or min(8, clip.max_frames), clip)[0].length
    side = -(-64 // clip.size_multiple) * clip.size_multiple
    height, width = clip.size or (side, side + clip.size_multiple)
    return 2, length, max(len(clip.mean), len(clip.std), 3), height, width


def check_map(name: str, fmap: FeatureMap, info: FeatureInfo, size: tuple[int, int, int], batch: int) -> None:
    """Fail where a map of a clip of ``size`` (frames, height, width) is not of the declared shape."""
    expected = (batch, *info.shape(*size))
    what = f"output {name!r} of a clip of {size[0]} frames of {size[1]}x{size[2]}"
    if tuple(fmap.data.shape) != expected:
        fail(f"{what} is {tuple(fmap.data.shape)}; declared is {expected} (B, D, T', H', W')")
    if fmap.times.dim() != 1 or fmap.times.shape[0] != expected[2]:
        fail(f"{what} has times {tuple(fmap.times.shape)}; expected ({expected[2]},)")
    if fmap.times.device.type == "meta":
        return
    if not bool((fmap.times.diff() > 0).all()):
        fail(f"{what}: times do not increase: {fmap.times.tolist()}")
    if float(fmap.times[0]) < 0 or float(fmap.times[-1]) > size[0] - 1:
        fail(f"{what}: times leave the clip: {fmap.times.tolist()}")
