"""The factorised ViViT as an extractor: causal vectors, the clip's own grid, options that arrive, own weights."""

from __future__ import annotations

import pytest
import torch
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, ShapeError
from vidcore.testing import fake_video
from vidplug_vivit.variants import FACTORISED

TEST = "vivit/factorised_test"  # patches of 4 frames and 8 x 8 pixels


def awake(name: str = TEST, **options):
    """Initial weights leave attention nearly uniform; these do not."""
    torch.manual_seed(0)
    extractor = create(name, **options)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return extractor


def video(frames: int, rows: int = 16, columns: int = 24, batch: int = 1, seed: int = 0):
    return fake_video((batch, frames, 3, rows, columns), seed)


class TestCausality:
    @pytest.mark.parametrize("frames", [16, 18])
    def test_no_later_frame_changes_an_earlier_vector(self, frames):
        extractor = awake()
        assert extractor.spec.causal
        clip = video(frames)
        with torch.no_grad():
            before = extractor.extract(clip)
            for later in range(4, frames):
                changed = torch.cat([clip[:, :later], 255 - clip[:, later:]], 1)
                gap = (extractor.extract(changed) - before).abs().amax((0, 2))
                assert gap[:later].max() < 1e-5, later
                # The step with the changed frame reaches the frames from its own last one on.
                complete = later // 4 * 4 + 3
                assert complete >= frames or gap[complete:].min() > 1e-4, later

    def test_frames_before_the_first_step_is_complete_hold_it_and_are_the_one_exception(self):
        extractor = awake()
        clip = video(8)
        changed = torch.cat([clip[:, :3], 255 - clip[:, 3:]], 1)
        with torch.no_grad():
            before, after = extractor.extract(clip), extractor.extract(changed)
        assert torch.equal(before[:, :3], before[:, 3:4].expand(-1, 3, -1))
        assert (before - after)[:, 0].abs().max() > 1e-4

    def test_a_vector_is_that_of_the_last_complete_step(self):
        extractor = awake()
        clip = video(10)
        with torch.no_grad():
            vectors, fmap = extractor.extract(clip), extractor.features(clip)["features"]
        assert fmap.steps == 3  # the third holds frame 9 and is nobody's vector
        assert fmap.times.tolist()[:2] == [1.5, 5.5]
        assert torch.equal(vectors, fmap.sequence()[:, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]])

    def test_a_prefix_has_the_vectors_of_the_whole(self):
        extractor = awake()
        clip = video(16)
        with torch.no_grad():
            whole = extractor.extract(clip)
            for frames in (4, 5, 8, 11, 15):
                part = extractor.extract(clip[:, :frames])
                assert (part - whole[:, :frames]).abs().max() < 1e-4, frames

    def test_a_long_video_is_read_by_windows_that_see_no_later_frame(self):
        extractor = awake()
        clip = video(80, 8, 8)
        changed = torch.cat([clip[:, :70], 255 - clip[:, 70:]], 1)
        with torch.no_grad():
            before, after = extractor.features(clip)["features"], extractor.features(changed)["features"]
        assert before.times.tolist() == [4 * step + 1.5 for step in range(20)]
        gap = (before.data - after.data).abs().amax((0, 1, 3, 4))
        assert gap[:17].max() < 1e-5
        assert gap[17:].min() > 1e-4


@pytest.mark.parametrize(
    ("rows", "columns", "grid"), [(16, 24, (2, 3)), (8, 64, (1, 8)), (17, 31, (2, 3)), (5, 8, (1, 1))]
)
def test_the_grid_is_the_video_s_own(rows, columns, grid):
    extractor = awake()
    with torch.no_grad():
        fmap = extractor.features(video(9, rows, columns))["features"]
    assert fmap.data.shape == (1, 32, 3, *grid)


@pytest.mark.parametrize(("size", "grid"), [(32, (4, 4)), ((16, 40), (2, 5))])
def test_a_size_of_the_options(size, grid):
    extractor = awake(size=size)
    assert extractor.features(video(4, 30, 50))["features"].data.shape[3:] == grid


@pytest.mark.parametrize("output", FACTORISED[TEST].outputs)
def test_inner_layers_are_those_of_the_network(output):
    extractor = awake(outputs=(output,), final_norm=True)
    clip = extractor.preprocess(video(8))
    layer = "output" if output == "features" else output
    with torch.no_grad():
        expected = extractor.network.forward_layers(clip, extractor.network.layers)[layer]
        got = extractor(clip)
    assert list(got) == [output]
    assert torch.equal(got[output].data, expected)


@pytest.mark.parametrize(
    ("outputs", "run"), [(("tokens",), 0), (("spatial0",), 1), (("temporal0", "spatial1"), 3), ((), 4)]
)
def test_blocks_behind_the_last_one_asked_for_are_not_run(outputs, run):
    extractor = awake(outputs=outputs)
    seen = []
    for block in (*extractor.network.spatial_blocks, *extractor.network.temporal_blocks):
        block.register_forward_hook(lambda *_: seen.append(1))
    extractor.features(video(4))
    assert len(seen) == run


