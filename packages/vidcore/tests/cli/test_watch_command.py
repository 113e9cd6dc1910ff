"""``vidcore watch`` says how far runs are, and which may have died."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from vidcore.cli import main
from vidcore.errors import RunError
from vidcore.training.watching import find_runs, read_status

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def call(capsys):
    """Runs the command line: (exit code, lines of standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return ended.value.code, out.splitlines(), err

    return run


def _run(folder, age=0.0, results=None, now=None, **facts):
    folder.mkdir(parents=True)
    heartbeat = ((now or datetime.now(UTC)) - timedelta(seconds=age)).isoformat(timespec="milliseconds")
    defaults = {"state": "running", "phase": "training", "step": 30, "total": 120, "clips_per_second": 51.26,
                "eta_seconds": 65.0, "loss": 0.25, "heartbeat": heartbeat, "host": "node7", "pid": 1}  # fmt: skip
    (folder / "progress.json").write_text(json.dumps(defaults | facts))
    (folder / "config.yaml").write_text("")
    if results:
        (folder / "results.json").write_text(json.dumps(results))
    return folder


def test_one_table_of_a_folder(call, tmp_path, finished_run):
    _run(tmp_path / "runs" / "going")
    _run(tmp_path / "runs" / "study" / "dead", age=301)
    _run(
        tmp_path / "runs" / "broken",
        age=999,
        state="failed",
        message="the loss is nan in epoch 1, step 3\n  try",
        eta_seconds=None,
    )
    folds = {"test": {"scores": {"accuracy": {"value": 0.81234, "interval95": [0.7, 0.9]}}}}
    _run(tmp_path / "runs" / "folded", age=999, state="done", eta_seconds=0.0, results=folds)
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "progress.json").write_text("{")
    code, lines, err = call("watch", tmp_path / "runs", finished_run.root, "--once")
    assert (code, err) == (0, "")
    row = {line.split()[0]: " ".join(line.split()) for line in lines}
    assert row["run"] == "run state phase step clips/s ETA loss score heartbeat note"
    assert row["going"].startswith("going running training 30/120 51.3 1:05 0.2500 0:0")
    assert row["dead"].startswith("dead silent training 30/120 51.3 0.2500 5:0")
    assert "no heartbeat for more than two minutes: has it died on node7? vidcore train --resume" in row["dead"]
    assert row["broken"] == "broken failed training 30/120 51.3 0.2500 the loss is nan in epoch 1, step 3"
    assert "accuracy 0.812 (0.700-0.900)" in row["folded"]
    assert "progress.json cannot be read" in row["torn"]
    assert row["tiny"].split()[1] == "done"
    accuracy = finished_run.read_results()["test"]["scores"]["accuracy"]["value"]
    assert f"accuracy {accuracy:.3f}" in row["tiny"]


@pytest.mark.parametrize(("age", "state"), [(0, "running"), (119, "running"), (121, "silent")])
def test_two_minutes_without_a_heartbeat(tmp_path, age, state):
    found = read_status(_run(tmp_path / "run", age=age, now=NOW), NOW)
    assert found.state == state
    assert found.silent_seconds == pytest.approx(age)
    assert found.eta_seconds == (65.0 if state == "running" else None)


def test_a_clock_that_is_ahead_is_no_silence(tmp_path):
    assert read_status(_run(tmp_path / "run", age=-30, now=NOW), NOW).silent_seconds == 0


def test_the_fold_is_shown(tmp_path):
    assert read_status(_run(tmp_path / "run", phase="training fold 2", fold=2, folds=5)).phase == "training fold 2 of 5"
    assert read_status(_run(tmp_path / "b", phase="validation", fold=2, folds=5)).phase == "validation, fold 2 of 5"


def test_runs_are_in_the_order_in_which_they_began(tmp_path):
    for place, name in enumerate(("b", "a")):
        config = _run(tmp_path / name) / "config.yaml"
        os.utime(config, (place, place))
    assert [run.name for run in find_runs([tmp_path, tmp_path / "a"])] == ["b", "a"]


def test_what_is_not_there(call, tmp_path):
    with pytest.raises(RunError, match="no run and no folder of runs"):
        find_runs([tmp_path / "nothing"])
    code, _, err = call("watch", tmp_path / "nothing")
    assert code == 1
    assert "no run and no folder of runs" in err
    code, lines, _ = call("watch", tmp_path, "--once")
    assert code == 0
    assert "no run there yet" in lines[-1]


def test_looking_needs_no_framework(tmp_path):
    _run(tmp_path / "run")
    program = (
        f"import sys\nfrom vidcore.cli import main\ntry:\n    main(['watch', {str(tmp_path)!r}, '--once'])\n"
        "except SystemExit:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
