"""What commands print fits a screen of 80 columns, and no word is broken."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from vidcore.cli import vidcore
from vidcore.cli._table import echo_table


def printed(*arguments: str, columns: int = 80) -> list[str]:
    result = CliRunner().invoke(vidcore, arguments, env={"COLUMNS": str(columns)})
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list-models"],
        ["list-models", "--kind", "readout"],
        ["weights", "list", "x3d"],
        ["plugins"],
        ["config"],
        *([command, "--help"] for command in ("train", "compare", "tune", "extract", "predict", "evaluate", "watch")),
    ],
)
@pytest.mark.parametrize("columns", [80, 100])
def test_lines_fit(arguments, columns):
    # An address or a path is one word, however long it is.
    assert [line for line in printed(*arguments, columns=columns) if len(line) > columns and " " in line.strip()] == []


def words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_word_of_a_table_is_broken(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    headers = ["name", "parameters", "what it is"]
    rows = [["family/a_long_variant", "31.2 M", "two pathways, ResNet-101: 16 slow and 64 fast frames"]] * 2
    echo_table(headers, rows, right=(1,))
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= columns for line in lines)
    wanted = words([" ".join(row) for row in [headers, *rows]])
    assert set(words(lines)) == set(wanted)


def test_columns_that_can_be_left_out_are_named(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    echo_table(["name", "plugin", "width"], [["dinov2/vits14", "vidplug-dinov2", "384"]], drop=(1,))
    out = capsys.readouterr().out
    assert "vidplug-dinov2" not in out and "left out to fit 30 columns: plugin" in out
    monkeypatch.setenv("COLUMNS", "80")
    echo_table(["name", "plugin", "width"], [["dinov2/vits14", "vidplug-dinov2", "384"]], drop=(1,))
    assert "vidplug-dinov2" in capsys.readouterr().out


def test_a_table_that_goes_to_a_file_is_as_wide_as_it_must_be(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    echo_table(["a", "b"], [["x" * 100, "y " * 100]])
    assert max(map(len, capsys.readouterr().out.splitlines())) > 250


def test_the_page_of_the_configuration_is_up_to_date(root):
    page = (root / "docs" / "configuration.md").read_text(encoding="utf-8").splitlines()
    assert page == printed("config", "--markdown"), "make it again: vidcore config --markdown > docs/configuration.md"


def test_a_key_without_its_section_is_found():
    for typed, meant in (("epochs=3", "train.epochs"), ("frames=8", "data.frames"), ("data.lr=1", "train.lr")):
        result = CliRunner().invoke(vidcore, ["train", typed])
        assert meant in str(result.exception)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell):
    script = "\n".join(printed("completion", shell))
    assert "_VIDCORE_COMPLETE" in script and "vidcore" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("vidcore train --extractor basic/key", "basic/keypoints"),
        ("vidcore compare --extractor basic/keypoints+basic/nai", "basic/keypoints+basic/naive_cnn"),
        ("vidcore train --readout atten", "attention"),
        ("vidcore info basic/patch", "basic/patch_transformer"),
        ("vidcore comp", "compare"),
    ],
)
def test_names_are_completed(words, expected):
    environment = {"_VIDCORE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    result = CliRunner().invoke(vidcore, [], env=environment, prog_name="vidcore", complete_var="_VIDCORE_COMPLETE")
    assert f"plain,{expected}" in result.output.splitlines()
