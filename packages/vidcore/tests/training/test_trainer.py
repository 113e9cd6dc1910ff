from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from vidcore.assemble import assemble
from vidcore.config import TrainConfig
from vidcore.errors import ConfigError, RunError, TrainingError
from vidcore.heads.base import TargetInfo
from vidcore.training.batches import Batch, TrainingData, in_order
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.device import chosen_precision
from vidcore.training.encoded import EncodedClips
from vidcore.training.seeding import seed_all
from vidcore.training.state import TrainingState
from vidcore.training.trainer import Trainer

TARGETS = TargetInfo("class", ("a", "b"), (8, 8))
STREAM = "basic/patch_transformer"


class Memory:
    """Clips in memory; ``stop_at`` breaks off before the given batch, as a crash would."""

    def __init__(self, clips: int = 14, stop_at: int | None = None) -> None:
        generator = torch.Generator().manual_seed(1)
        self.targets = torch.arange(clips) % 2
        noise = torch.randint(0, 60, (clips, 4, 3, 16, 16), generator=generator)
        self.videos = (noise + 150 * self.targets.reshape(-1, 1, 1, 1, 1)).to(torch.uint8)
        self.stop_at = stop_at
        self.read = 0

    def __len__(self):
        return len(self.targets)

    def batches(self, plan, epoch):
        for numbers in plan:
            if self.read == self.stop_at:
                raise ConnectionError("crash")
            self.read += 1
            index = torch.tensor(list(numbers))
            mask = torch.ones(len(numbers), 4, dtype=torch.bool)
            yield Batch(self.targets[index], mask, tuple(numbers), {STREAM: self.videos[index]})


def _train(config, data, folder=None, resume=False, **options):
    seed_all(0)
    model = assemble(config, TARGETS)
    checkpoints = Checkpoints(folder)
    trainer = Trainer(config.train.model_copy(update=options), checkpoints=checkpoints)
    trainer.prepare(model)
    seed_all(0)
    trainer.fit(model, data, checkpoints.load_last() if resume else None)
    return trainer


def _same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns(tiny_config):
    trainer = _train(tiny_config(), TrainingData(Memory(), Memory()), epochs=6)
    found = trainer.predict(Memory(), "test")
    assert found.scores["accuracy"] == 1.0
    assert found.predictions.shape == (14, 2)
    assert found.rows == list(range(14))
    losses = [row["train_loss"] for row in trainer.state.history]
    assert losses[-1] < losses[0] / 2
    assert trainer.state.updates == 6 * math.ceil(14 / 8)


@pytest.mark.parametrize("crash", range(6))
def test_a_crash_at_any_step_changes_nothing(tiny_config, tmp_path, crash):
    config = tiny_config()
    whole = _train(config, TrainingData(Memory(), Memory()), checkpoint_seconds=0.0)
    with pytest.raises(ConnectionError):
        _train(config, TrainingData(Memory(stop_at=crash), Memory()), tmp_path, checkpoint_seconds=0.0)
    resumed = _train(config, TrainingData(Memory(), Memory()), tmp_path, resume=True, checkpoint_seconds=0.0)
    assert _same(whole.model, resumed.model)
    untimed = [{k: v for k, v in row.items() if k != "seconds"} for row in whole.state.history]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.state.history] == untimed


def test_dropout_is_part_of_what_resumes(tiny_config, tmp_path):
    # Without the generator's state the resumed run would draw other dropout masks.
    config = tiny_config()
    with pytest.raises(ConnectionError):
        _train(config, TrainingData(Memory(stop_at=3), Memory()), tmp_path, checkpoint_seconds=0.0)
    path = tmp_path / "last.pt"
    payload = torch.load(path, weights_only=True)
    payload["rng"]["torch"] = torch.Generator().manual_seed(99).get_state()
    torch.save(payload, path)
    resumed = _train(config, TrainingData(Memory(), Memory()), tmp_path, resume=True)
    assert not _same(_train(config, TrainingData(Memory(), Memory())).model, resumed.model)


def test_accumulation_gives_the_same_step(tiny_config):
    plain = {"width": 16, "depth": 1, "heads": 2, "size": 16, "patch": 8, "dropout": 0.0}
    config = tiny_config(extractors=[{"name": STREAM, "options": plain}])
    # SGD-like comparison is not needed: the first Adam steps depend on the sign of tiny gradients, so compare losses.
    whole = _train(config, TrainingData(Memory()), epochs=1, accumulate=1)
    parts = _train(config, TrainingData(Memory()), epochs=1, accumulate=3)
    assert parts.state.history[0]["train_loss"] == pytest.approx(whole.state.history[0]["train_loss"], rel=1e-5)
    assert parts.state.updates == whole.state.updates
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        assert (a - b).abs().max() < 1e-3


