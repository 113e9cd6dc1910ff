"""Fitting a head in one go, where there is nothing to train by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from vidcore.config import RunConfig, TrainConfig
from vidcore.errors import WiringError
from vidcore.features import FeatureMap
from vidcore.fusion.base import Fusion
from vidcore.heads._fitted import Fitted
from vidcore.model import VideoModel
from vidcore.readouts.base import Readout
from vidcore.training.batches import Batch, BatchSource, in_order

# Clips of which maps are held at once; what is read out of them is kept.
_AT_ONCE = 64


def is_fitted(model: VideoModel) -> bool:
    """Whether the head is fitted on features instead of trained."""
    return isinstance(model.head, Fitted)


def takes_no_steps(model: VideoModel, config: TrainConfig) -> bool:
    """Whether the head is fitted or solved in one go, so that there are no epochs to speak of."""
    return is_fitted(model) or config.solver == "exact"


def check_fitted(model: VideoModel, config: RunConfig) -> None:
    """Refuse what a head that is fitted cannot be combined with: parts that would have to be trained before it.

    Raises:
        WiringError: naming them, and what to type instead.
    """
    if not is_fitted(model):
        return
    name = model.head.spec.name
    for number, stream in enumerate(model.streams):
        if stream not in model.frozen:
            raise WiringError(
                f"head {name!r} is fitted on features in one go, so nothing before it can be trained; extractor "
                f"{stream!r} would be: set extractors.{number}.freeze=true, or use --head classification"
            )
    plain: dict[str, tuple[Fusion | Readout, str]] = {
        "fusion": (model.fusion, "concat"),
        "readout": (model.readout, "mean"),
    }
    for kind, (part, other) in plain.items():
        if any(parameter.requires_grad for parameter in part.parameters()):
            raise WiringError(
                f"head {name!r} is fitted on features in one go, so nothing before it can be trained; {kind} "
                f"{part.spec.name!r} has parameters: use --{kind} {other}, or --head classification"
            )
    if config.augment.mixes:
        raise WiringError(f"head {name!r} is fitted on clips of one class each; set augment.mixup=0 augment.cutmix=0")


@torch.no_grad()
def fit_head(
    model: VideoModel,
    source: BatchSource,
    encode: Callable[[Batch], Mapping[str, FeatureMap]],
    autocast: Callable[[], AbstractContextManager[object]],
    told: Callable[[int], None],
) -> float:
    """Read out every clip of ``source`` once and fit the head on that; gives back its mean loss on them.

    Args:
        model: fusion and readout on the device, without parameters to train.
        source: the training clips.
        encode: the streams' maps of a batch, on the device.
        autocast: the run's precision.
        told: hears how many clips were read.

    Raises:
        DataError: features that are not finite, or rows that the head cannot be fitted on.
    """
    if not isinstance(model.head, Fitted):
        raise TypeError(f"head {model.head.spec.name!r} is trained, not fitted")
    read: list[Tensor] = []
    targets: list[Tensor] = []
    for batch in source.batches(in_order(source, _AT_ONCE), 0):
        maps = encode(batch)
        with autocast():
            read.append(model.read(maps).float().cpu())
        targets.append(batch.targets.cpu())
        told(len(batch))
    features, true = torch.cat(read), torch.cat(targets)
    model.head.fit(features, true)
    return float(model.head.loss(model.head(features), true))
