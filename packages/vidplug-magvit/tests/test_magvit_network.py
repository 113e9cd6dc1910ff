from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from vidcore.testing import fill_published, golden_clip, relative_error
from vidplug_magvit.architecture import VIDEO_262144, VIDEO_SMALL, VIDEO_TEST, TokenizerConfig
from vidplug_magvit.blocks import CausalConv3d, GroupNorm, latent_statistics
from vidplug_magvit.encoder import Encoder
from vidplug_magvit.network import Tokenizer
from vidplug_magvit.quantiser import LookupFreeQuantiser

GOLDEN = Path(__file__).parent / "golden"
FRAME_WISE = replace(VIDEO_TEST, norm_scope="frame")


def filled(config: TokenizerConfig) -> Tokenizer:
    tokenizer = Tokenizer(config).eval()
    tokenizer.load_state_dict(fill_published(tokenizer.state_dict()))
    return tokenizer


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return filled(VIDEO_SMALL)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "open_magvit2_video_small.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("config", "keys", "parameters"),
    [
        (VIDEO_262144, "open_magvit2_video_262144.keys.json", 370_547_349),
        (VIDEO_SMALL, "open_magvit2_video_small.keys.json", 9_621_429),
    ],
)
def test_names_shapes_and_count_are_the_published(config, keys, parameters):
    with torch.device("meta"):
        tokenizer = Tokenizer(config)
    shapes = {name: list(tensor.shape) for name, tensor in tokenizer.state_dict().items()}
    assert shapes == json.loads((GOLDEN / keys).read_text())
    assert sum(p.numel() for p in tokenizer.parameters()) == parameters


def test_goldens(small, golden):
    video = golden_clip(seed=1, frames=9, size=32)
    with torch.inference_mode():
        latents = small.encoder(video)
        codes = small.encode(video)
        decoded = small.decode(codes)
        reconstruction = small(video)
    assert relative_error(latents, golden["z"]) < 1e-4
    assert codes.dtype == torch.int64
    assert np.array_equal(codes.numpy(), golden["codes"])
    assert relative_error(decoded, golden["recon"]) < 1e-4
    assert torch.equal(reconstruction, decoded)


def test_the_test_variant_is_small_and_shares_the_topology():
    tokenizer = Tokenizer(VIDEO_TEST)
    assert sum(p.numel() for p in tokenizer.parameters()) < 2_000_000
    assert set(tokenizer.state_dict()) == set(json.loads((GOLDEN / "open_magvit2_video_small.keys.json").read_text()))


@pytest.mark.parametrize(("frames", "steps"), [(1, 1), (5, 2), (9, 3), (17, 5)])
def test_lengths_there_and_back(frames, steps):
    tokenizer = filled(VIDEO_TEST)
    video = golden_clip(seed=2, frames=frames, size=16)
    with torch.inference_mode():
        codes = tokenizer.encode(video)
        assert codes.shape == (1, steps, 2, 2)
        assert tokenizer.decode(codes).shape == video.shape


def test_sides_that_are_no_multiple_of_eight_round_up():
    tokenizer = filled(VIDEO_TEST)
    with torch.inference_mode():
        codes = tokenizer.encode(torch.zeros(2, 3, 5, 20, 33))
        assert codes.shape == (2, 2, 3, 5)
        assert tokenizer.decode(codes).shape == (2, 3, 5, 24, 40)


def test_widths_and_strides_of_the_features():
    assert (VIDEO_262144.mid_channels, VIDEO_262144.z_channels, VIDEO_262144.codebook_size) == (512, 18, 262_144)
    assert (VIDEO_262144.time_stride, VIDEO_262144.space_stride) == (4, 8)
    encoder = filled(VIDEO_TEST).encoder
    with torch.inference_mode():
        mid = encoder.mid(torch.zeros(2, 3, 9, 32, 24))
        latents = encoder.latents(mid)
    assert mid.shape == (2, VIDEO_TEST.mid_channels, 3, 4, 3)
    assert latents.shape == (2, 18, 3, 4, 3)


def test_forward_is_the_latents_of_the_mid_block_map(small):
    video = golden_clip(seed=3, frames=5, size=16)
    with torch.inference_mode():
        assert torch.equal(small.encoder(video), small.encoder.latents(small.encoder.mid(video)))


@pytest.mark.parametrize(("frames", "longer"), [(2, 5), (4, 5), (8, 9), (15, 17)])
def test_a_length_that_would_lose_frames_is_refused(frames, longer):
    encoder = Encoder(VIDEO_TEST)
    with pytest.raises(ValueError, match=rf"clip of {frames} frames is not of length 4k \+ 1.*up to {longer} frames"):
        encoder(torch.zeros(1, 3, frames, 16, 16))


def test_a_clip_without_a_batch_axis_is_refused():
    with pytest.raises(ValueError, match=r"expected a clip \(B, C, T, H, W\), got shape \(3, 5, 16, 16\)"):
        Encoder(VIDEO_TEST)(torch.zeros(3, 5, 16, 16))


