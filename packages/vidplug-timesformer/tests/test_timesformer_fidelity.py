"""The extractor gives the numbers of transformers' own forward, and puts each token where it was."""

from __future__ import annotations

import pytest
import torch
from transformers import TimesformerConfig, TimesformerForVideoClassification, TimesformerModel
from vidcore import create
from vidplug_timesformer.variants import VARIANTS

NAME = "timesformer/base_test"
V = VARIANTS[NAME]


def video(frames=4, height=64, width=64, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, frames, 3, height, width), dtype=torch.uint8, generator=generator)


def randomised(**options):
    extractor = create(NAME, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return extractor


def test_every_output_equals_the_library_s_own_forward():
    extractor = randomised(outputs=V.outputs)
    config = TimesformerConfig(
        image_size=64,
        num_frames=4,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
    )
    model = TimesformerModel(config).eval()
    model.load_state_dict(extractor.network.state_dict())
    clip = extractor.preprocess(video())
    with torch.no_grad():
        maps = extractor(clip)
        own = model(clip.transpose(1, 2), output_hidden_states=True)
    expected = {"features": own.last_hidden_state}
    expected |= {f"block{i}": own.hidden_states[i + 1] for i in range(V.depth)}
    for name, tokens in expected.items():
        # After the class token: rows, then columns, then steps.
        grid = tokens[:, 1:].reshape(2, 4, 4, 4, 48).permute(0, 4, 3, 1, 2)
        assert maps[name].data.shape == grid.shape
        assert (maps[name].data - grid).abs().max() < 1e-6 * tokens.abs().max(), name
    assert maps["cls"].data.shape == (2, 48, 1, 1, 1)
    assert (maps["cls"].data.flatten(1) - own.last_hidden_state[:, 0]).abs().max() < 1e-6
    assert maps["cls"].times.tolist() == [1.5]
    assert maps["features"].times.tolist() == [0, 1, 2, 3]


def test_logits_are_the_library_s_own():
    extractor = randomised(outputs=("logits", "cls"), classes="kinetics600")
    config = TimesformerConfig(
        image_size=64,
        num_frames=4,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        num_labels=600,
    )
    model = TimesformerForVideoClassification(config).eval()
    # The same tensors come back from the published names.
    published = {
        name if name.startswith("classifier.") else f"timesformer.{name}": value
        for name, value in extractor.network.state_dict().items()
    }
    model.load_state_dict(published)
    assert extractor.convert(published).keys() == extractor.state_dict().keys()
    clip = extractor.preprocess(video())
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        logits = extractor(clip)["logits"].data.flatten(1)
    assert logits.shape == (2, 600)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("step", "row", "column"), [(3, 0, 2), (1, 3, 1), (0, 1, 2)])
def test_a_patch_that_changes_is_found_at_its_own_step_row_and_column(step, row, column):
    extractor = create(NAME, outputs=("block0",))
    before = video(batch=1)
    after = before.clone()
    after[0, step, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] ^= 255
    with torch.no_grad():
        changed = extractor.features(after)["block0"].data - extractor.features(before)["block0"].data
    strength = changed.norm(dim=1)[0]
    assert strength.shape == (4, 4, 4)
    assert strength.argmax() == torch.arange(64).reshape(4, 4, 4)[step, row, column]


def test_attention_runs_along_time_at_one_place_and_across_places_of_one_step():
    """Divided attention: with the spatial half silenced, a change reaches its own place only, at every step."""
    extractor = randomised(outputs=("block0",))
    with torch.no_grad():
        spatial = extractor.network.encoder.layer[0].attention.output.dense
        spatial.weight.zero_()
        spatial.bias.zero_()
    before = video(batch=1)
    after = before.clone()
    after[0, 1, :, 32:48, 0:16] ^= 255
    with torch.no_grad():
        changed = extractor.features(after)["block0"].data - extractor.features(before)["block0"].data
    reached = changed.norm(dim=1)[0] > 1e-5
    expected = torch.zeros(4, 4, 4, dtype=torch.bool)
    expected[:, 2, 0] = True
    assert torch.equal(reached, expected)


def test_blocks_after_the_last_one_asked_for_are_not_run():
    extractor = create(NAME, outputs=("block1",))
    extractor.network.encoder.layer[2].register_forward_hook(lambda *_: pytest.fail("block 2 was run"))
    assert list(extractor.features(video())) == ["block1"]


@pytest.mark.parametrize("frames", [1, 3, 4, 16])
def test_a_video_of_any_length_gives_one_vector_per_frame(frames):
    extractor = create(NAME)
    with torch.no_grad():
        got = extractor.extract(video(frames, 50, 90))
    assert got.shape == (2, frames, 48)
    assert got.isfinite().all()
