"""The joint ViViT gives the numbers of transformers' own forward, tokens in their places, and loads the hub's files."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from transformers import VivitConfig, VivitForVideoClassification
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidcore.errors import ConfigError, WeightsError
from vidcore.testing import fake_video
from vidplug_vivit.variants import JOINT, VARIANTS

TEST = "vivit/b16x2_test"


def randomised(**options):
    """Every parameter drawn at random: class token and positions start at zero and would hide mistakes."""
    extractor = create(TEST, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in extractor.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return extractor


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_exact(name):
    spec = installed().find("extractor", name)[0].spec
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {}))
    count = sum(p.numel() for p in extractor.parameters())
    assert count == spec.parameters
    assert count == {"vivit/b16x2": 88_646_400}.get(name, count)
    if name.endswith("_test"):
        assert count <= 2_000_000


def test_the_published_network():
    spec = installed().find("extractor", "vivit")[0].spec
    assert spec.name == "vivit/b16x2"
    with torch.device("meta"):
        extractor = load_target(spec)(spec, component_config(spec, {"outputs": ("features", "cls")}))
        tokens = extractor.network.embeddings(torch.empty(1, 32, 3, 224, 224))
        maps = extractor(torch.empty(1, 3, 32, 224, 224))
    assert tokens.shape == (1, 3137, 768)
    assert maps["features"].data.shape == (1, 768, 16, 14, 14)
    assert maps["cls"].data.shape == (1, 768, 1, 1, 1)
    assert extractor.position_grids == {"network.embeddings.position_embeddings": (16, 14, 14)}


def test_every_output_equals_the_library_s_own_forward():
    extractor = randomised(outputs=JOINT[TEST].outputs)
    clip = extractor.preprocess(fake_video((2, 8, 3, 70, 90)))
    with torch.no_grad():
        maps = extractor(clip)
        own = extractor.network(clip.transpose(1, 2), output_hidden_states=True)
    expected = {"features": own.last_hidden_state[:, 1:]}
    expected |= {f"block{index}": own.hidden_states[index + 1][:, 1:] for index in range(3)}
    for output, tokens in expected.items():
        grid = tokens.reshape(2, 4, 4, 4, 48).permute(0, 4, 1, 2, 3)
        assert (maps[output].data - grid).abs().max() < 1e-6, output
    assert (maps["cls"].data.flatten(1) - own.last_hidden_state[:, 0]).abs().max() < 1e-6
    assert maps["features"].times.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert maps["cls"].times.tolist() == [3.5]


def test_a_token_that_changes_is_found_at_its_own_step_row_and_column():
    extractor = randomised(outputs=("block0",))
    # Without attention a token depends on its own tubelet alone.
    torch.nn.init.zeros_(extractor.network.layers[0].attention.o_proj.weight)
    clip = torch.randn(1, 3, 8, 64, 64, generator=torch.Generator().manual_seed(1))
    other = clip.clone()
    other[:, :, 5, 16:32, 48:] += 1
    with torch.no_grad():
        changed = (extractor(clip)["block0"].data - extractor(other)["block0"].data).abs().amax((0, 1))
    assert changed.nonzero().tolist() == [[2, 1, 3]]


@pytest.mark.parametrize(("outputs", "run"), [(("block0",), 1), (("block1", "block0"), 2), (("cls", "block0"), 3)])
def test_blocks_behind_the_last_one_asked_for_are_not_run(outputs, run):
    extractor = randomised(outputs=outputs)
    seen = []
    for layer in extractor.network.layers:
        layer.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        assert tuple(extractor(torch.zeros(1, 3, 8, 64, 64))) == outputs
    assert len(seen) == run


def test_pixels_are_the_authors_centred_on_zero_and_not_normalised_again():
    spec = installed().find("extractor", "vivit/b16x2")[0].spec
    clip = spec.clip
    assert (clip.frames, clip.stride_frames, clip.size, clip.resize_short) == (32, 2, (224, 224), 256)
    extractor = create(TEST)
    frames = torch.full((1, 8, 3, 64, 64), 255, dtype=torch.uint8)
    assert torch.allclose(extractor.preprocess(frames), torch.ones(1, 3, 8, 64, 64))
    assert torch.equal(extractor.preprocess(0 * frames), torch.full((1, 3, 8, 64, 64), -1.0))


def hub_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Today's names of the library -> those in the hub's files of 2023."""
    renamed = {}
    for name, value in state.items():
        for new, old in (
            ("vivit.layers.", "vivit.encoder.layer."),
            ("attention.q_proj", "attention.attention.query"),
            ("attention.k_proj", "attention.attention.key"),
            ("attention.v_proj", "attention.attention.value"),
            ("attention.o_proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            name = name.replace(new, old)
        renamed[name] = value.clone()
    return renamed


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(2)
    v = JOINT[TEST]
    config = VivitConfig(
        image_size=v.size,
        num_frames=v.frames,
        hidden_size=v.width,
        num_hidden_layers=v.depth,
        num_attention_heads=v.heads,
        intermediate_size=4 * v.width,
        num_labels=5,
    )
    network = VivitForVideoClassification(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("names", ["hub", "today", "bare"])
@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_the_hub_s_file_loads_as_it_is(tmp_path, classifier, names, file):
    state = classifier.state_dict()
    state = hub_names(state) if names != "today" else {name: value.clone() for name, value in state.items()}
    if names == "hub":
        assert "vivit.encoder.layer.2.attention.attention.query.weight" in state
        assert "vivit.encoder.layer.0.intermediate.dense.bias" in state
    if names == "bare":
        state = {name.removeprefix("vivit."): value for name, value in state.items()}
    (torch.save if file.endswith("bin") else save_file)(state, tmp_path / file)
    extractor = create(TEST, weights=str(tmp_path / file), outputs=("cls",))
    report = extractor.weights_report
    assert (report.matched_fraction, report.missing, report.resized) == (1.0, (), ())
    assert set(report.left_over) == {"network.classifier.weight", "network.classifier.bias"}
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        logits = classifier.classifier(extractor(clip)["cls"].data.flatten(1))
        assert torch.allclose(logits, classifier(clip.transpose(1, 2)).logits, atol=1e-5)


def test_logits_are_those_of_the_published_classifier(tmp_path, classifier):
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    torch.save(hub_names(classifier.state_dict()), tmp_path / "pytorch_model.bin")
    asked = {"weights": str(tmp_path / "pytorch_model.bin"), "classes": str(tmp_path / "names.txt")}
    extractor = create(TEST, outputs=("logits",), **asked)
    assert extractor.weights_report.missing == extractor.weights_report.left_over == ()
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected = classifier(clip.transpose(1, 2)).logits
        assert torch.allclose(extractor(clip)["logits"].data.flatten(1), expected, atol=1e-5)


def test_a_position_table_of_longer_clips_is_cut_to_fit_in_time(tmp_path, classifier):
    state = hub_names(classifier.state_dict())
    name = "vivit.embeddings.position_embeddings"
    state[name] = torch.cat([state[name], state[name][:, 1:]], 1)
    torch.save(state, tmp_path / "longer.bin")
    (resized,) = create(TEST, weights=str(tmp_path / "longer.bin")).weights_report.resized
    assert resized.rule == "8x4x4 to 4x4x4, linear in time, 1 leading tokens kept"


def test_another_kind_of_file_is_refused(tmp_path):
    torch.save({"blocks.0.weight": torch.ones(3)}, tmp_path / "other.bin")
    with pytest.raises(WeightsError, match="does not fit vivit/b16x2_test"):
        create(TEST, weights=str(tmp_path / "other.bin"))


def test_published_files_are_declared():
    weights = installed().find("extractor", "vivit/b16x2.k400")[0].spec.weights
    assert [(w.tag, w.source) for w in weights] == [
        ("k400", "hf:google/vivit-b-16x2-kinetics400/pytorch_model.bin"),
        ("k400_v2", "hf:google/vivit-b-16x2/pytorch_model.bin"),
    ]
    assert all(w.licence == "MIT" and "79.9" in w.score for w in weights)


def test_an_option_it_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="size"):
        create(TEST, size=128)


def test_the_plain_form():
    got = create(TEST).extract(fake_video((2, 16, 3, 64, 64)))
    assert got.shape == (2, 16, 48) and got.isfinite().all()
