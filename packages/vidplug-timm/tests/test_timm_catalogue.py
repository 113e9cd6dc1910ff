"""The frozen catalogue says what the installed timm says, and reading it is quick."""

from __future__ import annotations

import sys

import pytest
import timm
from vidcore.catalog import installed
from vidplug_timm import freeze
from vidplug_timm.tiny import TINY
from vidplug_timm.variants import CLIPS, LEFT_OUT, LICENCES, TIMM_VERSION, TRAINED_ON, VARIANTS

same_timm = pytest.mark.skipif(
    timm.__version__ != TIMM_VERSION, reason=f"the catalogue is of timm {TIMM_VERSION}, installed is {timm.__version__}"
)
AGAIN = "run: python -m vidplug_timm.freeze"


@same_timm
def test_the_catalogue_names_every_architecture_of_the_installed_timm():
    known = {name.removeprefix("timm/") for name in VARIANTS} | LEFT_OUT.keys()
    assert known == {*timm.list_models(), *TINY}, AGAIN
    assert not LEFT_OUT.keys() & {name.removeprefix("timm/") for name in VARIANTS}
    assert all(LEFT_OUT.values())


@same_timm
def test_the_catalogue_names_every_published_set_of_weights():
    listed = {f"{v.name}.{tag}" for v in VARIANTS.values() for tag, *_ in v.weights}
    published = {name for name in timm.list_pretrained() if "." in name and name.partition(".")[0] not in LEFT_OUT}
    assert listed == published, AGAIN


# Small networks of every layout and of odd strides: a deterministic sample of what freezing computes.
@same_timm
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "lcnet_050", "test_vit3", *TINY])
def test_facts_are_those_of_the_network(name):
    found = freeze._describe(name)
    assert "left_out" not in found, found
    p, v = found["probe"], VARIANTS[f"timm/{name}"]
    facts = (p.parameters, p.layout, p.width, *p.stride, p.rounding, p.pooled, p.prefix, p.cls, p.token)
    assert facts == v[1:11], AGAIN
    assert found["clip"] == CLIPS[v.clip]
    weights = [(tag, CLIPS[clip], LICENCES[licence], TRAINED_ON[on]) for tag, clip, licence, on, *_ in v.weights]
    assert found["weights"] == weights, AGAIN


@same_timm
def test_what_gives_several_maps_is_left_out_and_says_why():
    assert freeze._describe("crossvit_9_240") == {
        "name": "crossvit_9_240",
        "left_out": "forward_features gives a list",
    }
    assert LEFT_OUT["crossvit_9_240"] == "forward_features gives a list"


def test_data_sets_are_those_the_tag_names_in_the_order_of_training():
    assert freeze.trained_on("augreg_in21k_ft_in1k") == "ImageNet-21k, then ImageNet-1k"
    assert freeze.trained_on("clip_laion2b_ft_in12k_in1k") == "LAION-2B, then ImageNet-12k, then ImageNet-1k"
    assert freeze.trained_on("mae") == ""


def test_scores_are_read_from_timm_s_results_or_kept(tmp_path):
    results = tmp_path / "results.csv"
    results.write_text("model,img_size,top1\nresnet18.a1_in1k,96,1.496\n")
    known = freeze.scores()
    assert known["resnet50.tv2_in1k"] == (79.43, 176)
    assert known["mobilenetv4_conv_small.e1200_r224_in1k"] == (73.45, 224)
    assert freeze.scores(results) == known | {"resnet18.a1_in1k": (1.5, 96)}
    spec = installed().find("extractor", "timm/resnet50")[0].spec
    stated = {weights.tag: weights.score for weights in spec.weights}
    assert stated["tv2_in1k"] == "ImageNet-1k top-1 79.43 % at 176 pixels"
    assert stated["bamboo"] == ""


def test_a_score_measured_at_another_size_than_the_clip_says_so():
    sizes = {(v.name, w[0]): (w[5], CLIPS[w[1]][0]) for v in VARIANTS.values() for w in v.weights if w[4]}
    assert {name for name, (measured, own) in sizes.items() if measured != own} == {
        ("convnext_tiny", "fb_in22k_ft_in1k")
    }
    spec = installed().find("extractor", "timm/convnext_tiny")[0].spec
    info = next(w for w in spec.weights if w.tag == "fb_in22k_ft_in1k")
    assert info.score.endswith("at 288 pixels") and (info.clip or spec.clip).size == (224, 224)


def test_weights_are_addressed_by_timm_s_names():
    spec = installed().find("extractor", "timm/vit_base_patch16_224")[0].spec
    info = next(w for w in spec.weights if w.tag == "augreg_in21k_ft_in1k")
    assert info.source == "timm:vit_base_patch16_224.augreg_in21k_ft_in1k"
    assert (info.licence, info.trained_on) == ("apache-2.0", "ImageNet-21k, then ImageNet-1k")
    entry, tag = installed().find("extractor", "timm/vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert (entry.spec, tag) == (spec, "augreg_in21k_ft_in1k")


def test_the_catalogue_is_small():
    assert freeze.PATH.stat().st_size < 300_000


def test_declaring_shares_what_is_equal():
    specs = [e.spec for e in installed().entries("extractor") if e.spec.family == "timm"]
    # Each clip and each set of outputs is one object however many variants have it.
    assert len({id(spec.clip) for spec in specs}) <= len(CLIPS)
    assert len({id(spec.outputs) for spec in specs}) == len(
        {tuple((name, sys.intern(repr(info))) for name, info in spec.outputs.items()) for spec in specs}
    )
