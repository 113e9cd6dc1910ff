"""The extractors give the numbers of transformers' own forward, and put each patch where it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError
from vidcore.features import FeatureMap
from vidplug_dinov2.variants import VARIANTS

TESTS = [name for name in VARIANTS if name.endswith("_test")]


def randomised(name: str, **options):
    """The extractor with every parameter drawn at random: tokens that start at zero would hide mistakes."""
    extractor = create(name, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return extractor


def video(frames: int = 3, height: int = 64, width: int = 80, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, frames, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", TESTS)
def test_every_output_equals_the_library_s_own_forward(name):
    v = VARIANTS[name]
    extractor = randomised(name, outputs=v.outputs)
    clip = extractor.preprocess(video())
    with torch.no_grad():
        maps = extractor(clip)
        frames = clip.transpose(1, 2).reshape(-1, *clip.shape[1:2], *clip.shape[3:])
        own = extractor.network(frames, output_hidden_states=True)
    # (B*T, tokens, D) -> (B, T, tokens, D)
    last = own.last_hidden_state.unflatten(0, (2, 3))
    side = 224 // v.patch
    expected = {"cls": last[:, :, 0], "patches": last[:, :, 1 + v.registers :]}
    expected |= {f"register{i}": last[:, :, 1 + i] for i in range(v.registers)}
    for index in range(v.depth):
        hidden = own.hidden_states[index + 1].unflatten(0, (2, 3))
        expected[f"block{index}"] = hidden[:, :, 1 + v.registers :]
    assert set(maps) == set(expected)
    for output, tokens in expected.items():
        if tokens.dim() == 4:
            grid = tokens.reshape(2, 3, side, side, v.width).permute(0, 4, 1, 2, 3)
        else:
            grid = tokens.permute(0, 2, 1)[..., None, None]
        assert maps[output].data.shape == grid.shape
        assert (maps[output].data - grid).abs().max() < 1e-6, output


@pytest.mark.parametrize("name", TESTS)
def test_a_patch_that_changes_is_found_at_its_own_step_row_and_column(name):
    patch = VARIANTS[name].patch
    extractor = create(name, outputs=("block0",), size=None)
    before = video(4, 3 * patch, 5 * patch, batch=1)
    for step, row, column in ((2, 0, 3), (1, 2, 1)):
        after = before.clone()
        after[0, step, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] ^= 255
        with torch.no_grad():
            changed = extractor.features(after)["block0"].data - extractor.features(before)["block0"].data
        strength = changed.norm(dim=1)[0]
        assert strength.shape == (4, 3, 5)
        assert strength.argmax() == torch.arange(60).reshape(4, 3, 5)[step, row, column]
        # Frames are seen one by one, so no other frame may move at all.
        assert strength[torch.arange(4) != step].max() == 0


@pytest.mark.parametrize(("name", "side"), [("dinov2/vits14_test", 14), ("dinov3/vits16_test", 16)])
def test_the_default_size_is_224_and_others_can_be_asked_for(name, side):
    assert create(name, outputs=("patches",)).features(video())["patches"].data.shape[3:] == (224 // side, 224 // side)
    small = create(name, outputs=("patches",), size=(2 * side, 3 * side))
    assert small.features(video())["patches"].data.shape[3:] == (2, 3)
    native = create(name, outputs=("patches",), size=None)
    assert native.features(video(1, 4 * side + 5, 6 * side))["patches"].data.shape[3:] == (4, 6)
    assert native.features(video(1, 3, 2 * side))["patches"].data.shape[3:] == (1, 2)


def test_resizing_keeps_the_published_margin():
    clip = create("dinov2/vits14_test").clip
    assert (clip.size, clip.resize_short, clip.interpolation, clip.fit) == ((224, 224), 256, "bicubic", "crop")
    assert create("dinov2/vits14_test", size=448).clip.resize_short == 512
    clip = create("dinov3/vits16_test", size=256).clip
    assert (clip.size, clip.resize_short, clip.interpolation, clip.fit) == ((256, 256), None, "bilinear", "stretch")


def test_a_size_that_is_no_multiple_of_the_patch_is_refused():
    with pytest.raises(ConfigError, match=r"'dinov2/vits14_test': size 225 is not a multiple of its patch \(14\)"):
        create("dinov2/vits14_test", size=225)
    with pytest.raises(ConfigError, match=r"the nearest that is: 224 336"):
        create("dinov3/vits16_test", size=(224, 340))


def test_satellite_weights_bring_their_own_statistics():
    spec = installed().find("extractor", "dinov3/vitl16")[0].spec
    means = {}
    for tag in ("lvd1689m", "sat493m"):
        assert tag in {w.tag for w in spec.weights}
        with torch.device("meta"):
            extractor = load_target(spec)(spec, component_config(spec, {"weights": tag}))
        means[tag] = extractor.clip.mean
    assert means == {"lvd1689m": (0.485, 0.456, 0.406), "sat493m": (0.430, 0.411, 0.296)}


@pytest.mark.parametrize("name", ["dinov2/vits14_test", "dinov2/vits14_reg_test"])
def test_without_an_offset_positions_are_those_of_transformers_and_with_one_those_of_the_authors(name):
    plain = randomised(name, outputs=("block0",))
    stretched = randomised(name, outputs=("block0",), position_offset=0.1)
    clip = plain.preprocess(video(1, batch=1))
    with torch.no_grad():
        embedded = stretched._start(clip[:, :, 0])[0]
        plainly = plain._start(clip[:, :, 0])[0]
    embeddings = stretched.network.embeddings
    table = embeddings.position_embeddings.detach()
    registers = VARIANTS[name].registers
    # Written from the definition: sample the 37x37 table bicubically at (i + 0.5) * 37 / 16.1 - 0.5.
    grid = table[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    scaled = F.interpolate(
        grid, scale_factor=(16.1 / 37, 16.1 / 37), mode="bicubic", antialias=registers > 0, align_corners=False
    )
    patches = embeddings.patch_embeddings(clip[:, :, 0]).detach()
    expected = patches + scaled.flatten(2).transpose(1, 2)
    assert (embedded[:, 1 + registers :] - expected).abs().max() < 1e-6
    assert (embedded[:, : 1 + registers] - plainly[:, : 1 + registers]).abs().max() < 1e-6
    assert (embedded - plainly).abs().max() > 1e-3


def test_at_the_pretraining_size_the_position_table_is_used_as_it_is():
    plain = randomised("dinov2/vits14_test", size=518)
    stretched = randomised("dinov2/vits14_test", size=518, position_offset=0.1)
    frames = plain.preprocess(video(1, batch=1))[:, :, 0]
    with torch.no_grad():
        assert torch.equal(plain._start(frames)[0], stretched._start(frames)[0])


def test_blocks_after_the_last_one_asked_for_are_not_run():
    extractor = create("dinov2/vits14_test", outputs=("block0",))
    extractor._layers()[1].register_forward_hook(lambda *_: pytest.fail("block 1 was run"))
    maps = extractor.features(video())
    assert isinstance(maps["block0"], FeatureMap)


def test_extract_gives_one_vector_per_frame_however_long_the_video():
    extractor = create("dinov2/vits14_test")
    long = video(35, 64, 64, batch=1)
    with torch.no_grad():
        got = extractor.extract(long)
        alone = extractor.extract(long[:, 33:34])
    assert got.shape == (1, 35, 48)
    # Windows of a frame-wise extractor are exact: a frame alone has the features it has in the video.
    assert (got[:, 33] - alone[:, 0]).abs().max() < 1e-5
