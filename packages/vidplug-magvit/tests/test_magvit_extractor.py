"""The tokenizer as an extractor: goldens through it, exact positions over windows, causality, codes there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, ShapeError, WeightsError
from vidcore.testing import fake_video, fill_published, golden_clip, relative_error
from vidplug_magvit.variants import VARIANTS

TEST = "magvit2/video_test"
GOLDEN = Path(__file__).parent / "golden"


def filled(name: str = TEST, **options):
    """The extractor with its tokenizer filled by the rule of the goldens, on frames of 16 pixels."""
    torch.manual_seed(0)
    extractor = create(name, **{"size": 16, **options})
    extractor.tokenizer.load_state_dict(fill_published(extractor.tokenizer.state_dict()))
    return extractor


def video(frames: int, side: int = 16, batch: int = 1, seed: int = 0):
    return fake_video((batch, frames, 3, side, side), seed)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_exact(name):
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
        features_only = load_target(spec)(spec, component_config(spec, {"decoder": False}))
    count = sum(p.numel() for p in extractor.parameters())
    assert count == spec.parameters
    assert (count == 370_547_349) == (name == "magvit2/video_262144")
    assert sum(p.numel() for p in features_only.parameters()) == count - sum(
        p.numel() for p in extractor.tokenizer.decoder.parameters()
    )


def test_the_family_means_the_published_tokenizer():
    spec = installed().find("extractor", "magvit2")[0].spec
    assert spec.name == "magvit2/video_262144"
    assert {name: info.dim for name, info in spec.outputs.items()} == {"mid": 512, "latents": 18}
    assert spec.default_output == "mid"
    assert not spec.causal


def test_goldens_come_out_of_the_extractor():
    small = filled("magvit2/video_small", size=32, outputs=("latents", "mid"))
    with np.load(GOLDEN / "open_magvit2_video_small.npz") as golden, torch.no_grad():
        maps = small(golden_clip(seed=1, frames=9, size=32))
        assert relative_error(maps["latents"].data, golden["z"]) < 1e-4
        assert np.array_equal(small.tokenizer.quantiser.codes(maps["latents"].data).numpy(), golden["codes"])
        decoded = small.decode(torch.from_numpy(golden["codes"]))
        expected = torch.from_numpy(golden["recon"]).transpose(1, 2).clamp(-1, 1)
    assert maps["latents"].times.tolist() == [0.0, 2.5, 6.5]
    assert decoded.shape == (1, 9, 3, 32, 32) and decoded.dtype == torch.uint8
    assert (decoded.float() / 127.5 - 1 - expected).abs().max() <= 0.5 / 127.5 + 1e-4


class TestPositions:
    @pytest.mark.parametrize(("frames", "times"), [(1, [0]), (5, [0, 2.5]), (17, [0, 2.5, 6.5, 10.5, 14.5])])
    def test_a_step_is_at_the_centre_of_its_frames(self, frames, times):
        assert filled().features(video(frames))["mid"].times.tolist() == times

    @pytest.mark.parametrize(("frames", "steps"), [(2, 2), (3, 2), (6, 3), (16, 5)])
    def test_the_step_of_a_held_frame_is_kept_and_not_past_the_video(self, frames, steps):
        times = filled().features(video(frames))["mid"].times.tolist()
        assert len(times) == steps
        assert times[-1] <= frames - 0.5

    @pytest.mark.parametrize("frames", [18, 29, 33, 46])
    def test_windows_share_one_grid(self, frames):
        extractor = filled(outputs=("mid", "latents"))
        mask = torch.ones(1, frames, dtype=torch.bool)
        with torch.no_grad():
            maps = extractor.features(video(frames), mask)
        steps = 1 + -(-(frames - 1) // 4)
        centres = [0.0] + [4 * i - 1.5 for i in range(1, steps)]
        for fmap in maps.values():
            # The last step may hold the last frame; its time is then cut to the video's end.
            assert fmap.times.tolist()[:-1] == centres[:-1]
            assert fmap.times[-1] == min(centres[-1], frames - 0.5)
            assert fmap.data.shape[2] == fmap.mask.shape[1] == steps
            assert fmap.mask.all()

    def test_a_change_is_found_at_its_own_step(self):
        """Far from the start of any window, so that a step is placed by what it saw."""
        extractor = filled(norm="frame", outputs=("latents",))
        before = video(33)
        after = before.clone()
        after[:, 24] = 255 - after[:, 24]
        with torch.no_grad():
            first, second = extractor.features(before)["latents"], extractor.features(after)["latents"]
        changed = (first.data - second.data).abs().amax((0, 1, 3, 4)) > 1e-6
        # Frames 21 to 24 are step 6, centred on 22.5.
        assert first.times[changed][0] == 22.5


class TestCausality:
    @pytest.mark.parametrize("frames", [17, 14])
    def test_with_frame_wise_norms_no_later_frame_changes_an_earlier_vector(self, frames):
        extractor = filled(norm="frame")
        assert extractor.spec.causal
        clip = video(frames)
        with torch.no_grad():
            before = extractor.extract(clip)
            for later in (1, 4, 5, 8, 11, 13):
                after = extractor.extract(torch.cat([clip[:, :later], 255 - clip[:, later:]], 1))
                assert (after[:, :later] - before[:, :later]).abs().max() < 1e-5, later
                assert (after[:, later:] - before[:, later:]).abs().max() > 1e-3 or frames - later < 4

    def test_a_vector_is_that_of_the_last_complete_step(self):
        extractor = filled(norm="frame")
        clip = video(9)
        with torch.no_grad():
            vectors, steps = extractor.extract(clip), extractor.features(clip)["mid"].sequence()
        expected = steps[:, [0, 0, 0, 0, 1, 1, 1, 1, 2]]
        assert torch.equal(vectors, expected)

    def test_a_prefix_has_the_vectors_of_the_whole(self):
        extractor = filled(norm="frame")
        clip = video(17)
        with torch.no_grad():
            whole = extractor.extract(clip)
            for frames in (1, 2, 4, 5, 7, 13, 16):
                part = extractor.extract(clip[:, :frames])
                assert (part - whole[:, :frames]).abs().max() < 1e-4, frames

    def test_the_published_norms_do_not_hold_that_and_say_so(self):
        extractor = filled()
        assert not extractor.spec.causal
        clip = video(17)
        with torch.no_grad():
            after = extractor.extract(torch.cat([clip[:, :16], 255 - clip[:, 16:]], 1))
            assert (after - extractor.extract(clip))[:, 0].abs().max() > 1e-4


class TestCodes:
    @pytest.mark.parametrize(("frames", "steps"), [(1, 1), (3, 2), (9, 3), (17, 5), (30, 9)])
    def test_there_and_back(self, frames, steps):
        extractor = filled()
        codes = extractor.encode(video(frames, side=24, batch=2))
        assert codes.shape == (2, steps, 2, 2) and codes.dtype == torch.int64
        decoded = extractor.decode(codes)
        assert decoded.shape == (2, 4 * (steps - 1) + 1, 3, 16, 16) and decoded.dtype == torch.uint8

    def test_a_clip_is_encoded_as_by_the_tokenizer(self):
        extractor = filled()
        clip = video(17)
        expected = extractor.tokenizer.encode(clip.transpose(1, 2).float() / 127.5 - 1)
        assert torch.equal(extractor.encode(clip), expected)

    def test_codes_are_the_signs_of_the_latents_whatever_output_is_asked_for(self):
        clip = video(30)
        codes = filled().encode(clip)
        with torch.no_grad():
            latents = filled(outputs=("latents",)).features(clip)["latents"].data
        assert torch.equal(codes, filled().tokenizer.quantiser.codes(latents))

    def test_what_is_no_video_and_what_are_no_codes_is_refused(self):
        extractor = filled()
        with pytest.raises(ShapeError, match="a raw video is uint8"):
            extractor.encode(torch.zeros(1, 3, 5, 16, 16))
        with pytest.raises(ShapeError, match="expected integer codes"):
            extractor.decode(torch.zeros(1, 1, 2, 2))
        with pytest.raises(ShapeError, match=r"outside \[0, 262144\)"):
            extractor.decode(torch.full((1, 1, 2, 2), 262_144))

    def test_without_its_decoder_it_encodes_only(self):
        extractor = filled(decoder=False)
        assert torch.equal(extractor.encode(video(5)), filled().encode(video(5)))
        with pytest.raises(ConfigError, match="built with decoder=false; build it with decoder=true"):
            extractor.decode(torch.zeros(1, 1, 2, 2, dtype=torch.long))


class TestProjection:
    @pytest.mark.parametrize(("outputs", "inputs"), [((), 32), (("latents", "mid"), 18)])
    def test_it_is_a_linear_map_of_the_output_read_first(self, outputs, inputs):
        plain, projected = filled(outputs=outputs), filled(outputs=outputs, project=256)
        first = plain.output_names[0]
        assert projected.outputs[first].dim == 256
        weight, bias = projected.projection.weight.flatten(1), projected.projection.bias
        assert weight.shape == (256, inputs)
        with torch.no_grad():
            before, after = plain.features(video(5)), projected.features(video(5))
        expected = torch.einsum("oc,bcthw->bothw", weight, before[first].data) + bias[:, None, None, None]
        assert torch.allclose(after[first].data, expected, atol=1e-5)
        for name in plain.output_names[1:]:
            assert torch.equal(before[name].data, after[name].data)
        assert projected.extract(video(6)).shape == (1, 6, 256)

    @pytest.mark.parametrize("outputs", [("mid",), ("latents",)])
    def test_gradients_reach_all_that_asks_for_one(self, outputs):
        extractor = filled(outputs=outputs, project=8)
        extractor.extract(video(9)).square().sum().backward()
        trained = {name: p for name, p in extractor.named_parameters() if p.requires_grad}
        assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
        assert {name.split(".")[0] for name in trained} == {"projection", "tokenizer"}
        assert not any(".decoder." in name for name in trained)
        assert ("tokenizer.encoder.conv_out.conv_1.weight" in trained) == (outputs == ("latents",))


class TestWeights:
    @staticmethod
    def lightning(path: Path, tokenizer) -> dict[str, torch.Tensor]:
        """A file with the layout of the published one; returns the moving averages in it."""
        raw = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
        averages = {name: tensor + 1 for name, tensor in raw.items()}
        state = raw | {f"model_ema.{name.replace('.', '')}": tensor for name, tensor in averages.items()}
        state |= {"loss.discriminator.main.0.weight": torch.ones(4, 3), "model_ema.num_updates": torch.tensor(7)}
        torch.save({"epoch": 3, "pytorch-lightning_version": "2.2.0", "state_dict": state}, path)
        return averages

    @pytest.mark.parametrize("options", [{}, {"norm": "frame"}, {"project": 4}])
    def test_a_lightning_checkpoint_loads_as_it_is_moving_averages_first(self, tmp_path, options):
        averages = self.lightning(tmp_path / "video.ckpt", create(TEST).tokenizer)
        extractor = create(TEST, weights=str(tmp_path / "video.ckpt"), **options)
        for name, tensor in extractor.tokenizer.state_dict().items():
            assert torch.equal(tensor, averages[name]), name
        report = extractor.weights_report
        assert report.missing == ()
        assert report.random == (("projection.weight", "projection.bias") if "project" in options else ())
        assert report.averaged == "model_ema"

    def test_without_a_decoder_the_file_s_own_is_left_over(self, tmp_path):
        self.lightning(tmp_path / "video.ckpt", create(TEST).tokenizer)
        report = create(TEST, weights=str(tmp_path / "video.ckpt"), decoder=False).weights_report
        assert report.missing == ()
        assert all(name.startswith("tokenizer.decoder.") for name in report.left_over)
        assert report.left_over

    def test_an_extractor_s_own_file_loads_with_or_without_a_projection(self, tmp_path):
        torch.manual_seed(1)
        saved = create(TEST, project=4)
        torch.save(saved.state_dict(), tmp_path / "own.pt")
        loaded = create(TEST, weights=str(tmp_path / "own.pt"))
        assert loaded.weights_report.left_over == ("projection.weight", "projection.bias")
        assert all(torch.equal(value, saved.state_dict()[name]) for name, value in loaded.state_dict().items())

    def test_another_kind_of_file_is_refused(self, tmp_path):
        torch.save({"state_dict": {"head.bias": torch.ones(1)}}, tmp_path / "other.ckpt")
        with pytest.raises(WeightsError, match=r"does not hold the published weights of magvit2/video_test"):
            create(TEST, weights=str(tmp_path / "other.ckpt"))

    def test_the_published_file_is_declared(self):
        (weights,) = installed().find("extractor", "magvit2")[0].spec.weights
        assert weights.source == "hf:TencentARC/Open-MAGVIT2-Tokenizer-262144-Video/video_128_262144.ckpt"
        assert weights.score.startswith("UCF-101 reconstruction FVD 16 ")
        assert (weights.tag, weights.licence) == ("ucf101", "Apache-2.0")


@pytest.mark.parametrize("size", [20, 8])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ConfigError, match="size"):
        create(TEST, size=size)


def test_pixels_span_minus_one_to_one():
    extractor = create(TEST, size=16)
    frames = torch.tensor([0, 255], dtype=torch.uint8)[None, :, None, None, None].expand(1, 2, 3, 16, 16)
    clip = extractor.preprocess(frames)
    assert torch.equal(clip[:, :, 0], torch.full((1, 3, 16, 16), -1.0))
    assert torch.allclose(clip[:, :, 1], torch.ones(1, 3, 16, 16))


@pytest.mark.parametrize("norm", ["clip", "frame"])
def test_the_plain_form(norm):
    got = filled(size=128, norm=norm).extract(fake_video((2, 16, 3, 64, 64)))
    assert got.shape == (2, 16, 32) and got.isfinite().all()
