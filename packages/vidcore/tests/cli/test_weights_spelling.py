"""Weights of an extractor are named in one way on every command, and random frozen ones are asked for."""

from __future__ import annotations

import stat

import pytest
import torch
from click import UsageError
from vidcore.assemble import create
from vidcore.catalog import installed
from vidcore.cli._weights import named_with_weights
from vidcore.cli.compare import _NAMED_FILE
from vidcore.config import ExtractorChoice, build_run_config
from vidcore.config.early import refuse_random
from vidcore.errors import ConfigError, WeightsError
from vidcore.training.files import write_json

NAME = "basic/naive_cnn"
PUBLISHED = next((entry.spec for entry in installed().entries("extractor") if getattr(entry.spec, "weights", ())), None)


@pytest.mark.parametrize(
    ("words", "option"), [(("weights=w.pth", "a=1"), None), (("a=1",), "w.pth"), (("weights=w.pth", "a=1"), "w.pth")]
)
def test_an_option_and_a_word_are_the_spelling_in_the_name(words, option):
    assert named_with_weights([NAME], words, option) == ((f"{NAME}=w.pth",), ("a=1",))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/x", "b/y"], "2 extractors are named"),
        ([], "no extractor is named"),
        (["a/x+b/y"], "1 extractors are named"),
    ],
)
def test_whose_weights_must_be_said(names, message):
    with pytest.raises(UsageError, match=rf"{message}, so say whose weights these are: --extractor NAME=w.pth"):
        named_with_weights(names, (), "w.pth")


def test_two_files_for_one_extractor():
    with pytest.raises(UsageError, match=r"weights are given twice: v.pth and w.pth"):
        named_with_weights([NAME], ("weights=v.pth",), "w.pth")


def test_weights_in_the_name_are_an_option():
    (choice,) = build_run_config(choices={"extractors": [{"name": f"{NAME}=a=b.pth"}]}).extractors
    assert (choice.name, choice.options) == (NAME, {"weights": "a=b.pth"})
    with pytest.raises(ConfigError, match=r"names weights, and options.weights names others: v.pth"):
        build_run_config(choices={"extractors": [{"name": f"{NAME}=w.pth", "options": {"weights": "v.pth"}}]})


def test_the_word_alone_means_the_one_extractor():
    (choice,) = build_run_config(None, {"extractors": [{"name": NAME}]}, ["weights=w.pth"]).extractors
    assert choice.options == {"weights": "w.pth"}
    with pytest.raises(ConfigError, match=r"say whose: extractors.0.options.weights, extractors.1.options.weights"):
        build_run_config(None, {"extractors": [{"name": NAME}, {"name": NAME}]}, ["weights=w.pth"])


def test_the_right_key_is_named():
    with pytest.raises(ConfigError) as caught:
        build_run_config(None, {"extractors": [{"name": NAME}]}, ["extractors.0.weights=w.pth"])
    assert str(caught.value) == "unknown key 'extractors.0.weights'; did you mean 'extractors.0.options.weights'?"


def test_create_takes_the_same_spelling(tmp_path):
    torch.manual_seed(3)
    path = tmp_path / "w.pth"
    torch.save(create(NAME).state_dict(), path)
    extractor = create(f"{NAME}={path}")
    assert extractor.weights_line.startswith(f"{NAME}: weights w.pth (sha256 ")
    assert create(NAME).weights_line == f"{NAME}: random weights; none are published"


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("i3d/inception=w.pth", True),
        ("i3d/inception=/a.b/c=d.pth", True),
        ("i3d/inception.options.frames=64", False),
        ("i3d/inception.freeze=true", False),
        ("train.epochs=3", False),
        ("seed=3", False),
    ],
)
def test_an_extractor_with_weights_is_no_override(word, named):
    assert bool(_NAMED_FILE.match(word)) == named


@pytest.mark.skipif(PUBLISHED is None, reason="no installed extractor has published weights")
def test_frozen_random_weights_are_asked_for():
    registry = installed()
    name = PUBLISHED.name
    with pytest.raises(WeightsError) as caught:
        refuse_random([ExtractorChoice(name=name)], registry, frozen=True)
    assert f"--extractor {name}.{PUBLISHED.weights[0].tag}" in str(caught.value)
    assert "--random-weights" in str(caught.value)
    with pytest.raises(WeightsError, match="would have random weights, and it is frozen"):
        refuse_random([ExtractorChoice(name=name, freeze=True)], registry)
    for choice in (
        ExtractorChoice(name=name),
        ExtractorChoice(name=f"{name}=w.pth", freeze=True),
        ExtractorChoice(name=f"{name}.{PUBLISHED.weights[0].tag}", freeze=True),
        ExtractorChoice(name=NAME, freeze=True),
    ):
        refuse_random([choice], registry)
    refuse_random([ExtractorChoice(name=NAME)], registry, frozen=True)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o700])
def test_files_of_a_run_are_shared_like_their_folder(tmp_path, mode):
    tmp_path.chmod(mode)
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == mode & 0o666
