"""``vidcore tune`` as a person types it."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from vidcore.cli import vidcore
from vidcore.errors import ConfigError

pytest.importorskip("optuna")


def test_a_search_prints_trials_what_mattered_and_the_report(brightness, tmp_path):
    out = tmp_path / "study"
    tiny = ["extractors.0.options.width=16", "extractors.0.options.depth=1", "extractors.0.options.heads=2"]
    args = [
        *["tune", "--extractor", "basic/patch_transformer", "--data", str(brightness), "--out", str(out)],
        *["--trials", "2", "--top", "1", "--search", "train.lr=1e-3..1e-1:log", *tiny],
        *["extractors.0.options.size=16", "extractors.0.options.patch=8", "data.frames=4", "data.workers=0"],
        *["train.epochs=1", "extractors.0.freeze=true", f"data.store={tmp_path / 'store'}"],
    ]
    done = CliRunner().invoke(vidcore, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "trial 1 of 2: validation" in done.output
    assert "validation loss" in done.output
    assert re.search(r"test accuracy of trial \d: 0\.\d{4} \((95 % interval|too few clips)", done.output)
    assert "the best of 2 trials and too high" in done.output
    assert f"report  {out / 'tuning.html'}" in done.output


def test_a_space_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"key=low\.\.high"):
        CliRunner().invoke(vidcore, ["tune", "--out", str(tmp_path), "--search", "lr"], catch_exceptions=False)
