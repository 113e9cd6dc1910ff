"""Augmented training clips: what they depend on, and what is judged by clips that are not."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from vidcore.assemble import assemble
from vidcore.catalog import ClipFormat
from vidcore.config.augment import AugmentConfig
from vidcore.data.augment import Augment
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError
from vidcore.training import RunInterruptedError, resume, train
from vidcore.training.augmentation import MixedClips
from vidcore.training.batches import TrainingData
from vidcore.training.loader import ClipLoader, ClipSplit
from vidcore.training.seeding import seed_all
from vidcore.training.tracking import TensorBoardTracker
from vidcore.training.trainer import Trainer

from .test_memory import TooSmall
from .test_resume import _digest, _rows
from .test_trainer import STREAM, TARGETS, Memory

SIDES = ("turn_left", "turn_right")
SMALL = ClipFormat(size=(16, 16))
MUCH = AugmentConfig(
    crop="resized", flip=0.5, flip_map={"turn_left": "turn_right"}, brightness=0.3, erase=0.5, drop_frames=0.3
)


def _loader(rows, config, workers=0, **more):
    targets = torch.arange(len(rows)) % 2
    augment = Augment(config, classes=SIDES, size=(16, 16))
    return ClipLoader(rows, targets, Sampling(frames=3), {"a": SMALL}, seed=5, augment=augment, workers=workers, **more)


def _read(split, plan, epoch):
    batches = list(split.batches(plan, epoch))
    return torch.cat([batch.clips["a"].video for batch in batches]), torch.cat([batch.targets for batch in batches])


def test_augmented_clips_do_not_depend_on_workers_or_order(brightness):
    rows = read_source(brightness).rows[:8]
    here = ClipSplit(_loader(rows, MUCH), range(8), jitter=True)
    there = ClipSplit(_loader(rows, MUCH, workers=2), range(8), jitter=True)
    forth, labels = _read(here, [[0, 1, 2], [3, 4, 5, 6, 7]], 4)
    back, turned = _read(there, [[7, 6], [5, 4], [3, 2], [1, 0]], 4)
    assert torch.equal(forth, back.flip(0))
    assert torch.equal(labels, turned.flip(0))
    assert not torch.equal(forth, _read(here, [list(range(8))], 5)[0])


def test_a_mirrored_clip_has_the_label_of_its_mirror_image_and_only_in_training(brightness):
    rows = read_source(brightness).rows[:4]
    config = AugmentConfig(flip=1.0, flip_map={"turn_left": "turn_right"})
    loader = _loader(rows, config, jitter=False)
    seen, labels = _read(ClipSplit(loader, range(4)), [[0, 1, 2, 3]], 0)
    mirrored, swapped = _read(ClipSplit(loader, range(4), jitter=True), [[0, 1, 2, 3]], 0)
    assert labels.tolist() == [0, 1, 0, 1]
    assert swapped.tolist() == [1, 0, 1, 0]
    # Without jitter they are the same frames.
    assert torch.equal(mirrored, seen.flip(-1))


def test_how_a_batch_is_mixed_depends_on_its_rows_alone():
    mixed = MixedClips(Memory(), AugmentConfig(mixup=0.4, cutmix=1.0), classes=2, seed=1)
    plan = [[0, 1, 2], [3, 4], [5, 6, 7]]
    whole, rest = list(mixed.batches(plan, 2)), list(mixed.batches(plan[1:], 2))
    for one, other in zip(whole[1:], rest, strict=True):
        assert torch.equal(one.clips[STREAM], other.clips[STREAM])
        assert torch.equal(one.targets, other.targets)
        assert torch.allclose(one.targets.sum(1), torch.ones(len(one)))
    (later,) = mixed.batches(plan[:1], 3)
    assert not torch.equal(later.clips[STREAM], whole[0].clips[STREAM])


def test_a_mixed_step_in_smaller_parts_is_the_same_step(tiny_config):
    config = tiny_config(augment={"mixup": 0.4})
    still = config.extractors[0].model_copy(update={"options": {**config.extractors[0].options, "dropout": 0.0}})
    config = config.model_copy(update={"extractors": (still,)})
    losses = []
    for most in (100, 2):
        seed_all(0)
        model = assemble(config, TARGETS)
        TooSmall(model.head, most, torch.OutOfMemoryError("CUDA out of memory"))
        data = MixedClips(Memory(14), config.augment, classes=2)
        state = Trainer(config.train.model_copy(update={"epochs": 2})).fit(model, TrainingData(data))
        losses.append([row["train_loss"] for row in state.history])
        assert state.splits == (1 if most == 100 else 4)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_an_augmented_run_is_resumed_bit_for_bit(tiny_config, monkeypatch):
    config = tiny_config(augment={"crop": "resized", "flip": 0.5, "mixup": 0.4, "cutmix": 1.0}, train={"epochs": 2})
    whole = train(config.model_copy(update={"name": "whole"}))

    def press(self, updates, numbers):
        if updates == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TensorBoardTracker, "step", press)
        with pytest.raises(RunInterruptedError, match="in epoch 2 after 5 steps"):
            train(config)
    run = resume(config.out / "tiny")
    assert _digest(run.weights) == _digest(whole.weights)
    assert _rows(run.metrics) == _rows(whole.metrics)
    assert "augment    crop resized, flip 0.5, mixup 0.4, cutmix 1.0" in run.log.read_text()


def test_a_frozen_extractor_runs_on_augmented_clips_and_is_judged_by_stored_features(
    tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path / "cache"))
    config = tiny_config(augment={"erase": 0.5}, train={"epochs": 1})
    frozen = config.extractors[0].model_copy(update={"freeze": True})
    run = train(config.model_copy(update={"extractors": (frozen,)}))
    log = run.log.read_text()
    assert "frozen basic/patch_transformer runs on each anew" in log
    # Of 36 clips, 5 are for validation and 5 for the test.
    judged = sum(row.split != "train" for row in read_source(run.split, labels=False))
    assert f"features of {judged} clips were extracted" in log
    assert run.read_config().data.jitter is True


@pytest.mark.parametrize("more", [{"train": {"folds": 2, "epochs": 1, "refit": False}}, {}])
def test_no_part_is_judged_by_augmented_clips(tiny_config, more):
    # Mixed clips have no class, of which accuracy would complain; and here nothing but augmentation is random.
    data = {"jitter": False, "val_fraction": 0.0, "test_fraction": 0.0}
    run = train(tiny_config(**{"augment": {"mixup": 1.0}, "train": {"epochs": 1}, **more}, data=data))
    assert run.read_results()["test"]["clips"] == 36


def test_what_cannot_be_augmented_is_refused_before_a_folder_is_made(tiny_config, brightness, tmp_path):
    write_manifest([Row(row.video, extra={"level": 1.0 * i}) for i, row in enumerate(read_source(brightness))],
                   tmp_path / "numbers.csv")  # fmt: skip
    config = tiny_config(
        head={"name": "regression", "options": {"columns": ["level"]}},
        data={"source": str(tmp_path / "numbers.csv")},
        augment={"cutmix": 1.0},
    )
    with pytest.raises(ConfigError, match="whose number is then unknown; set cutmix: 0"):
        train(config)
    with pytest.raises(ConfigError, match=r"no class 'drak'; did you mean 'dark'\?"):
        train(tiny_config(augment={"flip": 0.5, "flip_map": {"drak": "bright"}}))
    assert not config.out.exists() or not list(config.out.iterdir())


def test_labels_that_name_a_side_are_said_to_keep_clips_from_being_mirrored(tiny_config, brightness, tmp_path):
    names = {"dark": "turn_left", "bright": "turn_right", "grey": "stop"}
    write_manifest([Row(row.video, names[row.label]) for row in read_source(brightness)], tmp_path / "sides.csv")
    run = train(tiny_config(data={"source": str(tmp_path / "sides.csv")}, augment={"flip": 0.5}, train={"epochs": 1}))
    log = run.log.read_text()
    assert "clips are not mirrored: 2 classes name a side" in log
    assert "augment    flip" not in log
