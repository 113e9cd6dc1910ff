"""Options of the trainer that change how it trains, and that each of them does."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors import safe_open
from torch.utils.checkpoint import checkpoint
from vidcore.assemble import assemble
from vidcore.config import TrainConfig, run_config
from vidcore.errors import ConfigError, DataError, TrainingError
from vidcore.features import FeatureMap
from vidcore.training import RunInterruptedError, load, open_run, resume, train
from vidcore.training.averaging import WeightAverage
from vidcore.training.batches import Batch, TrainingData
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.deadline import Deadline
from vidcore.training.recomputing import recompute_blocks
from vidcore.training.seeding import deterministic, seed_all
from vidcore.training.tracking import TensorBoardTracker
from vidcore.training.trainer import Trainer

from .test_resume import _digest
from .test_trainer import STREAM, TARGETS, Memory, _same, _train


def test_the_average_is_the_recurrence_and_forgets_its_beginning(tiny_config):
    model = assemble(tiny_config(), TARGETS)
    average, weight = WeightAverage(model, 0.9), model.head.linear.weight
    expected = weight.detach().clone()
    for update in range(1, 30):
        with torch.no_grad():
            weight.add_(0.1 * update)
        average.update(update)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight.detach()
    trained = weight.detach().clone()
    with average.applied():
        assert torch.allclose(weight, expected, rtol=1e-5)
    assert torch.equal(weight, trained)


def test_averaged_weights_are_validated_and_shipped(tiny_config, tmp_path):
    data = TrainingData(Memory(), Memory())
    plain, averaged = _train(tiny_config(), data), _train(tiny_config(), data, tmp_path, ema=0.9)
    assert [r["train_loss"] for r in plain.state.history] == [r["train_loss"] for r in averaged.state.history]
    assert [r["val_loss"] for r in plain.state.history] != [r["val_loss"] for r in averaged.state.history]
    row = averaged.state.history[averaged.state.best_epoch - 1]
    assert averaged.predict(Memory(), "test").loss == pytest.approx(row["val_loss"], rel=1e-6)
    last = torch.load(tmp_path / "last.pt", weights_only=True)
    assert last["ema"].keys() == last["model"].keys()
    assert not torch.equal(last["ema"]["head.linear.weight"], last["model"]["head.linear.weight"])


@pytest.mark.parametrize("crash", [1, 3, 4])
def test_an_averaged_training_resumes_bit_for_bit(tiny_config, tmp_path, crash):
    config, options = tiny_config(), {"ema": 0.9, "checkpoint_seconds": 0.0}
    whole = _train(config, TrainingData(Memory(), Memory()), **options)
    with pytest.raises(ConnectionError):
        _train(config, TrainingData(Memory(stop_at=crash), Memory()), tmp_path, **options)
    assert _same(whole.model, _train(config, TrainingData(Memory(), Memory()), tmp_path, resume=True, **options).model)


@pytest.mark.parametrize("name", [STREAM, "basic/naive_cnn"])
def test_recomputed_blocks_give_the_same_training(tiny_config, name):
    class Renamed(Memory):
        def batches(self, plan, epoch):
            for batch in super().batches(plan, epoch):
                yield Batch(batch.targets, batch.mask, batch.rows, {name: batch.clips[STREAM]})

    options = tiny_config().extractors[0].options if name == STREAM else {"width": 8, "frames": 2}
    config = tiny_config(extractors=[{"name": name, "options": options}])
    plain = _train(config, TrainingData(Renamed(), Renamed()))
    again = _train(config, TrainingData(Renamed(), Renamed()), gradient_checkpointing=True)
    # Dropout draws the same masks the second time; normalisation does not count a batch twice.
    for (key, one), other in zip(plain.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), key


def test_recomputing_keeps_fewer_activations(tiny_config):
    def kept(recompute):
        model = assemble(tiny_config(), TARGETS).train()
        if recompute:
            recompute_blocks(model)
        bytes_kept = 0

        def pack(tensor):
            nonlocal bytes_kept
            bytes_kept += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(Memory().videos)
        return bytes_kept

    assert checkpoint is not None
    assert kept(True) < kept(False) / 2


@pytest.mark.parametrize(
    ("extractor", "message"),
    [
        ({"name": STREAM, "freeze": True}, "has nothing to do: every extractor is frozen; leave it out"),
    ],
)
def test_recomputing_nothing_is_refused(tiny_config, extractor, message):
    with pytest.raises(ConfigError, match=message):
        recompute_blocks(assemble(tiny_config(extractors=[extractor]), TARGETS))


def test_an_extractor_without_blocks_cannot_be_recomputed(tiny_config, monkeypatch):
    model = assemble(tiny_config(), TARGETS)
    monkeypatch.setattr(type(model.extractor(STREAM)), "blocks", property(lambda self: [self.encoder]))
    with pytest.raises(ConfigError, match="does not name the blocks that it is made of"):
        recompute_blocks(model)


def test_parts_are_compiled_where_asked(tiny_config, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *args, **kwargs: compiled.append(type(self).__name__))
    _train(tiny_config(), TrainingData(Memory()), epochs=1)
    assert compiled == []
    _train(tiny_config(), TrainingData(Memory()), epochs=1, compile=True)
    assert compiled == ["PatchTransformer", "Concat", "MeanPool", "Classification"] or len(compiled) == 4
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"train\.compile on a CPU needs a C\+\+ compiler"):
        _train(tiny_config(), TrainingData(Memory()), epochs=1, compile=True)


def test_deterministic_is_for_the_run_only():
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    message = "op_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms"
    with pytest.raises(TrainingError, match=r"deterministic: op_cuda does not .*; leave it out"), deterministic(True):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="another error"), deterministic(True):
        raise RuntimeError("another error")


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h 30m", 5400), ("1.5s", 1.5), (12, 12)])
def test_lengths_of_time(text, seconds):
    assert TrainConfig(time_budget=text).time_budget == seconds


@pytest.mark.parametrize("text", ["2 hours", "h", "", "2h3", "-2h", 0])
def test_no_length_of_time(text):
    with pytest.raises(ConfigError, match=r"'train\.time_budget'"):
        run_config({"train": {"time_budget": text}})


def test_a_length_of_time_in_words():
    assert [Deadline(s).in_words for s in (7200, 5400, 5.2, 3661, 0.2)] == ["2h", "1h 30m", "5s", "1h 1m 1s", "0s"]


class _Clock(Deadline):
    """Over after so many questions."""

    def __init__(self, answers):
        super().__init__(3600.0)
        self.left = answers

    @property
    def over(self):
        self.left -= 1
        return self.left < 0


def test_a_run_whose_time_is_up_ships_the_best_model_and_goes_on(tiny_config, monkeypatch):
    from vidcore.training import job

    config = tiny_config(train={"epochs": 4, "lr": 1e-3})
    whole = train(config.model_copy(update={"name": "whole"}))
    # Three steps an epoch; asked before each epoch and after each step but an epoch's last.
    monkeypatch.setattr(job, "Deadline", lambda seconds: _Clock(4))
    run = train(config)
    assert not run.done
    results = run.read_results()
    assert results["complete"] is False
    assert (results["epochs"], results["updates"]) == (1, 4)
    assert "the time budget of 1h was over in epoch" in results["notes"][0]
    assert f"go on with: vidcore train --resume {run.root}" in results["notes"][0]
    assert json.loads(run.progress.read_text())["state"] == "stopped"
    assert load(run.root, device="cpu").facts["best_epoch"] == results["best_epoch"]
    monkeypatch.undo()
    again = resume(run.root)
    assert again.done
    assert _digest(again.weights) == _digest(whole.weights)
    assert again.read_results()["complete"] is True


def test_time_that_is_up_before_there_is_a_model(tiny_config, monkeypatch):
    from vidcore.training import job

    monkeypatch.setattr(job, "Deadline", lambda seconds: _Clock(2))
    config = tiny_config()
    with pytest.raises(RunInterruptedError) as caught:
        train(config)
    root = config.out / "tiny"
    assert str(caught.value) == (
        "epoch 1, step 3: the time budget of 1h was over before an epoch was complete, so there is no model yet\n"
        f"  go on with: vidcore train --resume {root}"
    )
    assert not (root / "results.json").exists()
    monkeypatch.undo()
    assert resume(root).done


def test_time_that_is_up_between_folds(tiny_config, monkeypatch):
    from vidcore.training import job

    config = tiny_config(train={"folds": 2, "epochs": 1, "batch_size": 8})
    whole = train(config.model_copy(update={"name": "whole"}))
    monkeypatch.setattr(job, "Deadline", lambda seconds: _Clock(3))
    with pytest.raises(RunInterruptedError, match=r"the time budget .*\n  go on with: vidcore train --resume"):
        train(config)
    run = open_run(config.out / "tiny")
    assert (run.fold(1).done, run.fold(2).done) == (True, False)
    monkeypatch.undo()
    assert _digest(resume(run.root).weights) == _digest(whole.weights)


def test_a_callback_stops_a_training_for_good(tiny_config):
    from vidcore.training import Callback

    class Enough(Callback):
        def __init__(self):
            self.steps, self.epochs = [], []

        def on_step(self, trainer, numbers):
            self.steps.append(numbers["train/loss"])

        def on_epoch(self, trainer, row):
            self.epochs.append(row["val_accuracy"])
            if len(self.epochs) == 2:
                trainer.stop()

    mine = Enough()
    trainer = Trainer(tiny_config(train={"epochs": 5}).train, callbacks=[mine])
    state = trainer.fit(assemble(tiny_config(), TARGETS), TrainingData(Memory(), Memory()))
    assert (state.epoch, len(mine.epochs), len(mine.steps)) == (2, 2, 4)
    assert not trainer.unfinished
    assert mine.epochs == [row["val_accuracy"] for row in state.history]


def test_the_clips_of_a_loss_that_is_no_number_are_kept(tiny_config, monkeypatch):
    config = tiny_config(train={"checkpoint_seconds": 0.0})
    monkeypatch.setattr(TensorBoardTracker, "step", lambda self, updates, numbers: _poison() if updates == 2 else None)
    models = []
    from vidcore.training.trainer import Trainer as Plain

    before = Plain.prepare
    monkeypatch.setattr(Plain, "prepare", lambda self, model: models.append(model) or before(self, model))

    def _poison():
        with torch.no_grad():
            models[0].head.linear.bias.fill_(math.inf)

    with pytest.raises(TrainingError) as caught:
        train(config)
    run = open_run(config.out / "tiny")
    path = run.wreck / "epoch1-step3-process0.safetensors"
    assert f"the loss is nan in epoch 1, step 3\n  the clips of the step are kept for inspection in {path}" in str(
        caught.value
    )
    with safe_open(str(path), "pt") as file:
        assert file.metadata()["what"] == "the loss is nan in epoch 1, step 3"
        assert file.get_tensor(f"0/clips/{STREAM}").shape == (8, 4, 3, 16, 16)
        assert len(set(file.get_tensor("0/rows").tolist())) == 8
        assert file.get_tensor("0/targets").shape == (8,)
    assert json.loads(run.progress.read_text())["state"] == "failed"
    # The checkpoint is from before the step.
    assert Checkpoints(run.checkpoints).load_last()["state"]["updates"] == 2


def test_features_that_are_no_numbers_are_named(tiny_config, tmp_path):
    config = tiny_config(extractors=[{**tiny_config().extractors[0].model_dump(), "freeze": True}])

    class Stored(Memory):
        def batches(self, plan, epoch):
            for numbers in plan:
                index = torch.tensor(list(numbers))
                data = torch.ones(len(numbers), 16, 2, 2, 2)
                data[index == 5, 3, 0, 1, 1] = math.nan
                features = {STREAM: FeatureMap(data, torch.arange(2.0))}
                mask = torch.ones(len(numbers), 4, dtype=torch.bool)
                yield Batch(self.targets[index], mask, tuple(numbers), features=features)

    seed_all(0)
    trainer = Trainer(config.train, wreck=tmp_path)
    # Standardised streams are read before the first step, which finds them; others are found by the loss.
    with pytest.raises(DataError, match=rf"the features of row 5 in stream '{STREAM}' are not finite"):
        trainer.fit(assemble(config, TARGETS), TrainingData(Stored()))
    assert not list(tmp_path.iterdir())
    config = config.model_copy(update={"train": config.train.model_copy(update={"standardise": False})})
    trainer = Trainer(config.train, wreck=tmp_path)
    with pytest.raises(TrainingError, match=rf"the stored features of '{STREAM}' are not finite in rows \[5\]"):
        trainer.fit(assemble(config, TARGETS), TrainingData(Stored()))
    (path,) = tmp_path.iterdir()
    with safe_open(str(path), "pt") as file:
        assert file.get_tensor(f"0/features/{STREAM}").isnan().any()
