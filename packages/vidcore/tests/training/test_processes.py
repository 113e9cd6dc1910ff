"""Two processes that train one model: the same training as one, and an end that can be gone on from."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import traceback

import pytest
import torch
from vidcore.assemble import assemble
from vidcore.config import run_config
from vidcore.errors import VidcoreError
from vidcore.heads.base import TargetInfo
from vidcore.training import Callback, load, open_run, train
from vidcore.training.batches import TrainingData
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.optimisation import part_bounds, steps_of
from vidcore.training.processes import Processes
from vidcore.training.progress import Progress
from vidcore.training.seeding import seed_all
from vidcore.training.summary import has_batch_statistics
from vidcore.training.trainer import Trainer

from .test_memory import TooSmall
from .test_trainer import STREAM, Memory

# Forked, so that no process imports the framework anew.
FORK = multiprocessing.get_context("fork")
PLAIN = {"width": 16, "depth": 2, "heads": 2, "size": 16, "patch": 8, "dropout": 0.0}
TARGETS = TargetInfo("class", ("a", "b"), (6, 3))


def _together(work, folder, count=2):
    """Run ``work(rank)`` in ``count`` processes as torchrun would start them; what each returned, or its error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def child(rank):
        os.environ.update(
            TORCHELASTIC_RUN_ID="test", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GROUP_RANK="0",
            RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count),
        )  # fmt: skip
        torch.set_num_threads(1)
        try:
            answer = work(rank)
        except VidcoreError as exc:
            answer = f"{type(exc).__name__}: {exc}"
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, the test shall show it
            answer = traceback.format_exc()
        torch.save(answer, folder / f"answer{rank}")
        # Without the handlers of the test session.
        os._exit(0)

    processes = [FORK.Process(target=child, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode is not None, "a process hangs"
    files = [folder / f"answer{rank}" for rank in range(count)]
    return [torch.load(file, weights_only=False) if file.exists() else None for file in files]


def _config(**options):
    extractor = {"name": STREAM, "options": PLAIN}
    head = {"name": "classification", "options": {"class_weights": "balanced"}}
    train = {"epochs": 3, "batch_size": 4, "lr": 0.01, "device": "cpu", **options}
    return run_config({"extractors": [extractor], "head": head, "train": train})


def _fit(config, folder=None, callbacks=(), resumed=False, most=None):
    """Nine clips in batches of four: the last step is one clip, so one of two processes has none."""
    seed_all(0)
    model = assemble(config, TARGETS)
    checkpoints = Checkpoints(folder)
    notes = []
    progress = Progress()
    progress.note = notes.append
    trainer = Trainer(config.train, checkpoints=checkpoints, callbacks=callbacks, progress=progress)
    if most is not None:
        TooSmall(model.head, most, torch.OutOfMemoryError("CUDA out of memory"))
    state = trainer.fit(model, TrainingData(Memory(9), Memory(7)), checkpoints.load_last() if resumed else None)
    found = trainer.predict(Memory(7), "test")
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in state.history]
    tensors = {name: getattr(t, "full_tensor", lambda t=t: t)() for name, t in model.state_dict().items()}
    return {"history": rows, "rows": found.rows, "scores": found.scores, "loss": found.loss, "tensors": tensors,
            "predictions": found.predictions, "notes": notes, "splits": state.splits}  # fmt: skip


def _close(one, other):
    assert [row.keys() for row in one["history"]] == [row.keys() for row in other["history"]]
    for a, b in zip(one["history"], other["history"], strict=True):
        assert b == pytest.approx(a, rel=1e-4, abs=1e-5)
    assert one["rows"] == other["rows"] == list(range(7))
    assert torch.allclose(one["predictions"], other["predictions"], atol=1e-4)
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-4)


@pytest.mark.parametrize("options", [{"strategy": "ddp"}, {"strategy": "fsdp", "accumulate": 2, "ema": 0.9}])
def test_two_processes_are_one(tmp_path, options):
    config = _config(**options)
    alone = _fit(config)
    first, second = _together(lambda rank: _fit(config), tmp_path)
    assert isinstance(first, dict), first
    _close(alone, first)
    # Both know every clip's answer, once.
    assert first["scores"] == second["scores"] == pytest.approx(alone["scores"])
    assert first["history"] == second["history"]
    assert all(torch.equal(tensor, second["tensors"][name]) for name, tensor in first["tensors"].items())


def test_trained_batch_statistics_are_known():
    for name, freeze, expected in (
        (STREAM, False, False),
        ("basic/naive_cnn", False, True),
        ("basic/naive_cnn", True, False),
    ):
        config = run_config({"extractors": [{"name": name, "freeze": freeze}]})
        assert has_batch_statistics(assemble(config, TARGETS)) is expected