def test_the_options_of_the_issue_arrive():
    for name, width, depth, heads, hidden, patch in (
        ("vivit/factorised_small", 192, 4, (4, 48), 768, (8, 8, 8)),
        ("vivit/factorised_base", 384, 6, (6, 64), 1536, (4, 4, 4)),
    ):
        spec = installed().find("extractor", name)[0].spec
        options = {
            "norm": "rms_norm",
            "spatial_position": "sinusoidal",
            "temporal_position": "learned",
            "learned_grid": (4, 8, 8),
            "registers": 0,
            "patch_dropout": 0.1,
            "stochastic_depth": 0.2,
            "gradient_checkpointing": True,
            "in_channels": 1,
        }
        with torch.device("meta"):
            plain = load_target(spec)(spec, component_config(spec, {}))
            other = load_target(spec)(spec, component_config(spec, options))
        a = plain.network.architecture
        assert (a.width, a.spatial_depth, a.temporal_depth, (a.heads, a.head_dim)) == (width, depth, depth, heads)
        assert (a.feedforward_width, a.patch_size, a.registers) == (hidden, patch, 4)
        assert all(getattr(other.network.architecture, option) == value for option, value in options.items())
        # Learned times bound the window.
        assert (plain.clip.max_frames, other.clip.max_frames) == (64, 4 * patch[0])
        assert other.clip.channels == "grey"


def test_learned_times_read_a_longer_video_by_windows():
    extractor = awake(temporal_position="learned", learned_grid=(3, 2, 2))
    with torch.no_grad():
        fmap = extractor.features(video(30))["features"]
    assert fmap.times.tolist() == [4 * step + 1.5 for step in range(7)] + [pytest.approx(29.5)]


def test_checkpointing_changes_no_gradient_and_recomputes_every_block():
    clip = video(8)
    gradients, runs = [], []
    for checkpointing in (False, True):
        extractor = awake(gradient_checkpointing=checkpointing).train()
        seen = []
        for block in (*extractor.network.spatial_blocks, *extractor.network.temporal_blocks):
            block.attention.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        extractor.features(clip)["features"].data.square().sum().backward()
        gradients.append([p.grad for p in extractor.parameters()])
        runs.append(len(seen))
    assert runs == [4, 8]
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(*gradients, strict=True))


class TestChannels:
    def test_a_grey_network_sees_the_luma_of_an_rgb_video(self):
        extractor = awake(in_channels=1)
        rgb = video(4)
        red, green, blue = rgb.float().unbind(2)
        luma = (0.299 * red + 0.587 * green + 0.114 * blue) / 127.5 - 1
        assert (extractor.preprocess(rgb)[:, 0] - luma).abs().max() < 1.1 / 127.5
        grey = rgb[:, :, :1]
        assert torch.allclose(extractor.preprocess(grey)[:, 0], grey[:, :, 0].float() / 127.5 - 1, atol=1e-6)

    def test_other_channels_are_refused(self):
        with pytest.raises(ShapeError, match=r"the video has 1 channels, .* built for in_channels=3; build it with in"):
            awake().extract(video(4)[:, :, :1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 30}, r"size 30 is not a multiple of its patch \(8 x 8\); the nearest that is: 32"),
        ({"size": (16, 20)}, r"the nearest that is: 16 x 16"),
        ({"spatial_position": "learned"}, r"vivit/factorised_test.*a learned position wants learned_grid"),
        ({"learned_grid": (1, 2, 3)}, "would be ignored"),
        (
            {
                "spatial_position": "learned",
                "temporal_position": "learned",
                "learned_grid": (1, 2, 3),
                "rope_base": 5.0,
            },
            "rope_base 5 would be ignored: both positions are learned",
        ),
        ({"stochastic_depth": 1.0}, "stochastic_depth"),
        ({"norm": "batch_norm"}, "norm"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create(TEST, **options)


@pytest.mark.parametrize("prefix", ["", "network."])
def test_weights_of_an_own_network_load(tmp_path, prefix):
    torch.manual_seed(3)
    saved = create(TEST).network.state_dict()
    torch.save({"state_dict": {f"{prefix}{name}": value for name, value in saved.items()}}, tmp_path / "own.pt")
    extractor = create(TEST, weights=str(tmp_path / "own.pt"))
    assert (extractor.weights_report.matched_fraction, extractor.weights_report.left_over) == (1.0, ())
    assert all(torch.equal(value, saved[name]) for name, value in extractor.network.state_dict().items())


@pytest.mark.parametrize(("name", "width"), [("vivit/factorised_small", 192), ("vivit/factorised_base", 384)])
def test_the_plain_form(name, width):
    with torch.no_grad():
        got = create(name).extract(fake_video((2, 16, 3, 64, 64)))
    assert got.shape == (2, 16, width) and got.isfinite().all()
