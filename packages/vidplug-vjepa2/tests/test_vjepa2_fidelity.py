"""The extractor gives the numbers of transformers' own forward, and puts each token where it was."""

from __future__ import annotations

import pytest
import torch
from transformers import VJEPA2Config, VJEPA2Model
from vidcore import create
from vidplug_vjepa2.variants import VARIANTS

NAME = "vjepa2/vitl_test"
V = VARIANTS[NAME]


def video(frames=8, height=64, width=64, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, frames, 3, height, width), dtype=torch.uint8, generator=generator)


def randomised(**options):
    extractor = create(NAME, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return extractor


@pytest.mark.parametrize("size", [64, 96])
def test_every_output_equals_the_library_s_own_forward(size):
    extractor = randomised(outputs=V.outputs, size=size)
    config = VJEPA2Config(
        crop_size=size, hidden_size=48, num_hidden_layers=3, num_attention_heads=2, pred_num_hidden_layers=1
    )
    model = VJEPA2Model(config).eval()
    model.encoder.load_state_dict(extractor.network.state_dict())
    clip = extractor.preprocess(video())
    side = size // 16
    with torch.no_grad():
        maps = extractor(clip)
        own = model(clip.transpose(1, 2), skip_predictor=True, output_hidden_states=True)
    expected = {"features": own.last_hidden_state}
    expected |= {f"block{i}": own.hidden_states[i + 1] for i in range(2)}
    for name, tokens in expected.items():
        # Tokens run over steps, then rows, then columns.
        grid = tokens.reshape(2, 4, side, side, 48).permute(0, 4, 1, 2, 3)
        assert maps[name].data.shape == grid.shape
        assert (maps[name].data - grid).abs().max() < 1e-6, name
    normed = extractor.network.layernorm(maps["block2"].data.flatten(2).transpose(1, 2))
    assert (normed - own.last_hidden_state).abs().max() < 1e-6
    assert maps["features"].times.tolist() == [0.5, 2.5, 4.5, 6.5]


@pytest.mark.parametrize(("step", "row", "column"), [(3, 0, 2), (1, 3, 1)])
def test_a_patch_that_changes_is_found_at_its_own_step_row_and_column(step, row, column):
    extractor = create(NAME, outputs=("block0",))
    before = video(batch=1)
    after = before.clone()
    after[0, 2 * step + 1, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] ^= 255
    with torch.no_grad():
        changed = extractor.features(after)["block0"].data - extractor.features(before)["block0"].data
    strength = changed.norm(dim=1)[0]
    assert strength.shape == (4, 4, 4)
    assert strength.argmax() == torch.arange(64).reshape(4, 4, 4)[step, row, column]


def test_the_side_follows_the_weights_and_the_options():
    from vidcore.catalog import installed, load_target
    from vidcore.config import component_config

    spec = installed().find("extractor", "vjepa2/vitg")[0].spec
    seen = {}
    for label, options in {
        "default": {},
        "384": {"weights": "fpc64_384"},
        "original": {"weights": "fpc64_384_original"},
        "asked": {"weights": "fpc64_384", "size": 128},
    }.items():
        with torch.device("meta"):
            extractor = load_target(spec)(spec, component_config(spec, options))
        assert extractor.network.config.crop_size == extractor.clip.size[0]
        seen[label] = (extractor.clip.size[0], extractor.clip.resize_short)
    # The published video processor's numbers: int(side * 256 / 224).
    assert seen == {"default": (256, 292), "384": (384, 438), "original": (384, 438), "asked": (128, 146)}


def test_a_short_clip_is_read_as_it_is_and_a_long_video_by_windows_of_64():
    extractor = create(NAME)
    seen = []
    extractor.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[2]))
    with torch.no_grad():
        assert extractor.extract(video(16, 50, 90)).shape == (2, 16, 48)
        assert extractor.extract(video(1, batch=1)).shape == (1, 1, 48)
        assert extractor.extract(video(70, batch=1)).shape == (1, 70, 48)
    assert seen == [16, 2, 64, 64]


def test_blocks_after_the_last_one_asked_for_are_not_run():
    extractor = create(NAME, outputs=("block1",))
    extractor.network.layer[2].register_forward_hook(lambda *_: pytest.fail("block 2 was run"))
    assert list(extractor.features(video())) == ["block1"]
