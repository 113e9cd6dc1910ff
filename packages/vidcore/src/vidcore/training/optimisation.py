"""AdamW, its parameter groups, and the learning rate over the steps."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from vidcore.config import TrainConfig
from vidcore.errors import TrainingError
from vidcore.extractors.base import Extractor
from vidcore.extractors.freezing import block_places, parameter_blocks
from vidcore.model import VideoModel


def adamw(model: VideoModel, config: TrainConfig) -> AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over what is trained.

    Vectors and scalars (biases, gains of norms) are not decayed; extractors learn at
    ``lr * extractor_lr_scale``, and their block i of n at ``layer_decay ** (n - i)`` of that (Bao et al. 2021,
    arXiv:2106.08254, section A). A parameter that is not trained is in no group. The first group learns at ``lr``,
    where anything besides extractors is trained.

    Raises:
        TrainingError: nothing is left to train.
    """
    rate = config.lr
    if rate is None:
        raise TrainingError("train.lr is open; with_budget fills it in")
    depths = _depths(model) if config.layer_decay < 1 else {}
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith("extractors."), depths.get(name, 0), parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    if not groups:
        raise TrainingError("the model has no parameter to train: every part is frozen or has none")
    return AdamW(
        [
            {
                "params": parameters,
                "lr": rate * (config.extractor_lr_scale if extractor else 1.0) * config.layer_decay**depth,
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (extractor, depth, decayed), parameters in sorted(groups.items(), key=lambda item: item[0])
        ],
        # One pass over the memory instead of eight. A scaled loss cannot be clipped with it: it unscales inside.
        fused=config.precision != "16-mixed",
    )


def _depths(model: VideoModel) -> dict[str, int]:
    """How many blocks of its extractor come between each parameter and the extractor's end, itself counted."""
    found: dict[str, int] = {}
    for prefix, module in model.extractors.items():
        if isinstance(module, Extractor):
            blocks = len(parameter_blocks(module))
            found |= {f"extractors.{prefix}.{name}": blocks - place for name, place in block_places(module).items()}
    return found


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """Linear warm-up over the share ``warmup`` of ``steps``, then a half cosine to zero.

    The first step already learns: its rate is ``lr / (warm-up steps + 1)``.
    """
    warm = round(steps * warmup)

    def scale(step: int) -> float:
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * min((step - warm) / max(steps - warm, 1), 1.0)))

    return LambdaLR(optimizer, scale)


def epoch_order(clips: int, seed: int, epoch: int) -> list[int]:
    """The order in which an epoch visits the clips: a permutation that depends on ``seed`` and ``epoch`` only."""
    return epoch_permutation(clips, seed, epoch).tolist()


def epoch_permutation(clips: int, seed: int, epoch: int) -> Tensor:
    """``epoch_order`` as a tensor (clips,)."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(clips, generator=generator)


def part_bounds(clips: int, parts: int) -> list[int]:
    """Where ``clips`` are cut into ``parts`` of nearly equal size: ``parts + 1`` bounds, the first being 0.

    The bounds of twice as many parts hold these.
    """
    return [round(part * clips / parts) for part in range(parts + 1)]


def steps_of(
    order: list[int], batch_size: int, accumulate: int, *, rank: int = 0, processes: int = 1
) -> list[list[list[int]]]:
    """Optimiser steps, each a list of the micro-batches of clip numbers of one process.

    Every step but the last has ``batch_size`` clips, over all processes. Each process cuts its share into
    ``accumulate`` micro-batches of nearly equal size; the last step has the rest. Where that is too little for
    all processes, some micro-batches are empty, so that all processes have as many; one process has no empty ones.
    """
    steps = []
    for first in range(0, len(order), batch_size):
        clips = order[first : first + batch_size]
        shares = part_bounds(len(clips), processes)
        own = clips[shares[rank] : shares[rank + 1]]
        parts = min(accumulate, max(b - a for a, b in pairwise(shares)))
        real = min(parts, len(own))
        cut = [own[a:b] for a, b in pairwise(part_bounds(len(own), real))] if own else []
        steps.append(cut + [[] for _ in range(parts - real)])
    return steps
