"""The extractors give the numbers of timm's own forward, each place where it was in the frame."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from vidcore import create
from vidcore.catalog import installed, load_target
from vidcore.config import component_config
from vidplug_timm.tiny import TINY


def video(frames: int = 2, side: int = 64, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (batch, frames, 3, side, side), dtype=torch.uint8, generator=generator)


def own_network(name: str, extractor) -> torch.nn.Module:
    """timm's network with the extractor's weights, built without this package."""
    architecture, options = TINY[name]
    network = timm.create_model(architecture, num_classes=0, **options).eval()
    network.load_state_dict(extractor.network.state_dict())
    return network


@pytest.mark.parametrize("name", TINY)
def test_every_output_equals_timm_s_own_forward(name):
    torch.manual_seed(0)
    outputs = tuple(installed().find("extractor", f"timm/{name}")[0].spec.outputs)
    extractor = create(f"timm/{name}", outputs=outputs)
    network = own_network(name, extractor)
    clip = extractor.preprocess(video())
    with torch.no_grad():
        maps = extractor(clip)
        for row in range(2):
            for step in range(2):
                frame = clip[row : row + 1, :, step]
                features = network.forward_features(frame)
                expected = {"pooled": network(frame)[0, :, None, None]}
                if name == "vit_test":
                    expected["cls"] = features[0, 0, :, None, None]
                    expected["features"] = features[0, 1:].reshape(4, 4, -1).permute(2, 0, 1)
                else:
                    expected["features"] = features[0] if name == "convnext_test" else features[0].permute(2, 0, 1)
                assert maps.keys() == expected.keys()
                for output, values in expected.items():
                    got = maps[output].data[row, :, step]
                    assert got.shape == values.shape
                    assert (got - values).abs().max() < 1e-6 * values.abs().max().clamp(min=1), output


@pytest.mark.parametrize("name", TINY)
def test_logits_are_those_of_timm_s_own_classifier_frame_by_frame(name):
    torch.manual_seed(0)
    extractor = create(f"timm/{name}", outputs=("logits", "probabilities"), classes="imagenet1k")
    architecture, options = TINY[name]
    network = timm.create_model(architecture, num_classes=1000, **options).eval()
    network.load_state_dict(extractor.network.state_dict())
    clip = extractor.preprocess(video())
    with torch.no_grad():
        maps = extractor(clip)
        expected = torch.stack([network(clip[:, :, step]) for step in range(2)], 2)
    assert maps["logits"].data.shape == (2, 1000, 2, 1, 1)
    assert (maps["logits"].data[..., 0, 0] - expected).abs().max() < 1e-5 * expected.abs().max()
    assert torch.allclose(maps["probabilities"].data[..., 0, 0], expected.softmax(1), atol=1e-6)


def test_every_classifier_of_imagenet_1k_is_declared_and_no_other():
    unlabelled = {"timm:resmlp_12_224.fb_dino", "timm:resmlp_24_224.fb_dino"}
    for entry in installed().entries("extractor"):
        for weights in entry.spec.weights if entry.spec.family == "timm" else ():
            classes = timm.models.get_pretrained_cfg(weights.source.removeprefix("timm:")).num_classes
            own = classes == 1000 and weights.source not in unlabelled
            assert weights.classes == ("imagenet1k" if own else ""), weights.source


@pytest.mark.parametrize("name", TINY)
def test_a_place_that_changes_is_found_at_its_own_step_row_and_column(name):
    torch.manual_seed(0)
    extractor = create(f"timm/{name}", outputs=("features",))
    before = video(3, batch=1)
    rows = extractor.features(before)["features"].data.shape[3]
    side = 64 // rows
    for step, row, column in ((2, 0, rows - 1), (1, 1, 0)):
        after = before.clone()
        after[0, step, :, row * side : (row + 1) * side, column * side : (column + 1) * side] ^= 255
        with torch.no_grad():
            changed = extractor.features(after)["features"].data - extractor.features(before)["features"].data
        strength = changed.norm(dim=1)[0]
        assert strength.argmax() == torch.arange(3 * rows * rows).reshape(3, rows, rows)[step, row, column]
        assert strength[torch.arange(3) != step].max() == 0


def test_the_default_output_is_the_vector_timm_s_classifier_reads():
    specs = {
        name: installed().find("extractor", f"timm/{name}")[0].spec for name in ("vit_base_patch16_224", "resnet18")
    }
    vit = specs["vit_base_patch16_224"]
    assert (vit.default_output, vit.width, vit.parameters) == ("cls", 768, 85_798_656)
    assert vit.outputs["features"].shape(3, 224, 224) == (768, 3, 14, 14)
    assert (specs["resnet18"].default_output, specs["resnet18"].width) == ("pooled", 512)
    assert installed().find("extractor", "timm")[0].spec is vit


def test_weights_bring_their_own_clip():
    spec = installed().find("extractor", "timm/resnet18")[0].spec
    clips = {}
    for tag in ("a1_in1k", "a3_in1k", "tv_in1k"):
        with torch.device("meta"):
            clip = load_target(spec)(spec, component_config(spec, {"weights": tag})).clip
        clips[tag] = (clip.size, clip.resize_short, clip.interpolation)
    # timm's pages of the models: 224 / 0.95, 160 / 0.95 and torchvision's 256 bilinear.
    assert clips == {
        "a1_in1k": ((224, 224), 235, "bicubic"),
        "a3_in1k": ((160, 160), 168, "bicubic"),
        "tv_in1k": ((224, 224), 256, "bilinear"),
    }


def test_preprocessing_is_timm_s_own():
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    extractor = create("timm/test_vit")
    pixels = video(1, 200, 1)
    transform = create_transform(**resolve_data_config(model=timm.create_model("test_vit", num_classes=0)))
    expected = transform(Image.fromarray(pixels[0, 0].permute(1, 2, 0).numpy()))
    got = extractor.preprocess(pixels)[0, :, 0]
    # Pillow and torch round a resized pixel differently by at most one of 255, over a std of 0.5.
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= 1.01 * 2 / 255


def test_a_file_of_timm_loads_whole(tmp_path: Path):
    torch.manual_seed(3)
    published = timm.create_model("test_convnext")
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    extractor = create("timm/test_convnext", weights=str(tmp_path / "model.safetensors"))
    report = extractor.weights_report
    assert report.matched_fraction == 1.0 and not report.missing
    assert {name.removeprefix("network.") for name in report.left_over} == {"head.fc.weight", "head.fc.bias"}
    frames = extractor.preprocess(video(1))
    with torch.no_grad():
        expected = published.eval().forward_head(published.forward_features(frames[:, :, 0]), pre_logits=True)
        assert (extractor(frames)["pooled"].data[:, :, 0, 0, 0] - expected).abs().max() < 1e-6


def test_an_authors_file_goes_through_timm_s_own_rules():
    extractor = create("timm/test_convnext")
    own = extractor.network.state_dict()
    # How the authors of ConvNeXt name the parts of their files.
    theirs = {}
    for name, value in own.items():
        for ours, published in (
            ("stem.", "downsample_layers.0."),
            (".conv_dw.", ".dwconv."),
            (".mlp.fc1.", ".pwconv1."),
            (".mlp.fc2.", ".pwconv2."),
            ("head.norm.", "norm."),
        ):
            name = name.replace(ours, published)
        name = re.sub(r"stages\.(\d)\.blocks\.", r"stages.\1.", name)
        theirs[re.sub(r"stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)] = value
    assert not theirs.keys() & {name for name in own if name.startswith("stages")} - {n for n in own if ".gamma" in n}
    converted = extractor.convert(theirs)
    assert converted.keys() == {f"network.{name}" for name in own}
    assert all(torch.equal(converted[f"network.{name}"], value) for name, value in own.items())


def test_real_weights_give_timm_s_features(shared_data: Path):
    file = shared_data / "weights" / "tf_efficientnet_lite0.safetensors"
    if not file.is_file():
        pytest.skip(f"no {file.name} among the shared data")
    extractor = create("timm/tf_efficientnet_lite0", weights=str(file), outputs=("features", "pooled"))
    report = extractor.weights_report
    assert report.matched_fraction == 1.0
    assert not report.missing and all("classifier" in name for name in report.left_over)
    own = timm.create_model("tf_efficientnet_lite0").eval()
    own.load_state_dict(load_file(file))
    clip = extractor.preprocess(video(1, 224, 1))
    with torch.no_grad():
        maps = extractor(clip)
        features = own.forward_features(clip[:, :, 0])
        assert (maps["features"].data[:, :, 0] - features).abs().max() < 1e-6
        logits = own.classifier(maps["pooled"].data[:, :, 0, 0, 0])
        assert (logits - own(clip[:, :, 0])).abs().max() < 1e-5
