"""Choosing: verified, timed once, remembered, refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from vidcore.runtime import _choose
from vidcore.runtime import _job as _job_module
from vidcore.runtime._candidates import Candidate
from vidcore.runtime._choose import Chooser
from vidcore.runtime._job import CannotRunError, Engine, Job
from vidcore.runtime._measure import cosine, difference, seconds_each
from vidcore.runtime._memory import Memory

CLIP = [torch.arange(6.0).reshape(1, 6)]


def _job() -> Job:
    return Job(nn.Identity(), CLIP, [CLIP[0] * 2], threads=1)


def _engine(factor: float, log: list[str], name: str) -> Engine:
    def run(tensors: list[Tensor]) -> list[Tensor]:
        log.append(name)
        return [tensors[0] * factor]

    return run


def _kept(name: str, factor: float, log: list[str]) -> Candidate:
    """An engine with a file, which holds its factor."""

    def build(job: Job, path: Path) -> Engine:
        log.append(f"build {name}")
        path.write_text(str(factor))
        return _engine(factor, log, name)

    def load(job: Job, path: Path) -> Engine:
        log.append(f"load {name}")
        return _engine(float(path.read_text()), log, name)

    return Candidate(build, load, f"{name}.bin")


def _unavailable(job: Job, path: Path) -> Engine:
    raise CannotRunError("it is not installed")


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the clock shall say of each engine; empty: timing is an error."""
    found: dict[str, float] = {}

    def timed(runs: Any, *_: Any) -> dict[str, float]:
        assert found, "timed although nothing is to be timed"
        return {name: found[name] for name in runs}

    monkeypatch.setattr(_choose, "seconds_each", timed)
    return found


def _chooser(candidates: dict[str, Candidate], **identity: Any) -> Chooser:
    return Chooser("auto", candidates, _job(), Memory({"model": "test/net", **identity}))


def test_fastest_is_taken_and_remembered(seconds: dict[str, float]) -> None:
    log: list[str] = []
    candidates = {"plain": Candidate(lambda job, path: _engine(2.0, log, "plain"))}
    candidates |= {"quick": _kept("quick", 2.0, log), "slow": _kept("slow", 2.0, log)}
    candidates["absent"] = Candidate(_unavailable)
    seconds.update(plain=2.0, quick=1.0, slow=3.0)
    first = _chooser(candidates).choose()
    assert first is not None
    assert (first.name, first.remembered) == ("quick", False)
    assert [(c.name, c.seconds, c.reason) for c in first.candidates] == [
        ("plain", 2.0, ""), ("quick", 1.0, ""), ("slow", 3.0, ""), ("absent", None, "it is not installed")
    ]  # fmt: skip

    log.clear()
    seconds.clear()
    chooser = _chooser(candidates)
    second = chooser.choose()
    assert second is not None
    assert (second.name, second.remembered, second.candidates) == ("quick", True, first.candidates)
    # Loaded and checked, nothing built, no rival run.
    assert log == ["load quick", "quick"]
    files = {path.name for path in Memory({"model": "test/net"}).folder.iterdir()}
    assert files - {"lock"} == {"auto.json", "quick.bin"}


def test_another_identity_is_another_choice(seconds: dict[str, float]) -> None:
    log: list[str] = []
    candidates = {"quick": _kept("quick", 2.0, log)}
    for weights in ("a", "b"):
        choice = _chooser(candidates, weights=weights).choose()
        assert choice is not None
        assert not choice.remembered
    assert log.count("build quick") == 2


def test_wrong_numbers_are_refused_with_the_figure(seconds: dict[str, float]) -> None:
    log: list[str] = []
    candidates = {"plain": Candidate(lambda job, path: _engine(2.0, log, "plain")), "wrong": _kept("wrong", 2.02, log)}
    choice = _chooser(candidates).choose()
    assert choice is not None
    assert choice.name == "plain"
    refused = choice.candidates[1]
    assert refused.difference == pytest.approx(0.01, rel=1e-3)
    assert refused.reason == "refused: differs by 1.0e-02, at most 1e-03"
    assert not (Memory({"model": "test/net"}).folder / "wrong.bin").exists()


def test_none_left(seconds: dict[str, float]) -> None:
    chooser = _chooser({"wrong": _kept("wrong", float("nan"), []), "absent": Candidate(_unavailable)})
    assert chooser.choose() is None
    assert chooser.refusals() == "wrong: refused: differs by inf, at most 1e-03; absent: it is not installed"


def test_an_engine_that_fails_when_it_runs_is_reported(seconds: dict[str, float]) -> None:
    def failing(tensors: list[Tensor]) -> list[Tensor]:
        raise RuntimeError("no such instruction\nat 0x00")

    chooser = _chooser({"broken": Candidate(lambda job, path: failing)})
    assert chooser.choose() is None
    assert chooser.refusals() == "broken: it fails when it runs: RuntimeError: no such instruction"


def test_remembered_engine_with_other_numbers_is_built_anew(
    seconds: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    candidates = {"quick": _kept("quick", 2.0, log)}
    assert _chooser(candidates).choose() is not None
    stale = Memory({"model": "test/net"}).folder / "quick.bin"
    stale.write_text("3.0")
    choice = _chooser(candidates).choose()
    assert choice is not None
    assert (choice.remembered, choice.difference) == (False, 0.0)
    assert stale.read_text() == "2.0"
    assert "differs by 5.0e-01 now" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"chosen": "gone", "candidates": []}'])
def test_unreadable_record_is_no_record(seconds: dict[str, float], text: str) -> None:
    log: list[str] = []
    memory = Memory({"model": "test/net"})
    memory.folder.mkdir(parents=True)
    (memory.folder / "auto.json").write_text(text)
    choice = _chooser({"quick": _kept("quick", 2.0, log)}).choose()
    assert choice is not None
    assert not choice.remembered
    assert json.loads((memory.folder / "auto.json").read_text())["chosen"] == "quick"


def test_difference_and_cosine() -> None:
    reference = [torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])]
    assert difference(reference, reference) == 0
    assert difference([reference[0], torch.tensor([[1.0, 0.5]])], reference) == pytest.approx(0.5)
    assert difference([reference[0], torch.tensor([[float("nan"), 0.0]])], reference) == float("inf")
    assert difference([reference[0], reference[1][0]], reference) == float("inf")
    assert cosine([reference[0], torch.tensor([[0.0, 1.0]])], reference) == pytest.approx(0)


def test_each_is_timed_in_turn() -> None:
    order: list[str] = []
    found = seconds_each({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, torch.device("cpu"), 1)
    assert order[:4] == ["a", "b", "a", "b"]
    assert set(found) == {"a", "b"}
    assert all(0 <= value < 5 for value in found.values())


def test_a_cache_that_cannot_be_written_costs_only_the_memory(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (own_cache / "file").write_text("")
    monkeypatch.setenv("VIDCORE_CACHE", str(own_cache / "file"))
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(own_cache))
    choice = _chooser({"quick": _kept("quick", 2.0, [])}).choose()
    assert choice is not None
    assert choice.name == "quick"
    assert "the cache cannot be written" in caplog.text


def test_what_does_not_fit_in_memory_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(nn.Linear(1024, 256, bias=False), CLIP, CLIP, threads=1)
    job.require_memory()
    monkeypatch.setattr(_job_module, "_free_bytes", lambda: 2 * 2**20)
    with pytest.raises(CannotRunError, match=r"needs about 0\.0 GiB of memory; 0\.0 GiB are free"):
        job.require_memory()
