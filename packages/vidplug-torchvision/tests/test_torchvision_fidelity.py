"""Our features are those that torchvision's own classifiers read, and every declared fact is torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model, get_weight
from vidcore.assemble import create
from vidcore.catalog import installed
from vidplug_torchvision.network import build, build_whole
from vidplug_torchvision.variants import VARIANTS

PUBLISHED = [name for name, variant in VARIANTS.items() if variant.enum]


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_torchvision_s(name):
    variant = VARIANTS[name]
    with torch.device("meta"):
        whole = get_model(variant.builder)
        held = build(name)
    assert sum(p.numel() for p in whole.parameters()) == variant.published_parameters
    assert sum(p.numel() for p in held.parameters()) == variant.parameters


@pytest.mark.parametrize("name", PUBLISHED)
def test_declared_clips_and_scores_are_those_of_the_weights(name):
    spec = installed().find("extractor", name)[0].spec
    for declared, (member, _, top1) in zip(spec.weights, VARIANTS[name].scores, strict=True):
        weights = get_weight(declared.source.removeprefix("torchvision:"))
        transform = weights.transforms()
        assert weights.name == member
        assert weights.meta["_metrics"]["Kinetics-400"]["acc@1"] == top1
        assert list(spec.clip.size) == transform.crop_size
        assert [list(spec.clip.resize_to)] if spec.clip.resize_to else [spec.clip.resize_short] == transform.resize_size
        assert list(spec.clip.mean) == list(transform.mean)
        assert list(spec.clip.std) == list(transform.std)
        assert f"frame_rate={spec.clip.fps:g}" in weights.meta["_docs"]


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [
        ("torchvision/r3d_18", 4, 64),
        ("torchvision/mc3_18", 2, 64),
        ("torchvision/r2plus1d_18", 4, 64),
        ("torchvision/mvit_v1_b_test", 16, 64),
        ("torchvision/mvit_v2_s_test", 16, 64),
        ("torchvision/swin3d_t", 2, 64),
    ],
)
def test_features_are_what_the_published_classifier_reads(name, frames, size):
    variant = VARIANTS[name]
    torch.manual_seed(0)
    whole = build_whole(name).eval()
    output = {"mvit": "cls"}.get(variant.family)
    extractor = create(name, **({"outputs": (output,)} if output else {}))
    left = extractor.load_state_dict(extractor.convert(whole.state_dict()), strict=False)
    assert left.missing_keys == []
    assert {key.split(".")[0] for key in left.unexpected_keys} <= {"fc", "classifier", "head"}
    clip = torch.randn(1, 3, frames, size, size)
    with torch.no_grad():
        data = extractor(clip)[extractor.output_names[0]].data
        logits = (whole.fc if variant.family == "resnet" else whole.head)(data.mean((2, 3, 4)))
        expected = whole(clip)
    assert torch.linalg.vector_norm(logits - expected) <= 1e-5 * torch.linalg.vector_norm(expected)
    assert_classified(name, whole, clip, expected)


def assert_classified(name, whole, clip, expected):
    extractor = create(name, outputs=("logits", "probabilities"), classes="kinetics400")
    extractor.load_state_dict(extractor.convert(whole.state_dict()))
    with torch.no_grad():
        maps = extractor(clip)
    for values, wanted in ((maps["logits"], expected), (maps["probabilities"], expected.softmax(1))):
        got = values.data.flatten(1)
        assert torch.linalg.vector_norm(got - wanted) <= 1e-5 * torch.linalg.vector_norm(wanted)


def test_s3d_features_are_what_its_classifier_reads():
    torch.manual_seed(0)
    whole = build_whole("torchvision/s3d").eval()
    extractor = create("torchvision/s3d")
    extractor.load_state_dict(extractor.convert(whole.state_dict()), strict=False)
    clip = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        data = extractor(clip)["features"].data
        logits = whole.classifier(whole.avgpool(data)).mean((2, 3, 4))
        expected = whole(clip)
    assert torch.linalg.vector_norm(logits - expected) <= 1e-5 * torch.linalg.vector_norm(expected)
    assert_classified("torchvision/s3d", whole, clip, expected)


@pytest.mark.parametrize("name", ["torchvision/r3d_18_test", "torchvision/s3d_test", "torchvision/mvit_v2_s_test"])
def test_a_step_is_centred_where_its_time_says(name):
    # Brightness in one frame moves the steps around that frame most: the time of the largest change is near.
    torch.manual_seed(0)
    extractor = create(name)
    stride = extractor.outputs[extractor.output_names[0]].stride[0]
    video = torch.full((1, 64 if stride == 8 else 16, 3, 32, 32), 128, dtype=torch.uint8)
    changed = video.clone()
    at = video.shape[1] // 2
    changed[:, at] = 255
    with torch.no_grad():
        before, after = (extractor.features(v)[extractor.output_names[0]] for v in (video, changed))
    difference = (after.data - before.data).abs().sum((0, 1, 3, 4))
    centre = float((difference * before.times).sum() / difference.sum())
    assert abs(centre - at) <= stride


def test_published_files_load_as_they_are(tmp_path):
    torch.manual_seed(0)
    whole = get_model("r2plus1d_18")
    torch.save(whole.state_dict(), tmp_path / "r2plus1d_18-91a641e6.pth")
    extractor = create("torchvision/r2plus1d_18", weights=str(tmp_path / "r2plus1d_18-91a641e6.pth"))
    assert torch.equal(extractor.network.stem[0].weight, whole.stem[0].weight)
    report = extractor.weights_report
    assert report.matched_fraction == 1
    assert list(report.missing) == []
    assert sorted(report.left_over) == ["fc.bias", "fc.weight"]
