from __future__ import annotations

import json

import pytest
from vidcore.catalog import spec_as_dict
from vidcore.errors import PluginError
from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, FusionSpec, WeightsInfo


def spec(**changes):
    fields = {
        "name": "fam/small",
        "target": "pkg.mod:Cls",
        "config": "pkg.config:Cfg",
        "summary": "a thing",
        "outputs": {"map": FeatureInfo(8, (2, 4, 4)), "cls": FeatureInfo(16)},
    }
    return ExtractorSpec(**(fields | changes))


@pytest.mark.parametrize(
    ("info", "clip", "shape"),
    [
        (FeatureInfo(8, (2, 4, 4)), (16, 64, 48), (8, 8, 16, 12)),
        (FeatureInfo(8, (2, 4, 4)), (5, 7, 9), (8, 3, 2, 3)),
        (FeatureInfo(8, (2, 4, 4), rounding="floor"), (5, 7, 9), (8, 2, 1, 2)),
        (FeatureInfo(8), (5, 7, 9), (8, 5, 1, 1)),
        (FeatureInfo(8, (None, None, None)), (5, 7, 9), (8, 1, 1, 1)),
    ],
)
def test_shape_follows_strides(info, clip, shape):
    assert info.shape(*clip) == shape


def test_first_output_is_the_default_and_gives_the_width():
    assert spec().default_output == "map"
    assert spec().width == 8
    assert spec().family == "fam"


@pytest.mark.parametrize("name", ["Upper/x", "a b", "fam/", "/x", "fam/x/y", ""])
def test_malformed_names_are_refused(name):
    with pytest.raises(PluginError, match="is not of the form 'family' or 'family/variant'"):
        spec(name=name)


@pytest.mark.parametrize("field", ["target", "config"])
def test_malformed_targets_are_refused(field):
    with pytest.raises(PluginError, match=f"{field} 'pkg.mod.Cls' is not of the form"):
        spec(**{field: "pkg.mod.Cls"})


def test_a_spec_without_outputs_or_summary_is_refused():
    with pytest.raises(PluginError, match="declares no outputs"):
        spec(outputs={})
    with pytest.raises(PluginError, match="summary is empty"):
        spec(summary="")


def test_specs_are_frozen():
    with pytest.raises(AttributeError):
        spec().name = "other"


def test_spec_as_dict_is_plain_json():
    declared = spec(clip=ClipFormat(frames=8), weights=(WeightsInfo(tag="k400", source="hf:a/b/c"),))
    data = json.loads(json.dumps(spec_as_dict(declared)))
    assert data["kind"] == "extractor"
    assert data["outputs"]["map"] == {"dim": 8, "stride": [2, 4, 4], "rounding": "ceil"}
    assert data["clip"]["frames"] == 8
    assert data["weights"][0]["tag"] == "k400"
    fusion = FusionSpec(name="f", target="a:B", config="a:C", summary="s")
    assert spec_as_dict(fusion)["kind"] == "fusion"
