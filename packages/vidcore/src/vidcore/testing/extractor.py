"""The conformance suite of extractors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from vidcore.catalog import LOGITS, PROBABILITIES, ClipFormat, class_names
from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.preprocess import Window, fit_frames, plan_windows
from vidcore.testing._tensors import apply, difference, leaves, same
from vidcore.testing.component import fail
from vidcore.testing.declared import ExtractorDeclarationConformance, check_map
from vidcore.testing.fakes import fake_video
from vidcore.testing.module import CLOSE, ModuleConformance

_LABEL_SET = "kinetics400"


class ExtractorConformance(ExtractorDeclarationConformance, ModuleConformance):
    """Every check of an extractor. A subclass sets ``name``, and ``clip_shape`` to keep the video small.

        class TestVitS14(ExtractorConformance):
            name = "dinov2/vits14_test"
            clip_shape = (2, 2, 3, 56, 70)

    ``clip_shape`` (B, T, C, H, W) is the raw video; without it one is made after the spec's clip format.
    Variants too large to build have ``ExtractorDeclarationConformance``.
    """

    # ``outputs`` is read by every check (all are asked for); the others are about files, which these checks do without;
    # ``classifier`` checks ``classes``.
    not_options = ("outputs", "weights", "adapt_weights", "classes")

    def inputs(self, module: Extractor, seed: int = 0) -> Tensor:
        """A raw video."""
        return fake_video(self.shape, seed)

    def run(self, module: Extractor, inputs: Tensor) -> dict[str, FeatureMap]:
        """Every output, for the whole video."""
        return module.features(inputs)

    def observe(self, module: Extractor) -> Iterator[Any]:
        """Also the declared outputs and the clip."""
        yield dict(module.outputs)
        yield module.clip
        yield from super().observe(module)

    def clip_of(self, module: Extractor, video: Tensor) -> tuple[Any, tuple[int, int, int]]:
        """The preprocessed clip of the first window, and its (frames, height, width)."""
        window = plan_windows(video.shape[1], module.clip)[0]
        raw = window.take(video)
        return module.preprocess(raw), (window.length, *fit_frames(raw, module.clip).shape[-2:])

    def test_shapes(self) -> None:
        """Declared shapes are the real ones, for several clips that the format allows."""
        module = self.ready()
        for shape in self._clips(module.clip):
            clip, size = self.clip_of(module, fake_video(shape))
            with torch.no_grad():
                maps = module(clip)
            if set(maps) != set(module.output_names):
                fail(f"forward gave the outputs {sorted(maps)}; asked for were {sorted(module.output_names)}")
            for name, fmap in maps.items():
                check_map(name, fmap, module.outputs[name], size, shape[0])
        if self.options.keys() - {"outputs"}:
            return
        for name, info in module.outputs.items():
            if info != self.spec.outputs[name]:
                fail(
                    f"output {name!r} is declared as {self.spec.outputs[name]}; built with default options it is {info}"
                )

    def _clips(self, clip: ClipFormat) -> Iterator[tuple[int, int, int, int, int]]:
        batch, frames, channels, height, width = self.shape
        yield self.shape
        lengths = {clip.frames} if clip.frames else {clip.min_frames, clip.min_frames + clip.frame_multiple}
        for length in sorted(lengths):
            yield batch, length, channels, height, width
        if clip.size is None:
            yield batch, frames, channels, height + clip.size_multiple, width + 2 * clip.size_multiple

    def test_output_choice(self) -> None:
        """Each output can be asked for alone and is the same as among all; an unknown one is refused."""
        run = self.first_run()
        everything, video = run.outputs, run.before
        for name in self.spec.outputs:
            alone = self._seeded(self.ready(outputs=(name,)), video)
            if set(alone) != {name}:
                fail(f"asked for {name!r}, features gave {sorted(alone)}")
            if difference(alone[name].data, everything[name].data) > CLOSE:
                fail(f"output {name!r} differs between being asked for alone and among all")
        plain = self.ready(outputs=())
        if plain.output_names != (self.spec.default_output,):
            fail(f"with nothing asked for, {plain.output_names} is given; expected {self.spec.default_output!r}")
        try:
            self.ready(outputs=("no_such_output",))
        except ConfigError as exc:
            if self.spec.default_output not in str(exc):
                fail(f"the refusal of an unknown output does not list the outputs: {exc}")
        else:
            fail("the unknown output 'no_such_output' is accepted")

    def test_classifier(self) -> None:
        """The published classifier is there when it is asked for, gives an answer per class, and not otherwise."""
        if self.spec.classifier is None:
            pytest.skip("no published classifier")
        count = len(class_names(_LABEL_SET))
        plain = self.ready(outputs=())
        module = self.ready(outputs=(LOGITS, PROBABILITIES, self.spec.default_output), classes=_LABEL_SET)
        added = {name: tensor for name, tensor in module.state_dict().items() if name not in plain.state_dict()}
        if not added or any(count not in tensor.shape for tensor in added.values()):
            fail(
                f"asked for, the classifier adds {sorted(added)}; expected its tensors for {count} classes and no other"
            )
        clip, size = self.clip_of(module, fake_video(self.shape))
        with torch.no_grad():
            maps = module(clip)
        if set(maps) != set(module.output_names):
            fail(f"forward gave the outputs {sorted(maps)}; asked for were {sorted(module.output_names)}")
        for name, fmap in maps.items():
            check_map(name, fmap, module.outputs[name], size, self.shape[0])
        chances = maps[PROBABILITIES].data
        if bool((chances < 0).any()) or difference(chances.sum(1), torch.ones_like(chances[:, 0])) > CLOSE:
            fail("probabilities are negative, or do not sum to 1 over the classes")
        if float(maps[LOGITS].data.std(1).min()) == 0:
            fail("the logits of all classes are the same: nothing of the clip reaches the classifier")

    def test_preprocess(self) -> None:
        """``preprocess`` leaves the raw video alone and gives a clip that ``forward`` leaves alone."""
        module = self.ready()
        video = self.inputs(module)
        before = video.clone()
        clip, _ = self.clip_of(module, video)
        if not same(video, before):
            fail("preprocess changed the raw video in place")
        kept = apply(torch.clone, clip)
        with torch.no_grad():
            first, second = apply(torch.clone, module(clip)), module(clip)
        if not same(kept, clip):
            fail("forward changed its clip in place")
        if not same(first, second):
            fail("a second forward on the same clip gave another result")

    def test_clip_lengths(self) -> None:
        """Short, long, non-square and one-frame videos give one finite vector per frame: (B, T, D)."""
        module = self.ready()
        _, _, channels, height, width = self.shape
        window = plan_windows(1, module.clip)[0].length
        for frames, rows, columns in (
            (1, height, width),
            (max(window - 1, 2), height, width),
            (window + 3, height, width),
            (2, height, 2 * width),
            (2, 2 * height + 1, width),
        ):
            with torch.no_grad():
                got = module.extract(fake_video((1, frames, channels, rows, columns)))
            expected = (1, frames, module.outputs[module.output_names[0]].dim)
            if tuple(got.shape) != expected:
                fail(f"extract of {frames} frames of {rows}x{columns} gave {tuple(got.shape)}; expected {expected}")
            if not bool(got.isfinite().all()):
                fail(f"extract of {frames} frames of {rows}x{columns} gave values that are not finite")

    def test_windows(self) -> None:
        """A long video is read by windows: no forward sees more than one of them."""
        module = self.ready()
        _, _, channels, height, width = self.shape
        longest = plan_windows(100_000, module.clip)[0].length
        frames = longest + max(module.clip.frame_multiple, 5)
        video = fake_video((1, frames, channels, height, width))
        allowed = _numel(module.preprocess(Window(0, longest, frames).take(video)))
        seen: list[int] = []
        hook = module.register_forward_pre_hook(lambda _, args: seen.append(_numel(args)))
        with hook, torch.no_grad():
            maps = module.features(video)
        if len(seen) < 2 or max(seen) > allowed:
            fail(
                f"a video of {frames} frames was read by {len(seen)} forwards of up to {max(seen, default=0)} values; "
                f"a window of {longest} frames has {allowed}"
            )
        for name, fmap in maps.items():
            if not bool((fmap.times.diff() > 0).all()):
                fail(f"the steps of output {name!r} over several windows are not in order of time")
            if not -1 < float(fmap.times[0]) <= float(fmap.times[-1]) < frames:
                fail(f"the steps of output {name!r} lie outside the video of {frames} frames")

    def test_causal(self) -> None:
        """Where the spec says causal, a later frame changes no earlier step."""
        if not self.spec.causal:
            pytest.skip("not declared causal")
        module = self.ready()
        video = fake_video((1, *self.shape[1:]))
        frames = plan_windows(video.shape[1], module.clip)[0].length
        video = Window(0, frames, video.shape[1]).take(video)
        compared = 0
        with torch.no_grad():
            before = module(module.preprocess(video))
        for later in sorted({frames // 3, frames // 2, frames - 1} - {0}):
            changed = torch.cat([video[:, :later], 255 - video[:, later:]], 1)
            with torch.no_grad():
                after = module(module.preprocess(changed))
            for name, fmap in before.items():
                half = ((module.outputs[name].stride[0] or frames) - 1) / 2
                earlier = fmap.times + half < later
                compared += int(earlier.sum())
                gap = difference(after[name].data[:, :, earlier], fmap.data[:, :, earlier])
                if bool(earlier.any()) and gap > 1e-5:
                    fail(f"declared causal, yet frame {later} changes earlier steps of {name!r} by {gap:.1e}")
        if not compared:
            fail("declared causal, yet no step of any output ends before the clip does")

    def test_time_order(self) -> None:
        """A clip and its reverse have different features; an extractor blind to order is exempt and says why."""
        module = self.ready()
        _, frames, *rest = self.shape
        video = fake_video((1, max(frames, 4), *rest))  # type: ignore[arg-type]
        with torch.no_grad():
            forwards, backwards = module.extract(video), module.extract(video.flip(1)).flip(1)
        gap = difference(backwards, forwards)
        if gap < CLOSE:
            fail(f"blind to the order of frames: a clip and its reverse differ by {gap:.1e}")


def _numel(value: Any) -> int:
    return sum(tensor.numel() for _, tensor in leaves(value))
