from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from vidcore.catalog import ClipFormat
from vidcore.cli import main, vidcore
from vidcore.cli._describe import clip_in_words, resize_in_words


def run(*arguments):
    return CliRunner().invoke(vidcore, arguments)


def test_list_models_is_a_table_of_what_is_installed():
    shown = run("list-models")
    assert shown.exit_code == 0
    header, *rows = shown.stdout.splitlines()
    assert header.split() == ["name", "plugin", "width", "parameters", "clip", "weights", "summary"]
    row = next(r for r in rows if r.startswith("basic/patch_transformer"))
    assert row.split()[1:6] == ["vidcore", "256", "3.6", "M", "2-128"]
    assert not any(r.split()[0].endswith("_test") for r in rows if r.strip())


def test_filter_takes_a_part_or_a_pattern():
    assert "naive_cnn" in run("list-models", "--filter", "naive").stdout
    assert "naive_cnn" in run("list-models", "--filter", "basic/*").stdout
    nothing = run("list-models", "--filter", "zzz")
    assert "no extractor matches 'zzz'" in nothing.stdout


def test_json_has_every_field_of_the_spec():
    listed = json.loads(run("list-models", "--json").stdout)
    entry = next(e for e in listed if e["name"] == "basic/patch_transformer")
    assert entry["plugin"] == "vidcore"
    assert entry["outputs"]["features"]["dim"] == 256
    assert entry["clip"]["size"] == [64, 64]


@pytest.mark.parametrize(("kind", "name"), [("fusion", "gated"), ("readout", "attention"), ("head", "classification")])
def test_other_kinds(kind, name):
    assert name in run("list-models", "--kind", kind).stdout


def test_info_says_what_the_spec_says():
    shown = run("info", "basic/patch_transformer").stdout
    for expected in ("parameters 3,555,072  (3.6 M)", "RGB in [-1, 1]", "depth: int = 4", "Transformer blocks."):
        assert expected in shown
    assert "options" in json.loads(run("info", "gated", "--json").stdout)


def test_a_clip_is_described_with_its_stride_and_the_way_its_frames_are_resized():
    shown = run("info", "basic/patch_transformer").stdout
    assert "  clip       2-128 x 64x64\n" in shown
    assert "  pace       none published: 16 frames spread evenly over the segment\n" in shown
    assert "  resize     short side to 64, centre 64x64, bilinear\n" in shown
    assert "  pace       64 frames at 25 a second: windows of 2.56 s\n" in run("info", "i3d/inception").stdout
    assert "  pace       4 frames, 12 apart at 30 a second: windows of 1.6 s\n" in run("info", "x3d/xs").stdout
    square = ClipFormat(frames=32, stride_frames=2, fps=30.0, size=(224, 224), resize_short=256)
    assert clip_in_words(square) == "32 x 224x224, stride 2 at 30 fps"
    assert clip_in_words(replace(square, stride_frames=1)) == "32 x 224x224, 30 fps"
    assert clip_in_words(replace(square, fps=None)) == "32 x 224x224, stride 2"
    assert resize_in_words(square) == "short side to 256, centre 224x224, bilinear"
    assert resize_in_words(replace(square, resize_to=(128, 171))) == "both sides to 128x171, centre 224x224, bilinear"
    assert resize_in_words(replace(square, fit="stretch")) == "both sides to 224x224, bilinear"
    assert resize_in_words(replace(square, size=None, size_multiple=8)) == (
        "each side down to a multiple of 8, bilinear"
    )
    assert resize_in_words(replace(square, size=None)) == ""


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return stopped.value.code, capsys.readouterr().err


def test_unknown_names_and_commands_are_answered_with_what_is_near(capsys):
    code, text = fails(capsys, "info", "basic/patch_transfomer")
    assert code == 1
    assert "error: no component named 'basic/patch_transfomer'\n  did you mean: basic/patch_transformer" in text
    code, text = fails(capsys, "list-model")
    assert code == 2
    assert "no command 'list-model'; did you mean 'list-models'?" in text


def test_every_command_explains_itself():
    helped = run("--help").stdout
    for name in ("check", "data", "evaluate", "info", "list-models", "plugins", "predict", "train", "weights"):
        assert f"\n  {name} " in helped
        assert run(name, "--help").exit_code == 0
