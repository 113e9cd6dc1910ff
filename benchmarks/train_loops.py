"""One training of a small head on features in memory, by the trainer of vidcore and by four other loops.

All take the same steps: AdamW with the same groups, warm-up and cosine, gradients clipped at norm 1, shuffled batches
of whole rows cut from one tensor. The peers are given the fast way to feed them (a batch is indexed at once, not
collated from samples) and nothing to log, save or draw, except where a name says so.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from torch.utils.flop_counter import FlopCounterMode
from vidcore.catalog import FeatureInfo, FusionSpec, HeadSpec, ReadoutSpec, installed, load_target
from vidcore.config import RunConfig, TrainConfig, component_config
from vidcore.features import FeatureMap
from vidcore.heads.base import TargetInfo
from vidcore.model import VideoModel
from vidcore.training.batches import TrainingData
from vidcore.training.device import make_fabric
from vidcore.training.grid import GridData
from vidcore.training.optimisation import warmup_cosine
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder
from vidcore.training.seeding import seed_all
from vidcore.training.tracking import open_trackers
from vidcore.training.trainer import Trainer

STREAM = "features"


@dataclass(eq=False)
class Task:
    """A head to train: features (N, D, T, 1, 1), classes (N,), and how."""

    readout: str
    options: dict[str, Any] = field(default_factory=dict)
    clips: int = 2048
    dim: int = 384
    steps: int = 8
    classes: int = 10
    config: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=4, batch_size=32, device="cpu"))

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        targets = torch.randint(0, self.classes, (self.clips,), generator=generator)
        data = torch.randn(self.clips, self.dim, self.steps, 1, 1, generator=generator)
        self.data, self.targets = data, targets
        self.times = torch.arange(self.steps, dtype=torch.float32)

    def maps(self, index: Tensor) -> dict[str, FeatureMap]:
        """The features of some clips."""
        return {STREAM: FeatureMap(self.data[index], self.times)}

    def grid_data(self, folds: Mapping[int, tuple[list[int], list[int]]]) -> GridData:
        """All clips in memory."""
        return GridData.of({STREAM: FeatureMap(self.data, self.times)}, self.targets, folds)

    def model(self, seed: int = 0) -> VideoModel:
        """A fresh fusion, readout and head."""
        seed_all(seed)
        registry = installed()
        info = TargetInfo("class", tuple(map(str, range(self.classes))), (1,) * self.classes)

        def part(kind: Any, name: str, options: dict[str, Any], *inputs: Any) -> Any:
            spec = registry.get(kind, name)
            return load_target(spec)(spec, component_config(spec, options), *inputs)

        fusion = part(FusionSpec, "concat", {}, {STREAM: FeatureInfo(self.dim, stride=(1, 1, 1))})
        readout = part(ReadoutSpec, self.readout, self.options, fusion.output)
        return VideoModel({}, fusion, readout, part(HeadSpec, "classification", {}, readout.output, info))

    @property
    def updates(self) -> int:
        """Optimiser steps in all."""
        return self.config.epochs * -(-self.clips // self.config.batch_size)


def operations(task: Task) -> float:
    """Floating point operations of the matrix products in one training, counted on a real step."""
    model = task.model()
    index = torch.arange(task.config.batch_size)
    with FlopCounterMode(display=False) as counter:
        model.head.loss(model.decide(task.maps(index)), task.targets[index]).backward()
    return float(counter.get_total_flops() * task.updates)


def vidcore(task: Task) -> Callable[[], object]:
    """Our trainer as a library: nothing is written."""
    clips = task.grid_data({0: (list(range(task.clips)), [])}).clips
    fabric = make_fabric(task.config)

    def run() -> None:
        Trainer(task.config, fabric=fabric).fit(task.model(), TrainingData(clips))

    return run


def vidcore_equipped(task: Task) -> Callable[[], object]:
    """Our trainer as ``vidcore train`` runs it: progress.json, log, metrics.csv, TensorBoard, checkpoints."""
    from vidcore.training.checkpoints import Checkpoints

    clips = task.grid_data({0: (list(range(task.clips)), [])}).clips
    fabric = make_fabric(task.config)

    def run() -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = RunFolder(Path(name))
            trackers = open_trackers(folder, RunConfig(train=task.config), [], 0, 0)
            with Progress(folder.progress, log=folder.log) as progress:
                trainer = Trainer(
                    task.config,
                    fabric=fabric,
                    checkpoints=Checkpoints(folder.checkpoints),
                    progress=progress,
                    trackers=trackers,
                )
                trainer.fit(task.model(), TrainingData(clips))
            for tracker in trackers:
                tracker.close()

    return run


def bare(task: Task) -> Callable[[], object]:
    """What one writes by hand, without logging, checkpoints or checks; AdamW as torch gives it."""

    def run() -> None:
        model, config = task.model(), task.config
        optimizer = _plain_adamw(model, config)
        scheduler = warmup_cosine(optimizer, task.updates, config.warmup)
        parameters = list(model.parameters())
        model.train()
        for _ in range(config.epochs):
            for index in torch.randperm(task.clips).split(config.batch_size):
                optimizer.zero_grad()
                loss = model.head.loss(model.decide(task.maps(index)), task.targets[index])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                scheduler.step()

    return run


def _plain_adamw(model: VideoModel, config: TrainConfig) -> torch.optim.AdamW:
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr)


class _Rows(Dataset[dict[str, Tensor]]):
    """Indexed with a whole batch of numbers."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __len__(self) -> int:
        return self.task.clips

    def __getitem__(self, numbers: list[int]) -> dict[str, Tensor]:
        index = torch.tensor(numbers)
        return {"x": self.task.data[index], "labels": self.task.targets[index]}


