"""A training that was killed goes on as if it had not been."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vidcore.errors import RunError
from vidcore.training import RunInterruptedError, load, open_run, resume, train
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.contents import content_mark
from vidcore.training.tracking import TensorBoardTracker

# Forked, so that a killed training costs no second import of the framework; the parent has no threads.
FORK = multiprocessing.get_context("fork")


def _state(run: Path) -> dict[str, Any] | None:
    if not (run / "checkpoints").is_dir():
        return None
    payload = Checkpoints(run / "checkpoints").load_last()
    return payload["state"] if payload else None


def _kill_when(process, run: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """SIGKILL in the very state of the checkpoint that is wanted: the process stands still while it is read."""
    while process.is_alive():
        os.kill(process.pid, signal.SIGSTOP)
        state = _state(run)
        if state is not None and wanted(state):
            process.kill()
            process.join()
            return
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.003)
    pytest.fail("the training ended by itself")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _rows(path: Path) -> list[list[str]]:
    # The last column is the time it took.
    return [line.split(",")[:-1] for line in path.read_text().splitlines()]


def test_killed_inside_an_epoch_and_at_its_border(tiny_config):
    # Random clips from a worker process, dropout, a checkpoint after every one of the four steps of an epoch.
    config = tiny_config(
        train={"epochs": 10, "batch_size": 6, "lr": 1e-3, "checkpoint_seconds": 0.0}, data={"workers": 1}
    )
    whole = train(config.model_copy(update={"name": "whole"}))
    root = config.out / "tiny"
    process = FORK.Process(target=train, args=(config,))
    process.start()
    _kill_when(process, root, lambda state: state["epoch"] >= 1 and state["step"] > 0)
    assert json.loads((root / "progress.json").read_text())["state"] == "running"
    process = FORK.Process(target=resume, args=(root,))
    process.start()
    _kill_when(process, root, lambda state: state["epoch"] >= 3 and state["step"] == 0)
    run = open_run(root)
    assert not run.done
    assert resume(root).done
    assert _digest(run.weights) == _digest(whole.weights)
    assert _rows(run.metrics) == _rows(whole.metrics)
    assert run.read_results()["test"] == whole.read_results()["test"]
    assert json.loads(run.progress.read_text())["state"] == "done"


def _press_ctrl_c_after(step, monkeypatch):
    def press(self, updates, numbers):
        if updates == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TensorBoardTracker, "step", press)


def test_stopping_keeps_a_checkpoint_and_says_how_to_go_on(tiny_config, monkeypatch):
    config = tiny_config()
    _press_ctrl_c_after(2, monkeypatch)
    with pytest.raises(RunInterruptedError) as caught:
        train(config)
    assert caught.value.exit_code == 130
    root = config.out / "tiny"
    assert str(caught.value) == (f"stopped in epoch 1 after 2 steps\n  go on with: vidcore train --resume {root}")
    assert json.loads((root / "progress.json").read_text())["state"] == "stopped"
    assert not (root / "results.json").exists()
    with pytest.raises(RunError, match="the run is not done\n  go on with: vidcore train --resume"):
        load(root)
    monkeypatch.undo()
    assert resume(root).done


def test_a_run_that_is_done_has_nothing_to_resume(finished_run):
    with pytest.raises(RunError, match="is done: there is nothing to resume"):
        resume(finished_run.root)


def _stopped(config, monkeypatch):
    with monkeypatch.context() as patch:
        _press_ctrl_c_after(1, patch)
        with pytest.raises(RunInterruptedError):
            train(config)
    return open_run(config.out / "tiny")


def test_changed_data_is_refused_and_forced(tiny_config, tmp_path, brightness, video_writer, monkeypatch):
    folder = tmp_path / "copy"
    for path in sorted(brightness.rglob("*.mkv")):
        copy = folder / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    run = _stopped(tiny_config(data={"source": str(folder)}), monkeypatch)
    video_writer(folder / "dark" / "99.mkv", 40, 1)
    with pytest.raises(RunError) as caught:
        resume(run.root)
    assert f"data {folder}: new rows (1): {folder / 'dark' / '99.mkv'}" in str(caught.value)
    assert "--force" in str(caught.value)
    assert resume(run.root, force=True).done
    assert "changed: data" in run.log.read_text()
    assert sum(json.loads(run.data.read_text())["splits"].values()) == 37


def test_a_file_of_equal_size_and_date_with_other_contents_is_refused(tiny_config, tmp_path, brightness, monkeypatch):
    folder = tmp_path / "copy"
    for path in sorted(brightness.rglob("*.mkv")):
        copy = folder / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    run = _stopped(tiny_config(data={"source": str(folder)}), monkeypatch)
    victim = folder / "grey" / "04.mkv"
    before, content = victim.stat(), bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 255
    victim.write_bytes(content)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RunError) as caught:
        resume(run.root)
    assert f"data {folder}: files with other contents (1): {victim}\n" in str(caught.value)


def test_the_mark_of_a_large_file_reads_its_ends_and_its_middle(tmp_path):
    content = bytearray(1_000_000)
    path = tmp_path / "large"
    marks = []
    for place in (None, 0, 500_000, 999_999):
        changed = content.copy()
        if place is not None:
            changed[place] = 1
        path.write_bytes(changed)
        marks.append(content_mark(path))
    assert len(set(marks)) == 4
    path.write_bytes(content + b"0")
    assert content_mark(path) not in marks


def test_another_version_is_refused(tiny_config, monkeypatch):
    run = _stopped(tiny_config(), monkeypatch)
    environment = json.loads(run.environment.read_text())
    environment["libraries"]["torch"] = "1.0"
    environment["used_plugins"]["vidcore"] = "0.0.1"
    run.environment.write_text(json.dumps(environment))
    with pytest.raises(RunError, match=r"plugin vidcore: was 0\.0\.1, is .*\n  torch: was 1\.0, is "):
        resume(run.root)
    assert resume(run.root, force=True).done


def test_what_is_no_run_folder(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        resume(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.yaml"):
        resume(tmp_path)