class TestCausality:
    """Latent step i may depend on frames 0 to 4 i."""

    @staticmethod
    def changed_steps(encoder: nn.Module, frame: int) -> list[int]:
        video = golden_clip(seed=4, frames=17, size=16)
        other = video.clone()
        other[:, :, frame] = golden_clip(seed=5, frames=1, size=16)[:, :, 0]
        with torch.inference_mode():
            difference = (encoder(video) - encoder(other)).abs().amax((0, 1, 3, 4))
        return difference.nonzero().flatten().tolist()

    @pytest.mark.parametrize(("frame", "first"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2), (13, 4), (16, 4)])
    def test_a_later_frame_changes_no_earlier_latent_with_frame_wise_norms(self, frame, first):
        changed = self.changed_steps(filled(FRAME_WISE).encoder, frame)
        assert changed[0] == first

    def test_a_prefix_has_the_latents_of_the_whole(self):
        encoder = filled(FRAME_WISE).encoder
        video = golden_clip(seed=6, frames=17, size=16)
        with torch.inference_mode():
            whole = encoder(video)
            for frames in (1, 5, 9, 13):
                part = encoder(video[:, :, :frames])
                assert torch.allclose(part, whole[:, :, : part.shape[2]], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(("frame", "first"), [(1, 1), (5, 2), (16, 4)])
    def test_the_published_convolutions_are_causal(self, frame, first):
        encoder = filled(VIDEO_TEST).encoder
        for module in encoder.modules():
            for name, child in module.named_children():
                if isinstance(child, GroupNorm):
                    setattr(module, name, nn.Identity())
        assert self.changed_steps(encoder, frame)[0] == first

    def test_the_published_norms_let_later_frames_rescale_earlier_latents(self):
        assert self.changed_steps(filled(VIDEO_TEST).encoder, 16) == [0, 1, 2, 3, 4]

    def test_both_scopes_agree_on_one_frame(self):
        video = golden_clip(seed=7, frames=1, size=16)
        with torch.inference_mode():
            assert torch.equal(filled(VIDEO_TEST).encoder(video), filled(FRAME_WISE).encoder(video))


def test_frame_wise_norm_equals_a_norm_of_each_frame():
    norm = GroupNorm(4, 8, scope="frame")
    torch.nn.init.normal_(norm.weight)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 8, 3, 4, 5))).float()
    expected = torch.stack([nn.functional.group_norm(f, 4, norm.weight, norm.bias, 1e-6) for f in x.unbind(2)], 2)
    assert torch.allclose(norm(x), expected, atol=1e-6)


def test_causal_convolution_pads_in_front_only():
    conv = CausalConv3d(1, 1, bias=False)
    nn.init.ones_(conv.conv_1.weight)
    x = torch.zeros(1, 1, 5, 1, 1)
    x[0, 0, 2] = 1.0
    assert conv(x).flatten().tolist() == [0, 0, 1, 1, 1]


def test_code_bits_by_hand():
    quantiser = LookupFreeQuantiser(4)
    latents = torch.tensor([0.3, -2.0, 0.0, 1e-9]).reshape(1, 4, 1, 1, 1)
    assert quantiser.codes(latents).item() == 0b1001
    assert quantiser(latents).flatten().tolist() == [1, -1, -1, 1]


def test_codes_survive_the_way_back_and_forth():
    quantiser = LookupFreeQuantiser(18)
    codes = torch.tensor([0, 1, 2, 131_072, 262_143, 87_381]).reshape(1, 1, 2, 3)
    latents = quantiser.latents(codes)
    assert latents.shape == (1, 18, 1, 2, 3)
    assert torch.equal(quantiser.codes(latents), codes)


def test_the_quantiser_passes_gradients_straight_through():
    latents = torch.tensor([0.3, -0.7]).reshape(1, 2, 1, 1, 1).requires_grad_()
    quantised = LookupFreeQuantiser(2)(latents)
    assert quantised.flatten().tolist() == [1.0, -1.0]
    (quantised * torch.tensor([2.0, 5.0]).reshape(1, 2, 1, 1, 1)).sum().backward()
    assert latents.grad.flatten().tolist() == [2.0, 5.0]


def test_gradients_reach_every_parameter():
    tokenizer = filled(VIDEO_TEST)
    tokenizer(golden_clip(seed=8, frames=9, size=16)).square().mean().backward()
    silent = [name for name, p in tokenizer.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_rows_of_a_batch_do_not_mix():
    tokenizer = filled(VIDEO_TEST)
    rows = torch.cat([golden_clip(seed=9, frames=5, size=16), golden_clip(seed=10, frames=5, size=16)])
    with torch.inference_mode():
        together = tokenizer(rows)
        for i in range(2):
            assert torch.allclose(together[i : i + 1], tokenizer(rows[i : i + 1]), rtol=1e-3, atol=1e-4)


def test_one_latent_cell_decodes_to_finite_values():
    deviation, _ = latent_statistics(torch.ones(1, 18, 1, 1, 1))
    assert torch.allclose(deviation, torch.tensor(1e-3))
    with torch.inference_mode():
        assert filled(VIDEO_TEST).decode(torch.tensor([[[[77]]]])).isfinite().all()


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(1, 1, 2, 2), r"expected integer codes \(B, T, H, W\), got torch.float32"),
        (torch.zeros(1, 2, 2, dtype=torch.long), r"of shape \(1, 2, 2\)"),
        (torch.full((1, 1, 2, 2), 262_144), r"codes from 262144 to 262144 are outside \[0, 262144\)"),
        (torch.full((1, 1, 2, 2), -1), r"codes from -1 to -1 are outside"),
    ],
)
def test_wrong_codes_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer(VIDEO_TEST).decode(codes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ch_mult": (1, 2)}, "3 entries; 2 levels .* need 1"),
        ({"z_channels": 63}, "z_channels=63.*1 to 62"),
        ({"ch": 100}, "width 100 is not a multiple of num_groups=32"),
        ({"norm_scope": "time"}, "norm_scope='time': expected 'clip' or 'frame'"),
    ],
)
def test_contradictory_configurations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TokenizerConfig(**options)