def _loader(task: Task) -> DataLoader[dict[str, Tensor]]:
    rows = _Rows(task)
    sampler = BatchSampler(RandomSampler(rows), task.config.batch_size, drop_last=False)
    return DataLoader(rows, batch_size=None, sampler=sampler)


def lightning(task: Task) -> Callable[[], object]:
    """``lightning.Trainer`` with everything off that can be."""
    import logging

    from lightning import LightningModule
    from lightning import Trainer as Peer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = task.model()

        def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
            outputs = self.model.decide({STREAM: FeatureMap(batch["x"], task.times)})
            return self.model.head.loss(outputs, batch["labels"])

        def configure_optimizers(self) -> Any:
            optimizer = _plain_adamw(self.model, task.config)
            scheduler = warmup_cosine(optimizer, task.updates, task.config.warmup)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def run() -> None:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            peer = Peer(
                accelerator="cpu", max_epochs=task.config.epochs, gradient_clip_val=1.0, logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                default_root_dir=folder,
            )  # fmt: skip
            peer.fit(Module(), _loader(task))

    return run


def transformers(task: Task) -> Callable[[], object]:
    """``transformers.Trainer`` with everything off that can be."""
    from transformers import Trainer as Peer
    from transformers import TrainingArguments

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = task.model()

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            outputs = self.model.decide({STREAM: FeatureMap(x, task.times)})
            return {"loss": self.model.head.loss(outputs, labels), **outputs}

    class Fed(Peer):
        def get_train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
            return _loader(task)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            network = Network()
            optimizer = _plain_adamw(network.model, task.config)
            arguments = TrainingArguments(
                output_dir=folder, num_train_epochs=task.config.epochs, use_cpu=True, max_grad_norm=1.0,
                per_device_train_batch_size=task.config.batch_size, report_to=[], logging_strategy="no",
                save_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
            )  # fmt: skip
            scheduler = warmup_cosine(optimizer, task.updates, task.config.warmup)
            peer = Fed(network, arguments, train_dataset=_Rows(task), optimizers=(optimizer, scheduler))
            with contextlib.redirect_stdout(io.StringIO()):
                peer.train()
            if peer.state.global_step != task.updates:
                raise RuntimeError(f"transformers took {peer.state.global_step} steps, not {task.updates}")

    return run
