"""Several heads and several data sets in one run."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from vidcore.analysis import evaluate, write_report
from vidcore.assemble import assemble
from vidcore.config import build_run_config, run_config
from vidcore.data.manifest import Row, read_source, write_manifest
from vidcore.data.targets import class_targets, several_targets, value_targets
from vidcore.errors import ConfigError, WiringError
from vidcore.heads import TargetInfo
from vidcore.heads.several import SeveralHeads, shares
from vidcore.training import RunInterruptedError, load, resume, train
from vidcore.training.datasets import Balanced
from vidcore.training.predicting import scored
from vidcore.training.trainer import Trainer

LEVEL = {"dark": 0.0, "bright": 1.0, "grey": 0.5}
HEADS = [
    {"name": "classification", "label": "shade"},
    {"name": "regression", "label": "level", "weight": 0.25, "options": {"columns": ["level"]}},
]


@pytest.fixture(scope="module")
def graded(brightness, tmp_path_factory):
    """The clips of ``brightness`` with a column that says how bright they are."""
    path = tmp_path_factory.mktemp("graded") / "rows.csv"
    rows = [replace(row, extra={"level": LEVEL[str(row.label)]}) for row in read_source(brightness)]
    write_manifest(rows, path)
    return path


@pytest.fixture(scope="module")
def halves(graded, tmp_path_factory):
    """Two data sets: one knows the class of its rows, the other, twice as large, how bright they are."""
    folder = tmp_path_factory.mktemp("halves")
    rows = list(read_source(graded))
    write_manifest([replace(row, extra={}) for row in rows[::3]], folder / "classes.csv")
    numbers = [replace(row, label=None) for i, row in enumerate(rows) if i % 3]
    write_manifest(numbers, folder / "levels.csv")
    return folder


def two_heads(**more):
    """A model with a class and a number, and what it is asked of four clips: one has no number, one no class."""
    levels = {"0.mkv": 0, "1.mkv": 1, "2.mkv": 2, "3.mkv": 4}
    rows = [Row(name, "ab"[i % 2], extra={"level": level}) for i, (name, level) in enumerate(levels.items())]
    parts = {
        "shade": ([0, 1, 2], class_targets(rows[:3])),
        "level": ([0, 1, 3], value_targets([rows[0], rows[1], rows[3]], ["level"])),
    }
    targets = several_targets(parts, 4)
    config = run_config({"extractors": [{"name": "basic/naive_cnn", "options": {"width": 8}}], "heads": HEADS, **more})
    torch.manual_seed(0)
    model = assemble(config, TargetInfo.from_dict(targets.facts(range(4))))
    return model.eval(), targets


def test_the_loss_is_that_of_each_head_over_the_clips_it_has_targets_for():
    model, targets = two_heads()
    read = torch.randn(4, model.readout.output.dim, requires_grad=True)
    outputs = model.head({"shade": read, "level": read})
    level = model.head.heads[1]
    classes = F.cross_entropy(outputs["shade.logits"][:3], torch.tensor([0, 1, 0]), reduction="sum")
    known = torch.tensor([0, 1, 3])
    numbers = level.loss({"values": outputs["level.values"][known]}, torch.tensor([[0.0], [1.0], [4.0]])) * 3
    assert torch.allclose(model.head.loss(outputs, targets.values), (classes + 0.25 * numbers) / 4)
    # A step made of parts has the loss of the whole.
    parts = [
        model.head.loss({name: tensor[part] for name, tensor in outputs.items()}, targets.values[part])
        * model.head.loss_weight(targets.values[part])
        for part in (slice(0, 1), slice(1, 4))
    ]
    assert torch.allclose(sum(parts) / 4, model.head.loss(outputs, targets.values))


def test_a_head_without_a_clip_in_the_batch_gets_a_gradient_of_zero():
    model, targets = two_heads()
    read = torch.randn(1, model.readout.output.dim)
    model.head.loss(model.head({"shade": read, "level": read}), targets.values[2:3]).backward()
    shade, level = model.head.heads
    assert all(parameter.grad.abs().sum() > 0 for parameter in shade.parameters())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() == 0 for parameter in level.parameters())


def test_scores_are_those_of_each_head_alone():
    model, targets = two_heads()
    read = torch.randn(4, model.readout.output.dim)
    said = model.head.predictions(model.head({"shade": read, "level": read}))
    found = scored(model.head, said, targets.values)
    shade, level = model.head.heads
    columns = shares(model.head.targets)
    classes = scored(shade, columns[0].said(said)[:3], torch.tensor([0, 1, 0]))
    numbers = scored(level, columns[1].said(said)[[0, 1, 3]], torch.tensor([[0.0], [1.0], [4.0]]))
    expected = {f"shade/{name}": v for name, v in classes.items()} | {f"level/{name}": v for name, v in numbers.items()}
    assert found == pytest.approx(expected, nan_ok=True)
    assert model.head.score == "loss" and model.head.lower_is_better


def test_heads_share_a_readout_unless_they_have_their_own():
    own = [HEADS[0], {**HEADS[1], "readout": {"name": "gru", "options": {"width": 4}}}]
    shared, _ = two_heads()
    apart, _ = two_heads(heads=own)
    assert len(shared.readout.readouts) == 1 and len(apart.readout.readouts) == 2
    video = torch.randint(0, 256, (2, 4, 3, 32, 32), dtype=torch.uint8)
    assert apart(video)["level.values"].shape == (2, 1) and apart(video)["shade.logits"].shape == (2, 2)


def test_two_heads_of_one_run(graded, tiny_config):
    run = train(tiny_config(data={"source": str(graded)}, heads=HEADS, train={"epochs": 8}))
    test = run.read_results()["test"]
    assert test["scores"]["shade/accuracy"]["value"] > 0.9
    assert test["scores"]["level/rmse"]["value"] < 0.3
    assert test["heads"]["shade"]["per_class"].keys() == LEVEL.keys()
    # Every class is as often in every part, so that always answering the mean errs by the standard deviation.
    always = test["scores"]["level/rmse"]["baseline"]["training mean"]
    assert always == pytest.approx(torch.tensor(list(LEVEL.values())).std(correction=0).item())
    counts = json.loads(run.data.read_text())["class_counts"]["test"]
    assert counts == {"shade: bright": 2, "shade: dark": 2, "shade: grey": 2, "level": 6}
    assert run.read_results()["score"] == {"name": "loss", "lower_is_better": True}

    facts = json.loads(run.model.read_text())
    assert facts["targets"]["parts"]["shade"]["classes"] == ["bright", "dark", "grey"]
    model = load(run.root)
    assert isinstance(model.model.head, SeveralHeads) and model.model.head.weights == (1.0, 0.25)
    row = next(row for row in read_source(run.split) if row.split == "test")
    answer = model.predict([row.video])[0]
    assert answer.heads["shade"].label == row.label
    assert answer.heads["level"].values == pytest.approx((LEVEL[row.label],), abs=0.4)
    assert answer.as_dict()["heads"].keys() == {"shade", "level"}

    again = evaluate(run.root).judged
    assert again["scores"]["shade/accuracy"]["value"] == test["scores"]["shade/accuracy"]["value"]
    with pytest.raises(ConfigError, match="the model has no head 'shades'; did you mean 'shade'"):
        evaluate(run.root, data=str(graded), head="shades")
    with run.predictions_of("shade").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["label"] for line in lines} <= LEVEL.keys() and "p(bright)" in lines[0]
    page = write_report(run).read_text()
    assert "Where shade errs" in page and "level/rmse" in page


def test_two_data_sets_share_a_core_and_have_a_score_each(halves, tiny_config):
    heads = [HEADS[0], {**HEADS[1], "source": str(halves / "levels.csv"), "readout": {"name": "max"}}]
    source = {"source": str(halves / "classes.csv"), "balance": "equal"}
    run = train(tiny_config(data=source, heads=heads, train={"epochs": 2}))
    test = run.read_results()["test"]
    assert test["heads"]["shade"]["clips"] + test["heads"]["level"]["clips"] == test["clips"]
    rows = list(read_source(run.split, labels=False))
    assert Counter(row.extra["data_set"] for row in rows) == {
        str(halves / "classes.csv"): 12,
        str(halves / "levels.csv"): 24,
    }
    for split in ("train", "val", "test"):
        assert len({row.extra["data_set"] for row in rows if row.split == split}) == 2, "every part has rows of both"
    found = evaluate(run.root, data=str(halves / "levels.csv"), head="level").judged
    assert found["heads"].keys() == {"level"} and found["clips"] == 24


def test_a_run_of_two_data_sets_goes_on_bit_for_bit(halves, tiny_config, monkeypatch):
    heads = [HEADS[0], {**HEADS[1], "source": str(halves / "levels.csv")}]
    data = {"source": str(halves / "classes.csv"), "balance": "sqrt"}
    straight = train(tiny_config(data=data, heads=heads, train={"epochs": 2}, name="straight"))
    step = Trainer._step

    def stop(trainer, *arguments):
        if trainer.state.updates == 4:
            raise KeyboardInterrupt
        return step(trainer, *arguments)

    config = tiny_config(data=data, heads=heads, train={"epochs": 2, "checkpoint_seconds": 0.0}, name="stopped")
    monkeypatch.setattr(Trainer, "_step", stop)
    with pytest.raises(RunInterruptedError):
        train(config)
    monkeypatch.undo()
    stopped = resume(config.out / "stopped")
    assert stopped.weights.read_bytes() == straight.weights.read_bytes()


class Clips:
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def batches(self, plan, epoch):
        yield from plan


@pytest.mark.parametrize(("balance", "shares"), [("size", [90, 9, 1]), ("sqrt", [70, 22, 8]), ("equal", [34, 33, 33])])
def test_a_set_has_its_share_of_every_epoch(balance, shares):
    sets = ["a"] * 90 + ["b"] * 9 + ["c"]
    source = Balanced(Clips(100), sets, balance, seed=3)
    drawn = [source.drawn(epoch) for epoch in range(3)]
    for epoch in drawn:
        assert list(Counter(sets[clip] for clip in sorted(epoch)).values()) == shares
    seen = Counter(clip for epoch in drawn for clip in epoch if sets[clip] == "a")
    assert max(seen.values()) - min(seen.get(clip, 0) for clip in range(90)) <= 1, "none twice before all were once"
    small = Counter(clip for epoch in drawn for clip in epoch if sets[clip] == "b")
    assert max(small.values()) - min(small.values()) <= 1
    plan = [[0, 5], [99]]
    assert list(source.batches(plan, 1)) == [[drawn[1][0], drawn[1][5]], [drawn[1][99]]]


def test_wrong_heads_are_refused(graded, tiny_config):
    with pytest.raises(ConfigError, match=r"two heads are called 'classification'; tell them apart: heads\.1\.label="):
        run_config({"heads": [{"name": "classification"}, {"name": "classification"}]})
    with pytest.raises(ConfigError, match="give head or heads, not both; head is 'regression'"):
        run_config({"head": {"name": "regression"}, "heads": HEADS})
    with pytest.raises(ConfigError, match=r"data\.balance=sqrt weighs data sets, and there is one"):
        run_config({"heads": HEADS, "data": {"balance": "sqrt"}})
    with pytest.raises(ConfigError, match="mixup and cutmix mix the targets of one head"):
        run_config({"heads": HEADS, "augment": {"mixup": 0.2}})
    fitted = [*HEADS, {"name": "logistic_regression"}]
    with pytest.raises(WiringError, match="'logistic_regression' is fitted in one go and cannot be trained beside"):
        train(tiny_config(data={"source": str(graded)}, heads=fitted))


def test_heads_are_named_on_the_command_line_one_after_the_other():
    config = build_run_config(overrides=["heads.0.name=classification", "heads.1.name=regression", "heads.1.weight=2"])
    assert [(head.title, head.weight) for head in config.heads] == [("classification", 1.0), ("regression", 2.0)]
    with pytest.raises(ConfigError, match="'3' is not an index from 0 to 0"):
        build_run_config(overrides=["heads.0.name=classification", "heads.3.name=regression"])
