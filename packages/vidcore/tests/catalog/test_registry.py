from __future__ import annotations

import types

import pytest
from vidcore.catalog import Plugin, Registry, closest
from vidcore.errors import NameCollisionError, PluginError, UnknownNameError
from vidcore.plugin import ExtractorSpec, FeatureInfo, FusionSpec, hookimpl


def extractor(name, **more):
    return ExtractorSpec(
        name=name, target="a.b:C", config="a.b:D", summary="s", outputs={"map": FeatureInfo(4)}, **more
    )


def plugin(distribution, *specs, error=None):
    return Plugin("p", distribution, "1", "m", specs=specs, error=error)


@pytest.fixture
def registry():
    return Registry(
        [
            plugin(
                "vidplug-dinov2",
                extractor("dinov2/vits14"),
                extractor("dinov2/vitb14", default=True),
                extractor("dinov2/vitl14"),
            ),
            plugin("vidplug-slowfast", extractor("slowfast/r50_8x8"), extractor("slowfast/r101_8x8")),
            plugin("vidplug-broken", error="ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
            plugin("vidplug-mix", FusionSpec(name="mix", target="a.b:C", config="a.b:D", summary="s")),
        ]
    )


def test_exact_name_family_and_tag(registry):
    def names(name):
        entry, tag = registry.find("extractor", name)
        return entry.spec.name, tag

    assert names("dinov2/vits14") == ("dinov2/vits14", None)
    assert names("dinov2/vits14.lvd142m") == ("dinov2/vits14", "lvd142m")
    assert names("dinov2/vits14.a.b") == ("dinov2/vits14", "a.b")
    assert names("dinov2") == ("dinov2/vitb14", None), "the variant marked default"
    assert names("slowfast") == ("slowfast/r50_8x8", None), "else the first one declared"
    assert names("slowfast.k400") == ("slowfast/r50_8x8", "k400")


def test_unknown_name_says_what_is_near_what_failed_and_what_to_type(registry):
    with pytest.raises(UnknownNameError) as caught:
        registry.find("extractor", "dinov2/vit_s14")
    assert str(caught.value) == (
        "no extractor named 'dinov2/vit_s14'\n"
        "  did you mean: dinov2/vits14, dinov2/vitl14, dinov2/vitb14\n"
        "  plugin that failed to load: vidplug-broken "
        "(ModuleNotFoundError: No module named 'a_module_that_is_not_there')\n"
        "  5 installed; see them with: vidcore list-models"
    )


def test_a_name_of_another_kind_is_pointed_out(registry):
    with pytest.raises(UnknownNameError, match="there is a fusion of that name"):
        registry.find("extractor", "mix")
    with pytest.raises(UnknownNameError, match="vidcore list-models --kind fusion"):
        registry.find("fusion", "mixx")


def test_find_any_searches_every_kind(registry):
    assert registry.find_any("mix").spec.kind == "fusion"
    assert registry.find_any("slowfast").spec.name == "slowfast/r50_8x8"
    with pytest.raises(UnknownNameError, match="no component named 'mxi'\n  did you mean: mix"):
        registry.find_any("mxi")
    registry.add(plugin("vidplug-both", extractor("mix")))
    with pytest.raises(UnknownNameError, match="'mix' is both extractor and fusion; say which with --kind"):
        registry.find_any("mix")


def test_two_plugins_with_one_name_collide_when_it_is_used(registry):
    registry.add(plugin("vidplug-other", extractor("slowfast/r50_8x8"), extractor("other/x")))
    with pytest.raises(NameCollisionError) as caught:
        registry.find("extractor", "slowfast/r50_8x8")
    assert "declared by vidplug-slowfast and vidplug-other" in str(caught.value)
    assert "pip uninstall vidplug-other" in str(caught.value)
    assert registry.find("extractor", "other/x")[0].plugin.distribution == "vidplug-other"
    assert registry.collisions() == {("extractor", "slowfast/r50_8x8"): ["vidplug-slowfast", "vidplug-other"]}
    assert "slowfast/r50_8x8" not in [entry.spec.name for entry in registry.entries("extractor")]


def test_closest_knows_variants_without_their_family():
    names = ["dinov2/vits14", "slowfast/r50_8x8", "x3d/m"]
    assert closest("r50_8x8", names) == ["slowfast/r50_8x8"]
    assert closest("slowfest/r50_8x8", names) == ["slowfast/r50_8x8"]
    assert closest("nothing_like_it", names) == []


def module(**functions):
    made = types.ModuleType("declares")
    for name, function in functions.items():
        setattr(made, name, function)
    return made


def test_register_takes_a_module_of_this_process():
    registry = Registry()

    @hookimpl
    def vidcore_extractors():
        return [extractor("mine/x")]

    registry.register(module(vidcore_extractors=vidcore_extractors))
    assert registry.find("extractor", "mine")[0].plugin.distribution == "(this process)"


def test_a_misspelt_hook_is_refused_by_name():
    @hookimpl
    def vidcore_extractor():
        return []

    with pytest.raises(PluginError, match=r"unknown hook 'vidcore_extractor'.*the hooks are vidcore_extractors"):
        Registry().register(module(vidcore_extractor=vidcore_extractor))


def test_a_hook_with_arguments_is_refused():
    @hookimpl
    def vidcore_extractors(registry):
        return []

    with pytest.raises(PluginError, match="vidcore_extractors"):
        Registry().register(module(vidcore_extractors=vidcore_extractors))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("a string", "returned str; expected a list of specs"),
        (["x"], "expected extractor specs only"),
        ([FusionSpec(name="f", target="a:B", config="a:C", summary="s")], "expected extractor specs only"),
        ([extractor("a/x"), extractor("a/x")], "extractor 'a/x' is declared 2 times by this plugin"),
    ],
)
def test_nonsense_from_a_hook_is_refused(answer, message):
    @hookimpl
    def vidcore_extractors():
        return answer

    with pytest.raises(PluginError, match=message):
        Registry().register(module(vidcore_extractors=vidcore_extractors))


def test_a_module_without_hooks_is_refused():
    with pytest.raises(PluginError, match="answers no hook"):
        Registry().register(module())
