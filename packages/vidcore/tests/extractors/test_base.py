"""The extractor base class: padding, windows and stitching, on a network whose answer is known."""

from __future__ import annotations

import pytest
import torch
from vidcore.config import ExtractorConfig
from vidcore.errors import ConfigError, ShapeError
from vidcore.extractors import Extractor, step_times
from vidcore.extractors.base import stitch
from vidcore.features import FeatureMap
from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo


class Brightness(Extractor):
    """Mean brightness of each tubelet of two frames; remembers the clips it was given."""

    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.lengths = []

    def forward(self, clip):
        self.lengths.append(clip.shape[2])
        data = clip.mean((1, 3, 4)).unflatten(1, (-1, 2)).mean(2)[:, None, :, None, None]
        return {name: FeatureMap(data, step_times(data.shape[2], 2, data)) for name in self.output_names}


def brightness(outputs=(), **clip):
    spec = ExtractorSpec(
        name="fake/brightness",
        target="a.b:C",
        config="a.b:D",
        summary="s",
        outputs={"mean": FeatureInfo(1, (2, None, None)), "again": FeatureInfo(1, (2, None, None))},
        clip=ClipFormat(value_range=(0, 255), **clip),
    )
    return Brightness(spec, ExtractorConfig(outputs=outputs))


def ramp(frames):
    """Frame t has brightness t everywhere, in two rows of the batch (the second twice as bright)."""
    level = torch.arange(frames, dtype=torch.uint8)
    return torch.stack([level, 2 * level])[:, :, None, None, None].expand(2, frames, 3, 8, 8).contiguous()


@pytest.mark.parametrize("overlap", [0, 2, 4, 6])
@pytest.mark.parametrize("frames", [8, 9, 20, 21, 63])
def test_windows_are_stitched_at_exact_positions(frames, overlap):
    extractor = brightness(frames=8, overlap_frames=overlap)
    features = extractor.features(ramp(frames))["mean"]
    steps = -(-frames // 2)
    assert torch.equal(features.times, torch.arange(steps) * 2 + 0.5)
    expected = torch.arange(steps) * 2 + 0.5
    if frames % 2:
        expected[-1] = frames - 1  # the last tubelet holds the last frame
    assert torch.allclose(features.data[0].flatten(), expected, atol=1e-4)
    assert torch.allclose(features.data[1], 2 * features.data[0], atol=1e-4)
    assert set(extractor.lengths) == {8}, "memory is bounded by the window"


def test_a_short_video_holds_its_last_frame_and_drops_what_is_only_padding():
    extractor = brightness(frames=16)
    features = extractor.features(ramp(5))["mean"]
    assert features.steps == 3
    assert torch.allclose(features.data[0].flatten(), torch.tensor([0.5, 2.5, 4.0]))
    assert extractor.lengths == [16]


@pytest.mark.parametrize("frames", [1, 2, 7, 16, 40])
def test_extract_gives_one_vector_per_frame(frames):
    extracted = brightness(frames=8).extract(ramp(frames))
    assert extracted.shape == (2, frames, 1)
    assert torch.allclose(extracted[0, :, 0], torch.arange(frames).float(), atol=0.51)


def test_the_mask_of_the_video_becomes_that_of_its_steps():
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[1, 4:] = False
    features = brightness(frames=8).features(ramp(8), mask)["mean"]
    assert features.mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_stitch_averages_steps_at_the_same_time():
    def part(values, start):
        data = torch.tensor(values).reshape(1, 1, -1, 1, 1)
        return FeatureMap(data, torch.arange(len(values)) + float(start))

    joined = stitch([part([1.0, 2.0, 3.0], 0), part([5.0, 7.0], 2)])
    assert joined.times.tolist() == [0, 1, 2, 3]
    assert joined.data.flatten().tolist() == [1.0, 2.0, 4.0, 7.0]


def test_outputs_asked_for_come_in_that_order():
    extractor = brightness(outputs=("again", "mean"), frames=8)
    assert list(extractor.outputs) == ["again", "mean"]
    assert set(extractor.features(ramp(8))) == {"again", "mean"}
    with pytest.raises(ConfigError, match="has no output 'block3'; its outputs are: mean, again"):
        brightness(outputs=("block3",))


def test_a_forward_that_gives_other_outputs_is_refused():
    extractor = brightness(frames=8)
    extractor.forward = lambda clip: {"other": None}
    with pytest.raises(ShapeError, match=r"Brightness.forward gave \['other'\]; expected the outputs \['mean'\]"):
        extractor.features(ramp(8))


def test_an_extractor_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Extractor(None, None)
