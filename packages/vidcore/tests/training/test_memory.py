"""Too little memory: what counts as that, and that a step taken in smaller parts is the same step."""

from __future__ import annotations

import pytest
import torch
from vidcore.assemble import assemble
from vidcore.errors import TrainingError
from vidcore.heads.base import TargetInfo
from vidcore.training.batches import TrainingData
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.memory import is_out_of_memory
from vidcore.training.progress import Progress
from vidcore.training.seeding import seed_all
from vidcore.training.trainer import Trainer

from .test_trainer import STREAM, TARGETS, Memory, _same


def _real_error():
    try:
        torch.empty(1 << 60)
    except RuntimeError as exc:
        return exc
    raise AssertionError("an exabyte of memory")


class TooSmall:
    """A head whose loss needs more memory than there is for more than ``most`` clips."""

    def __init__(self, head, most, error):
        self.loss, self.most, self.error = head.loss, most, error
        head.loss = self
        self.seen = []

    def __call__(self, outputs, targets):
        if len(targets) > self.most:
            raise self.error
        self.seen.append(len(targets))
        return self.loss(outputs, targets)


def _train(config, most=None, error=None, checkpoints=None, resume=None, info=TARGETS, clips=14, **options):
    seed_all(0)
    model = assemble(config, info)
    notes = []
    progress = Progress()
    progress.note = notes.append
    options = {"epochs": 2, **options}
    trainer = Trainer(config.train.model_copy(update=options), progress=progress, checkpoints=checkpoints)
    if most is not None:
        TooSmall(model.head, most, error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    seed_all(0)
    trainer.fit(model, TrainingData(Memory(clips)), resume)
    return trainer, [note for note in notes if "memory" in note]


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (_real_error(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (FileNotFoundError("[Errno 2] No such file or directory: 'out of memory room.mp4'"), False),
        (RuntimeError("room.mp4: out of memory"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (MemoryError("Unable to allocate 8.00 EiB for an array"), False),
    ],
)
def test_only_a_failed_allocation_of_torch_counts(error, counts):
    assert is_out_of_memory(error) is counts


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), _real_error()])
def test_a_step_in_smaller_parts_is_an_ordinary_accumulated_step(tiny_config, error):
    # Dropout is drawn anew in the retried step, from where the step began.
    shrunk, notes = _train(tiny_config(), most=2, error=error)
    usual, _ = _train(tiny_config(), accumulate=4)
    assert _same(shrunk.model, usual.model)
    assert shrunk.state.splits == 4
    assert [row["train_loss"] for row in shrunk.state.history] == [row["train_loss"] for row in usual.state.history]
    # 8 clips, then 4, then 2; and never again.
    assert [note.split(":")[0] for note in notes] == [
        "out of memory with 8 clips at a time",
        "out of memory with 4 clips at a time",
    ]
    assert notes[1].endswith("the rest of the run takes 2 and accumulates 4 times; the steps stay what they were")


def test_accumulation_is_doubled_where_there_is_some(tiny_config):
    shrunk, notes = _train(tiny_config(), most=2, accumulate=2)
    assert len(notes) == 1
    assert _same(shrunk.model, _train(tiny_config(), accumulate=4)[0].model)


def test_the_ceiling_is_kept_by_a_checkpoint(tiny_config, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    _train(tiny_config(), most=2, checkpoints=checkpoints, epochs=1)
    again, notes = _train(tiny_config(), most=2, resume=checkpoints.load_last(), epochs=2)
    assert again.state.splits == 4
    assert notes == []


def test_a_single_clip_that_is_too_large_ends_with_what_to_do(tiny_config):
    with pytest.raises(
        TrainingError, match=r"out of memory with a single clip: CUDA.*\n.*data\.frames.*unfreeze_blocks"
    ):
        _train(tiny_config(), most=0)


def test_other_errors_are_not_retried(tiny_config):
    with pytest.raises(RuntimeError, match=r"room\.mp4: out of memory"):
        _train(tiny_config(), most=2, error=RuntimeError("room.mp4: out of memory"))


def test_running_statistics_are_those_of_one_step(tiny_config):
    config = tiny_config(extractors=[{"name": "basic/naive_cnn", "options": {"width": 8, "frames": 2}}])
    from vidcore.training.batches import Batch

    class Frames(Memory):
        def batches(self, plan, epoch):
            for batch in super().batches(plan, epoch):
                yield Batch(batch.targets, batch.mask, batch.rows, {"basic/naive_cnn": batch.clips[STREAM]})

    def run(most, accumulate):
        seed_all(0)
        model = assemble(config, TARGETS)
        trainer = Trainer(config.train.model_copy(update={"epochs": 1, "accumulate": accumulate}))
        if most:
            TooSmall(model.head, most, torch.OutOfMemoryError("CUDA out of memory"))
        trainer.fit(model, TrainingData(Frames()))
        return model

    assert any("running_mean" in name for name in assemble(config, TARGETS).state_dict())
    assert _same(run(4, 1), run(None, 2))


def test_answers_are_given_in_smaller_parts(tiny_config):
    trainer, _ = _train(tiny_config())
    whole = trainer.predict(Memory(), "test")
    before, sizes = trainer.model.decide, []

    def decide(features):
        clips = len(features[STREAM].data)
        if clips > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(clips)
        return before(features)

    trainer.model.decide = decide
    parts = trainer.predict(Memory(), "test")
    assert parts.rows == whole.rows
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert torch.allclose(parts.predictions, whole.predictions, atol=1e-6)
    # 8 and 4 do not fit, 2 do; the second batch begins with 2.
    assert sizes == [2] * 7


@pytest.mark.parametrize("weights", ["none", "balanced", [1.0, 9.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_step_does_not_depend_on_its_parts(tiny_config, weights, smoothing):
    options = {"class_weights": weights, "label_smoothing": smoothing}
    plain = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8, "dropout": 0.0}
    config = tiny_config(
        head={"name": "classification", "options": options}, extractors=[{"name": STREAM, "options": plain}]
    )
    info = TargetInfo("class", ("a", "b"), (12, 4))
    losses = {}
    for parts in (1, 3, 5):
        trainer, _ = _train(config, info=info, clips=13, epochs=1, accumulate=parts, lr=1e-12, batch_size=13)
        losses[parts] = trainer.state.history[0]["train_loss"]
        grads = [p.grad.clone() for p in trainer.model.parameters()]
        if parts == 1:
            whole = grads
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(grads, whole, strict=True))
    assert losses[3] == pytest.approx(losses[1], rel=1e-6)
    assert losses[5] == pytest.approx(losses[1], rel=1e-6)
