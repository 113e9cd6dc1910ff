"""Class names of published classifiers, how they are matched to the data's, and what the head says."""

from __future__ import annotations

import numpy as np
import pytest
from vidcore.catalog import ExtractorSpec, HeadSpec, class_names, installed, label_set_of
from vidcore.config import Choice, ExtractorChoice, RunConfig, component_config
from vidcore.config.classifier import has_classifier, with_classifier
from vidcore.errors import ConfigError, WiringError
from vidcore.heads._published import Published, match_notes, matched
from vidcore.heads.base import TargetInfo

NAMES = ("shaking hands", "punching person (boxing)", "side kick", "drop kicking", "tench, Tinca tinca")
K400 = ("i3d/inception.k400", {})


def head(classes, averages="logits", **options):
    spec = installed().get(HeadSpec, "published")
    config = component_config(spec, {"classes": NAMES, "averages": averages, **options})
    return Published(spec, config, TargetInfo("class", classes, (1,) * len(classes)))


@pytest.mark.parametrize(
    ("label_set", "count", "first", "last"),
    [
        ("kinetics400", 400, "abseiling", "zumba"),
        ("kinetics600", 600, "abseiling", "zumba"),
        ("ssv2", 174, "Approaching something with your camera", "Wiping something off of something"),
        ("imagenet1k", 1000, "tench, Tinca tinca", "toilet tissue, toilet paper, bathroom tissue"),
    ],
)
def test_label_sets_that_come_along(label_set, count, first, last):
    names = class_names(label_set)
    assert (len(names), names[0], names[-1]) == (count, first, last)


def test_every_label_set_that_weights_name_is_there():
    sets = {w.classes for e in installed().entries("extractor") for w in e.spec.weights if w.classes}
    assert all(class_names(label_set) for label_set in sets)


def test_a_file_of_names_and_what_is_refused(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("kick\n\n push \n")
    assert class_names(str(path)) == ("kick", "push")
    path = tmp_path / "twice.txt"
    path.write_text("kick\nkick\n")
    with pytest.raises(ConfigError, match="'kick' is there twice"):
        class_names(str(path))
    with pytest.raises(ConfigError, match=r"no label set 'kinetics4000'.*\n.*imagenet1k, kinetics400"):
        class_names("kinetics4000")


def test_weights_without_a_classifier_say_which_have_one():
    spec = installed().get(ExtractorSpec, "videomae/base")
    assert label_set_of(spec, "ssv2") == "ssv2"
    assert label_set_of(spec, "some/file.bin") == "kinetics400"
    with pytest.raises(ConfigError, match=r"videomae/base.k400_mae have no classifier.*\n.*videomae/base.k400"):
        label_set_of(spec, "k400_mae")
    with pytest.raises(ConfigError, match="'dinov2/vits14' has no published classifier"):
        label_set_of(installed().get(ExtractorSpec, "dinov2/vits14"), None)


def test_names_match_whatever_their_case_and_separators_and_by_synonym():
    found = matched(("Shaking_Hands", "tench", "punching", "side-kick"), NAMES, None)
    assert found == {"Shaking_Hands": (0,), "tench": (4,), "punching": (), "side-kick": (2,)}
    mapped = matched(("kicking", "punching"), NAMES, {"kicking": ("side kick", "drop_kicking"), "punching": NAMES[1]})
    assert mapped == {"kicking": (2, 3), "punching": (1,)}
    with pytest.raises(ConfigError, match=r"'kicking' is to be 'side kik'.*did you mean 'side kick'"):
        matched(("kicking",), NAMES, {"kicking": "side kik"})


def test_probabilities_are_summed_over_classes_that_stand_for_a_label():
    classes = ("kicking", "pointing", "shaking_hands")
    label_map = {"kicking": ["side kick", "drop kicking"]}
    logits = np.log(np.array([[0.1, 0.4, 0.2, 0.2, 0.1], [0.3, 0.5, 0.05, 0.05, 0.1]]))
    expected = [[0.8, 0, 0.2], [0.25, 0, 0.75]]
    assert np.allclose(head(classes, label_map=label_map).predict(logits + 3.0), expected)
    assert np.allclose(head(classes, "probabilities", label_map=label_map).predict(np.exp(logits)), expected)
    # Where all of it is zero, every class that a published one stands for is as likely.
    nothing = head(classes, "probabilities", label_map=label_map).predict(np.array([[0, 1, 0, 0, 0.0]]))
    assert nothing.tolist() == [[0.5, 0, 0.5]]


def test_labels_that_nothing_stands_for_are_counted_and_none_at_all_is_refused():
    config = head(("shaking_hands", "pointing")).config
    notes = match_notes(config, ("shaking_hands", "pointing"), (7, 5))
    assert notes[0] == "published classes: shaking_hands = shaking hands"
    assert notes[1].startswith("5 of 12 clips count as wrong: no class of the classifier stands for pointing (5)")
    with pytest.raises(WiringError, match=r"is called like one of the data's: pointing, pushing\n.*label_map=FILE"):
        head(("pointing", "pushing"))


def run_with(name, options, head_options=None, **more):
    chosen = ExtractorChoice(name=name, options=options)
    return RunConfig(extractors=(chosen,), head=Choice(name="published", options=head_options or {}), **more)


def test_what_the_head_needs_is_filled_in_from_the_extractor(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("kicking: [side kick, drop kicking]\n")
    config = with_classifier(run_with(*K400, {"label_map": str(path)}), installed())
    assert config.extractors[0].options == {"outputs": ["logits"]}
    assert config.head.options == {
        "classes": "kinetics400",
        "averages": "logits",
        "label_map": {"kicking": ["side kick", "drop kicking"]},
    }
    assert not config.train.standardise
    assert with_classifier(config, installed()) == config
    other = with_classifier(run_with("slow/r50_8x8", {"weights": "file.pyth"}), installed())
    assert other.extractors[0].options["outputs"] == ["probabilities"]
    plain = RunConfig()
    assert with_classifier(plain, installed()) is plain


def test_what_cannot_be_read_is_refused_with_what_to_type():
    with pytest.raises(ConfigError, match=r"needs published weights: name i3d/inception.k400, or a file"):
        with_classifier(run_with("i3d/inception", {}), installed())
    with pytest.raises(ConfigError, match="'basic/keypoints' has no published classifier"):
        with_classifier(run_with("basic/keypoints", {}), installed())
    two = RunConfig(
        extractors=tuple(ExtractorChoice(name=name) for name in (K400[0], "basic/keypoints")),
        head=Choice(name="published"),
    )
    with pytest.raises(WiringError, match="reads the classifier of one extractor; the run has 2"):
        with_classifier(two, installed())
    assert has_classifier(ExtractorChoice(name=K400[0]), installed())
    assert not has_classifier(ExtractorChoice(name="i3d/inception"), installed())
