"""``vidcore compare`` as a person calls it."""

from __future__ import annotations

import re

import pytest
from vidcore.cli import main

SHARED = ["data.frames=4", "data.workers=0", "data.size=16", "train.device=cpu", "train.epochs=1"]


@pytest.fixture
def call(capsys):
    """Runs the command line: (exit code, standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the library; nothing is trained."""
    calls = []

    def compare(*args, **options):
        calls.append((args, options))
        raise SystemExit(0)

    monkeypatch.setattr("vidcore.analysis.compare", compare)
    return calls


def test_several_values_after_one_flag(call, asked, tmp_path):
    weights = tmp_path / "w.pth"
    weights.touch()
    one, other, both = "basic/naive_cnn", f"basic/keypoints={weights}", "basic/naive_cnn+basic/keypoints"
    call("compare", "--extractor", one, other, "--extractor", both, "--fusion", "concat", "gated",
         "--data", "trajectories", "--readout=mean", "attention", "train.epochs=3", f"{one}.options.width=8",
         "--folds", "4")  # fmt: skip
    (((names,), options),) = asked
    assert names == (one, other, both)
    assert options["fusions"] == ("concat", "gated")
    assert options["readouts"] == ("mean", "attention")
    assert options["overrides"] == ("train.epochs=3", f"{one}.options.width=8")
    assert (options["data"], options["folds"], options["heads"]) == ("trajectories", 4, ())


def test_a_comparison_and_a_row_more(call, brightness, tmp_path):
    code, out, err = call("compare", "--extractor", "basic/naive_cnn", "basic/keypoints", "--data", brightness,
                          "--folds", "2", "--out", tmp_path / "c", *SHARED)  # fmt: skip
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [f"basic/{name}: random weights; none are published" for name in ("keypoints", "naive_cnn")]
    rows = [line for line in lines if line.startswith("[")]
    assert rows == ["[1/2] basic/keypoints, mean, classification", "[2/2] basic/naive_cnn, mean, classification"]
    table = out.partition("measuring basic/naive_cnn\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(table) > 2 and max(map(len, table)) <= 100
    # One epoch on these may or may not be shown to beat chance; either is said.
    assert any(re.match(r"(Best|Highest): basic|basic.* are tied at accuracy", line) for line in lines), out
    assert "All rows: the same 4 frames a clip (uniform), 2 folds, seed 0, 1 epochs of batches of 16" in out
    assert f"page    {tmp_path / 'c' / 'comparison.html'}" in lines
    for kind in ("csv", "json", "md", "html"):
        assert (tmp_path / "c" / f"comparison.{kind}").stat().st_size > 0

    code, out, err = call("compare", "--extractor", "basic/naive_cnn+basic/keypoints", "--out", tmp_path / "c")
    assert (code, err) == (0, "")
    assert "\n[1/1] basic/naive_cnn + basic/keypoints, concat, mean, classification\n" in out
    # A header, three rows and the line of chance.
    assert len((tmp_path / "c" / "comparison.csv").read_text().splitlines()) == 5

    code, out, err = call("compare", "--out", tmp_path / "c", "--folds", "3")
    assert code == 1
    assert "train.folds: was 2, is 3" in err


def test_a_row_that_fails_sets_the_exit_code(call, brightness, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ValueError("a bug in a plugin")

    monkeypatch.setattr("vidcore.analysis.comparison.runner.resume", broken)
    code, out, err = call(
        "compare", "--extractor", "basic/naive_cnn", "--data", brightness, "--folds", "2", "--out", tmp_path, *SHARED
    )
    assert code == 1
    assert "  failed: ValueError: a bug in a plugin" in out.splitlines()
    assert "No row is done." in out
    assert "note: not done: basic/naive_cnn: ValueError: a bug in a plugin" in out
    assert err == "1 of 1 rows not done; the same command tries again\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--extractor", "basic/naive_cn", "--data", "."], 1, "did you mean: basic/naive_cnn"),
        (["--extractor", "basic/naive_cnn+", "--data", "."], 1, "write A for one and A+B for two that are fused"),
        (["--extractor", "basic/naive_cnn", "fusion.name=gated"], 1, "NAME.options.KEY=VALUE"),
        ([], 1, "there is nothing to compare in comparisons"),
        (["--extractor", "basic/naive_cnn", "--data", "nowhere"], 1, "named 'nowhere'"),
    ],
)
def test_wrong_arguments_get_one_message(call, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    found, _, err = call("compare", *args)
    assert found == code
    assert message in err
    assert "Traceback" not in err