class _Kill(Callback):
    def __init__(self, pid_file):
        self.pid_file = pid_file

    def on_step(self, trainer, numbers):
        if trainer.state.updates == 4:
            os.kill(int(self.pid_file.read_text()), signal.SIGKILL)


def test_a_killed_process_ends_the_run_with_a_checkpoint_to_go_on_from(tmp_path):
    config, kept, pid = _config(checkpoint_seconds=3600.0), tmp_path / "kept", tmp_path / "pid"

    def work(rank):
        if rank == 1:
            pid.write_text(str(os.getpid()))
        return _fit(config, kept, [_Kill(pid)])

    first, second = _together(work, tmp_path)
    assert second is None
    assert first.startswith("TrainingError: process 0 of 2 lost another one, which ended or cannot be reached: ")
    # No checkpoint was due since the first epoch: this one was saved when contact was lost, after the fourth step.
    assert Checkpoints(kept).load_last()["state"]["updates"] == 4
    resumed, _ = _together(lambda rank: _fit(config, kept, resumed=True), tmp_path)
    whole, _ = _together(lambda rank: _fit(config), tmp_path)
    assert isinstance(resumed, dict), resumed
    assert resumed["history"] == whole["history"]
    assert all(torch.equal(tensor, whole["tensors"][name]) for name, tensor in resumed["tensors"].items())


def test_too_little_memory_in_one_process_is_known_to_both(tmp_path):
    first, second = _together(lambda rank: _fit(_config(), most=1 if rank == 1 else None), tmp_path)
    assert isinstance(first, dict), first
    assert first["splits"] == second["splits"] == 2
    assert sum("out of memory" in note for note in first["notes"]) == 1
    _close(_fit(_config()), first)


def test_a_sharded_training_goes_on_from_its_checkpoint(tmp_path):
    config, kept = _config(strategy="fsdp", checkpoint_seconds=0.0), tmp_path / "kept"

    class Stop(Callback):
        def on_step(self, trainer, numbers):
            if trainer.state.updates == 5:
                os.kill(os.getpid(), signal.SIGINT)

    stopped, other = _together(lambda rank: _fit(config, kept, [Stop()]), tmp_path)
    assert stopped == other == "RunInterruptedError: stopped in epoch 2 after 5 steps"
    assert Checkpoints(kept).load_last()["state"]["updates"] == 5
    kept_too = shutil.copytree(kept, tmp_path / "kept too")
    resumed, _ = _together(lambda rank: _fit(config, kept, resumed=True), tmp_path)
    alone = _fit(_config())
    _close(alone, resumed)
    # One process can take it up, too.
    _close(alone, _fit(_config(), kept_too, resumed=True))


def test_a_run_of_two_processes_is_one_folder(tmp_path, brightness):
    tree = _config(epochs=1, batch_size=6).model_dump(mode="json")
    tree |= {"data": {"source": str(brightness), "frames": 4, "workers": 0}, "out": str(tmp_path), "name": "run"}
    tree["train"]["folds"] = 2
    first, second = _together(lambda rank: str(train(run_config(tree)).root), tmp_path)
    assert first == second == str(tmp_path / "run")
    run = open_run(first)
    assert run.done
    assert "2 processes (DDP)" in run.log.read_text()
    assert len(run.predictions.read_text().splitlines()) == 37
    assert load(run.root, device="cpu").classes == ("bright", "dark", "grey")
    (tmp_path / "empty").mkdir()
    tree |= {"name": "bad", "data": {"source": str(tmp_path / "empty")}}
    first, second = _together(lambda rank: train(run_config(tree)), tmp_path)
    assert first.startswith("ManifestError: ")
    # The first process says it; the second one leaves.
    assert "SystemExit: 1" in second
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("clips", "batch", "accumulate", "count"), [(9, 4, 1, 2), (9, 4, 2, 2), (5, 8, 3, 4), (7, 3, 1, 3)]
)
def test_shares_of_a_step_are_every_clip_once(clips, batch, accumulate, count):
    order = list(range(100, 100 + clips))
    shares = [steps_of(order, batch, accumulate, rank=rank, processes=count) for rank in range(count)]
    for steps in zip(*shares, steps_of(order, batch, 1), strict=True):
        *parts, whole = steps
        assert [clip for part in parts for micro in part for clip in micro] == whole[0]
        assert len({len(part) for part in parts}) == 1


def test_shares_of_a_prediction_are_every_clip_once_and_equally_many_batches():
    class One:
        world_size, device = 3, torch.device("cpu")

        def __init__(self, rank):
            self.global_rank = rank

    for clips in (1, 2, 7, 12):
        plans = [Processes(One(rank)).plan(clips, 2) for rank in range(3)]
        assert len({len(plan) for plan, _ in plans}) == 1
        assert [clip for plan, real in plans for batch in plan[:real] for clip in batch] == list(range(clips))
    assert part_bounds(10, 4) == [0, 2, 5, 8, 10]
