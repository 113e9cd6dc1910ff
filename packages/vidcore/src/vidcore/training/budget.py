"""How a run is trained where its configuration leaves that open: solved, or so many steps."""

from __future__ import annotations

import math
from itertools import chain

import torch
from torch import nn

from vidcore.config import RunConfig, TrainConfig
from vidcore.errors import ConfigError
from vidcore.model import VideoModel
from vidcore.training.fitting import is_fitted, takes_no_steps
from vidcore.training.footprint import memory_allowed
from vidcore.training.preparation import PreparedData
from vidcore.training.stored import storable

LEARNING_RATE = 1e-3
STEPS = 300
"""Steps that a training gets where nothing else is asked for."""
FEW_STEPS = 200
"""Fewer are said to be too few."""
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 50
_PATIENCE = 10
# Rows, or columns, up to which a symmetric matrix of them is taken apart in seconds.
_LARGEST_SPACE = 8192
# Rows x dimensions x outputs up to which a pass takes a second.
_MOST_WORK = 10**10
# Float64 copies of what the head reads that are held at once.
_COPIES = 4


def with_budget(config: TrainConfig, clips: int) -> TrainConfig:
    """The configuration with every open number of a training by steps filled in.

    Epochs are as many as give ``STEPS`` steps, between 10 and 50, with an early end; the learning rate is 1e-3.

    Args:
        config: of a training.
        clips: to train on.
    """
    steps = max(1, math.ceil(clips / config.batch_size))
    chosen = min(max(math.ceil(STEPS / steps), _FEWEST_EPOCHS), _MOST_EPOCHS)
    epochs = config.epochs if config.epochs is not None else chosen
    patience = config.patience
    if patience is None and config.epochs is None:
        patience = max(_PATIENCE, epochs // 5)
    return config.model_copy(
        update={"epochs": epochs, "patience": patience, "lr": config.lr if config.lr is not None else LEARNING_RATE}
    )


def resolved_training(config: RunConfig, model: VideoModel, data: PreparedData) -> RunConfig:
    """The run with ``train.solver`` decided, and for a training by steps its epochs, patience and learning rate.

    Raises:
        ConfigError: ``solver=exact`` was asked for and cannot be; the message says why, and what to type.
    """
    train = config.train
    if is_fitted(model):
        return config
    first = data.folds[0] if data.folds else data.splits
    reason = why_not_exact(config, model, len(data.splits.train) + len(data.splits.val))
    asked = [f"train.{name}" for name in ("epochs", "lr", "grid") if getattr(train, name) is not None]
    if train.solver == "exact":
        if reason is not None:
            raise ConfigError(f"train.solver=exact solves a linear head on frozen features; {reason}: "
                              "leave it away, or set train.solver=adamw")  # fmt: skip
        if asked:
            raise ConfigError(f"train.solver=exact takes no steps, so {', '.join(asked)} would change nothing; "
                              "leave one of the two away")  # fmt: skip
    if train.solver != "adamw" and reason is None and not asked:
        return config.model_copy(update={"train": train.model_copy(update={"solver": "exact"})})
    update = {"train": with_budget(train, len(first.train)).model_copy(update={"solver": "adamw"})}
    return config.model_copy(update=update)


def why_not_exact(config: RunConfig, model: VideoModel, rows: int) -> str | None:
    """Why a head cannot be solved to convergence; ``None`` where it can."""
    if config.heads:
        return "there are several heads"
    if not storable(model):
        trained = next(stream for stream in model.streams if stream not in model.frozen)
        return f"extractor {trained!r} is trained"
    if config.redraws_clips:
        return "training clips are drawn anew in every epoch (data.jitter or augment)"
    for kind, part in (("fusion", model.fusion), ("readout", model.readout)):
        if any(True for _ in chain(part.parameters(), part.buffers())):
            return f"{kind} {part.spec.name!r} has parameters"
    layer, head = model.head.output_layer, model.head
    if layer is None or {id(p) for p in head.parameters()} != {id(p) for p in layer.parameters()}:
        return f"head {head.spec.name!r} is not one linear layer with a convex loss"
    # That of frozen extractors is off.
    own = chain(model.fusion.modules(), model.readout.modules(), head.modules())
    if any(isinstance(module, nn.Dropout) and module.p for module in own):
        return "dropout is set, which is for training by steps"
    if config.train.strategy == "fsdp":
        return "train.strategy=fsdp divides the model"
    return _too_large(rows, layer)


def _too_large(rows: int, layer: nn.Linear) -> str | None:
    width = layer.in_features
    needed, allowed = _COPIES * 8 * rows * width, memory_allowed(torch.device("cpu"))
    if needed > allowed:
        return f"{rows} rows of {width} numbers take {needed / 2**30:.1f} GiB, and {allowed / 2**30:.1f} are allowed"
    if min(rows, width) > _LARGEST_SPACE or rows * min(rows, width) * layer.out_features > _MOST_WORK:
        return f"{rows} rows of {width} numbers and {layer.out_features} outputs are too many to solve in minutes"
    return None


def steps_in_words(config: RunConfig, model: VideoModel, data: PreparedData) -> str:
    """How the run is trained, for the header."""
    train = config.train
    if is_fitted(model):
        return "fitted in one go"
    if train.solver == "exact":
        return "solved to convergence, penalty by inner folds"
    early = f" at most, {train.patience} without a lower loss end it" if train.patience is not None else ""
    return (f"{train.epochs} epochs of batches of {train.batch_size}: {_steps(config, data)} steps{early}, "
            f"learning rate {_rate(train)}")  # fmt: skip


def training_notes(config: RunConfig, model: VideoModel, data: PreparedData) -> list[str]:
    """What a person should know before the training: too few steps, or features too many to be solved."""
    train = config.train
    if takes_no_steps(model, train):
        return []
    notes = []
    if (steps := _steps(config, data)) < FEW_STEPS:
        wanted = math.ceil(STEPS / (steps / (train.epochs or 1)))
        notes.append(f"{steps} steps are few: such a training is often not done after {FEW_STEPS}; "
                     f"more with train.epochs={wanted}, or a smaller train.batch_size")  # fmt: skip
    layer = model.head.output_layer
    rows = len(data.splits.train) + len(data.splits.val)
    if layer is not None and why_not_exact(config, model, rows) == (reason := _too_large(rows, layer)) and reason:
        notes.append(f"the head is trained by steps instead of solved: {reason}")
    return notes


def _steps(config: RunConfig, data: PreparedData) -> int:
    clips = len((data.folds[0] if data.folds else data.splits).train)
    return (config.train.epochs or 0) * max(1, math.ceil(clips / config.train.batch_size))


def _rate(train: TrainConfig) -> str:
    return "by grid" if train.grid is not None else f"{train.lr:g}"