def test_a_loss_that_is_no_number_stops(tiny_config, tmp_path):
    config = tiny_config()
    model = assemble(config, TARGETS)
    with torch.no_grad():
        model.head.linear.bias[0] = math.nan
    trainer = Trainer(config.train, checkpoints=Checkpoints(tmp_path))
    trainer.prepare(model)
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1, step 1\n.*train\.lr=0\.001"):
        trainer.fit(model, TrainingData(Memory()))
    assert not list(tmp_path.iterdir())


def test_patience_ends_training_at_the_best_epoch(tiny_config):
    trainer = _train(tiny_config(), TrainingData(Memory(), Memory()), epochs=30, patience=2, lr=1e-9)
    state = trainer.state
    assert state.epoch < 30
    assert state.stale == 2
    assert state.best_epoch == state.epoch - 2


def test_the_best_epoch_is_what_is_left(tiny_config, tmp_path):
    trainer = _train(tiny_config(), TrainingData(Memory(), Memory()), tmp_path, epochs=4)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["epoch"] == trainer.state.best_epoch
    left = trainer.model.state_dict()
    assert all(torch.equal(left[name], tensor) for name, tensor in best["model"].items())
    found = trainer.predict(Memory(), "test")
    history = trainer.state.history[trainer.state.best_epoch - 1]
    assert found.loss == pytest.approx(history["val_loss"], rel=1e-6)


def test_a_best_checkpoint_of_another_training_is_refused(tiny_config, tmp_path):
    config = tiny_config()
    _train(config, TrainingData(Memory(), Memory()), tmp_path)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    torch.save({**best, "epoch": 77}, tmp_path / "best.pt")
    with pytest.raises(RunError, match="the best checkpoint is of epoch 77"):
        _train(config, TrainingData(Memory(), Memory()), tmp_path, resume=True)


def test_a_checkpoint_of_another_model_is_refused(tiny_config, tmp_path):
    _train(tiny_config(), TrainingData(Memory(), Memory()), tmp_path)
    wider = {"width": 32, "depth": 1, "heads": 2, "size": 16, "patch": 8}
    other = tiny_config(extractors=[{"name": STREAM, "options": wider}])
    with pytest.raises(RunError, match="the checkpoint is of another model"):
        _train(other, TrainingData(Memory(), Memory()), tmp_path, resume=True)


def test_the_best_is_by_loss_whatever_the_score_says():
    state = TrainingState(best_score=0.5, best_loss=1.0)
    assert state.is_beaten_by(0.9)
    assert not state.is_beaten_by(1.0)
    assert not state.is_beaten_by(1.1)
    assert state.is_beaten_by(None)
    assert TrainingState(best_loss=math.nan).is_beaten_by(5.0)


@pytest.mark.parametrize(
    ("losses", "improving"),
    [([1.0, 0.9, 0.8], True), ([1.0, 0.8, 0.799], False), ([1.0, 0.8, 0.9], False), ([1.0], False)],
)
def test_a_training_that_still_improves_is_known(losses, improving):
    best = losses.index(min(losses)) + 1
    state = TrainingState(epoch=len(losses), best_epoch=best, history=[{"val_loss": loss} for loss in losses])
    assert state.still_improving is improving


def test_features_encoded_once_give_what_clips_give(tiny_config):
    config = tiny_config()
    frozen = config.extractors[0].model_copy(update={"freeze": True})
    config = config.model_copy(update={"extractors": (frozen,)})
    clips = _train(config, TrainingData(Memory(), Memory()))
    seed_all(0)
    model = assemble(config, TARGETS)
    trainer = Trainer(config.train)
    trainer.prepare(model)
    memory = Memory()
    with torch.no_grad():
        parts = [
            replace(batch, clips=None, features=trainer.encode(batch))
            for batch in memory.batches(in_order(memory, 5), 0)
        ]
    stored = EncodedClips(parts)
    seed_all(0)
    trainer.fit(model, TrainingData(stored, stored))
    for name, tensor in clips.model.state_dict().items():
        assert torch.allclose(tensor, model.state_dict()[name], atol=1e-5), name
    assert torch.equal(model.extractor(STREAM).rows, assembled_rows(config))


def assembled_rows(config):
    seed_all(0)
    return assemble(config, TARGETS).extractor(STREAM).rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "train.device is 'tpu'; use auto, cpu or cuda"),
        ({"device": "cpu", "precision": "16-mixed"}, "16-mixed, which needs a GPU"),
    ],
)
def test_a_device_that_cannot_be_used(options, message):
    with pytest.raises(ConfigError, match=message):
        chosen_precision(TrainConfig(**options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu():
    with pytest.raises(ConfigError, match=r"torch sees no GPU here; use train\.device=auto"):
        Trainer(TrainConfig(device="cuda"))
