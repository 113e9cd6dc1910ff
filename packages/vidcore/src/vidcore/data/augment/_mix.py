"""Mixup and CutMix: clips of a batch mixed with each other, and their targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vidcore.config.augment import AugmentConfig
from vidcore.errors import ConfigError, ShapeError


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A batch whose clips were mixed.

    clips     {stream: (B, T, C, H, W)}, of the type they had
    targets   float: shares of the classes (B, C), or numbers as they were shaped
    mask      (B, T) bool or None; a frame is real where one of the two was
    partner   (B,) int64, the clip that each was mixed with
    share     of the clip itself; 1 where nothing was mixed
    """

    clips: dict[str, Tensor]
    targets: Tensor
    mask: Tensor | None
    partner: Tensor
    share: float


def mix_batch(
    clips: Mapping[str, Tensor],
    targets: Tensor,
    generator: np.random.Generator,
    config: AugmentConfig,
    *,
    classes: int = 0,
    mask: Tensor | None = None,
) -> Mixed:
    """Mix every clip of a training batch with another one of it, by mixup or CutMix.

    mixup (arXiv:1710.09412) adds ``share`` of one clip and ``1 - share`` of the other, share ~ Beta(alpha, alpha),
    pixels and targets alike. CutMix (arXiv:1905.04899) pastes a rectangle of the other clip into all frames;
    ``share`` is then the area that is left. All streams are mixed alike, whatever their sizes.

    Args:
        clips: {stream: (B, T, C, H, W)}, uint8 as the loader gives them; not written to. Streams that share one
            tensor share the result.
        targets: class indices (B,) or {0, 1} (B, C) with ``classes``, or float numbers (B, ...).
        generator: what is drawn comes from it.
        config: ``mixup``, ``cutmix`` and ``mix`` are read.
        classes: how many there are; 0 where targets are numbers.
        mask: (B, T) bool, False where a frame is padding.

    Raises:
        ConfigError: CutMix of clips whose targets are numbers: those of two halves do not add up.
        ShapeError: class indices, and the number of classes is not given.
    """
    if config.cutmix > 0 and not classes:
        raise ConfigError("cutmix pastes a part of one clip into another, whose number is then unknown; set cutmix: 0")
    # Round a circle in random order: no clip meets itself.
    order = generator.permutation(len(targets))
    partner = torch.empty(len(targets), dtype=torch.int64)
    partner[torch.from_numpy(order)] = torch.from_numpy(np.roll(order, 1))
    soft = _shares(targets, classes)
    if not config.mixes or generator.random() >= config.mix:
        return Mixed(dict(clips), soft, mask, torch.arange(len(targets)), 1.0)
    ways = [way for way in ("mixup", "cutmix") if getattr(config, way) > 0]
    way = ways[int(generator.integers(len(ways)))]
    alpha = float(getattr(config, way))
    share = float(generator.beta(alpha, alpha))
    # Streams that look at frames in the same way are one tensor.
    distinct = {id(clip): clip for clip in clips.values()}
    if way == "mixup":
        mixed = {key: _blended(clip, partner, share) for key, clip in distinct.items()}
    else:
        box = _box(share, generator)
        pasted = {key: _pasted(clip, partner, box) for key, clip in distinct.items()}
        mixed = {key: clip for key, (clip, _) in pasted.items()}
        # Rounded to pixels, the rectangle differs a little between streams of different sizes.
        share = sum(left for _, left in pasted.values()) / len(pasted)
    other = partner.to(soft.device)
    real = None if mask is None else mask | mask[partner.to(mask.device)]
    targets = share * soft + (1 - share) * soft[other]
    return Mixed({name: mixed[id(clip)] for name, clip in clips.items()}, targets, real, partner, share)


def _shares(targets: Tensor, classes: int) -> Tensor:
    if classes and targets.dim() == 1 and not targets.is_floating_point():
        return one_hot(targets, classes).float()
    if not classes and not targets.is_floating_point():
        raise ShapeError(f"targets {tuple(targets.shape)} are class indices; give the number of classes")
    return targets.float()


def _blended(clips: Tensor, partner: Tensor, share: float) -> Tensor:
    mixed = torch.empty_like(clips)
    # Clip by clip: the floats of a whole batch would take four times its memory.
    for place, other in enumerate(partner.tolist()):
        blend = clips[place].float().mul_(share).add_(clips[other], alpha=1 - share)
        mixed[place] = blend if clips.is_floating_point() else blend.round_()
    return mixed


def _box(share: float, generator: np.random.Generator) -> tuple[float, float, float, float]:
    """(top, bottom, left, right) in shares of the sides; where it would leave the picture it is cut off."""
    half = float(np.sqrt(1 - share)) / 2
    row, column = generator.random(2)
    return max(row - half, 0.0), min(row + half, 1.0), max(column - half, 0.0), min(column + half, 1.0)


def _pasted(clips: Tensor, partner: Tensor, box: tuple[float, float, float, float]) -> tuple[Tensor, float]:
    height, width = clips.shape[-2:]
    top, bottom = (round(part * height) for part in box[:2])
    left, right = (round(part * width) for part in box[2:])
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips[partner.to(clips.device)][..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
