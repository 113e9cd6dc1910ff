from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from vidcore.errors import RunError
from vidcore.training import checkpoints
from vidcore.training.checkpoints import Checkpoints, load_checkpoint, save_checkpoint
from vidcore.training.files import replacing
from vidcore.training.seeding import restore_rng, rng_state, seed_all


def test_the_newest_whole_checkpoint_is_loaded(tmp_path):
    kept = Checkpoints(tmp_path)
    assert kept.load_last() is None
    for number in range(3):
        kept.save_last({"number": number, "tensor": torch.full((100,), float(number))})
    assert kept.load_last()["number"] == 2
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:200])
    assert kept.load_last()["number"] == 1
    last.unlink()
    assert kept.load_last()["number"] == 1
    assert not list(tmp_path.glob(".*"))


def test_no_whole_checkpoint_names_each(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"torn")
    with pytest.raises(RunError, match=r"no checkpoint can be read\n.*last\.pt: .*\n.*previous\.pt: not there"):
        Checkpoints(tmp_path).load_last()


def test_an_object_in_a_checkpoint_is_refused(tmp_path):
    torch.save({"path": Path("x")}, tmp_path / "last.pt")
    with pytest.raises(RunError, match="no checkpoint can be read"):
        load_checkpoint(tmp_path / "last.pt")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    run = tmp_path / "run" / "checkpoints"
    kept = Checkpoints(run)
    kept.save_last({"number": 0})

    def full(payload, path):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(RunError) as caught:
        kept.save_last({"number": 1})
    assert "the disk is full: cannot write" in str(caught.value)
    assert f"vidcore train --resume {tmp_path / 'run'}" in str(caught.value)
    assert kept.load_last()["number"] == 0
    assert [path.name for path in run.iterdir()] == ["last.pt"]


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    with pytest.raises(ValueError, match="in the middle"), replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError("in the middle")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_generators_go_on_where_they_stood(tmp_path):
    import random

    import numpy as np

    seed_all(5)
    random.gauss(0, 1)
    np.random.standard_normal()
    save_checkpoint(tmp_path / "rng.pt", {"rng": rng_state()})
    expected = [random.random(), random.gauss(0, 1), np.random.standard_normal(3).tolist(), torch.rand(3).tolist()]
    seed_all(6)
    restore_rng(load_checkpoint(tmp_path / "rng.pt")["rng"])
    assert [
        random.random(),
        random.gauss(0, 1),
        np.random.standard_normal(3).tolist(),
        torch.rand(3).tolist(),
    ] == expected
