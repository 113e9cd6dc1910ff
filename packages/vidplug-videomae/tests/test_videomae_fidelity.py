"""The extractor gives the numbers of transformers' own forward, and puts each token where it was."""

from __future__ import annotations

import pytest
import torch
from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEModel
from vidcore import create
from vidplug_videomae.variants import VARIANTS

NAME = "videomae/base_test"
V = VARIANTS[NAME]


def randomised(**options):
    extractor = create(NAME, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return extractor


def video(frames=16, height=64, width=64, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, frames, 3, height, width), dtype=torch.uint8, generator=generator)


def reference(extractor, **options):
    """The library's model, built apart from the extractor, with its weights."""
    config = VideoMAEConfig(
        image_size=64,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        layer_norm_eps=1e-6,
        **options,
    )
    model = VideoMAEModel(config).eval()
    result = model.load_state_dict(extractor.network.state_dict(), strict=False)
    with torch.no_grad():
        for name in result.missing_keys:
            # Older versions of the library have a key bias, which the publication has not.
            assert name.endswith("attention.key.bias")
            model.get_parameter(name).zero_()
    return model


def test_every_output_equals_the_library_s_own_forward():
    extractor = randomised(outputs=V.outputs)
    model = reference(extractor, use_mean_pooling=False)
    clip = extractor.preprocess(video())
    with torch.no_grad():
        maps = extractor(clip)
        own = model(clip.transpose(1, 2), output_hidden_states=True)
    expected = {"features": own.last_hidden_state}
    expected |= {f"block{i}": own.hidden_states[i + 1] for i in range(V.depth)}
    for name, tokens in expected.items():
        # Tokens run over steps, then rows, then columns.
        grid = tokens.reshape(2, 8, 4, 4, 48).permute(0, 4, 1, 2, 3)
        assert maps[name].data.shape == grid.shape
        assert (maps[name].data - grid).abs().max() < 1e-6, name
    mean = own.hidden_states[V.depth].mean(1)
    norm = extractor.network.layernorm
    pooled = torch.nn.functional.layer_norm(mean, (48,), norm.weight, norm.bias, 1e-6)
    assert maps["pooled"].data.shape == (2, 48, 1, 1, 1)
    assert (maps["pooled"].data.flatten(1) - pooled).abs().max() < 1e-6
    assert maps["pooled"].times.tolist() == [7.5]
    assert maps["features"].times.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5]


def test_the_final_norm_is_applied_where_the_mean_pooling_flag_would_leave_it_off():
    extractor = randomised()
    clip = extractor.preprocess(video())
    with torch.no_grad():
        features = extractor(clip)["features"].data
        bare = reference(WithoutNorm(extractor), use_mean_pooling=True)(clip.transpose(1, 2))
        normed = extractor.network.layernorm(bare.last_hidden_state)
    assert (features.flatten(2).transpose(1, 2) - normed).abs().max() < 1e-6
    assert (features.flatten(2).transpose(1, 2) - bare.last_hidden_state).abs().max() > 1e-2


class WithoutNorm:
    """The extractor's network as the mean-pooling flag has it."""

    def __init__(self, extractor):
        self.network = self
        self.tensors = {k: v for k, v in extractor.network.state_dict().items() if not k.startswith("layernorm.")}

    def state_dict(self):
        return self.tensors


@pytest.mark.parametrize(("step", "row", "column"), [(5, 0, 3), (2, 3, 1)])
def test_a_patch_that_changes_is_found_at_its_own_step_row_and_column(step, row, column):
    extractor = create(NAME, outputs=("block0",))
    before = video(batch=1)
    after = before.clone()
    after[0, 2 * step, :, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] ^= 255
    with torch.no_grad():
        changed = extractor.features(after)["block0"].data - extractor.features(before)["block0"].data
    strength = changed.norm(dim=1)[0]
    assert strength.shape == (8, 4, 4)
    assert strength.argmax() == torch.arange(128).reshape(8, 4, 4)[step, row, column]


def test_blocks_after_the_last_one_asked_for_are_not_run():
    extractor = create(NAME, outputs=("block1",))
    extractor.network.encoder.layer[2].register_forward_hook(lambda *_: pytest.fail("block 2 was run"))
    assert list(extractor.features(video())) == ["block1"]


@pytest.mark.parametrize("frames", [1, 6, 16, 21])
def test_a_video_of_any_length_gives_one_vector_per_frame(frames):
    extractor = create(NAME)
    with torch.no_grad():
        got = extractor.extract(video(frames, 50, 90))
    assert got.shape == (2, frames, 48)
    assert got.isfinite().all()


def test_logits_are_the_library_s_own():
    extractor = randomised(outputs=("logits",), classes="ssv2")
    config = VideoMAEConfig(
        image_size=64,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        layer_norm_eps=1e-6,
        use_mean_pooling=True,
        num_labels=174,
    )
    model = VideoMAEForVideoClassification(config).eval()
    # The classification model's own norm behind the mean has a fixed epsilon.
    model.fc_norm.eps = 1e-6
    published = {}
    for name, value in extractor.network.state_dict().items():
        name = name.replace("layernorm.", "fc_norm.") if name.startswith("layernorm.") else name
        published[name if name.startswith(("classifier.", "fc_norm.")) else f"videomae.{name}"] = value
    result = model.load_state_dict(published, strict=False)
    assert result.unexpected_keys == []
    with torch.no_grad():
        for name in result.missing_keys:
            assert name.endswith("attention.key.bias")
            model.get_parameter(name).zero_()
    assert extractor.convert(published).keys() == extractor.state_dict().keys()
    clip = extractor.preprocess(video())
    with torch.no_grad():
        expected = model(clip.transpose(1, 2)).logits
        logits = extractor(clip)["logits"].data.flatten(1)
    assert logits.shape == (2, 174)
    assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()
