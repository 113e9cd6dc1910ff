"""An extractor's published classifier as a model that answers about videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidcore.assemble import assemble
from vidcore.catalog import Registry, class_names
from vidcore.config import Choice, ExtractorChoice, RunConfig
from vidcore.config.classifier import with_classifier
from vidcore.heads.base import TargetInfo
from vidcore.training.device import chosen_device
from vidcore.training.trained import TrainedModel

HEAD = "published"


def load_published(
    name: str,
    *,
    weights: str | None = None,
    classes: str | None = None,
    labels: Sequence[str] | None = None,
    counts: Sequence[int] = (),
    label_map: Mapping[str, Any] | str | Path | None = None,
    device: str = "auto",
    registry: Registry,
) -> TrainedModel:
    """An extractor with its published classifier.

    A video is read in windows of the published length and pace, at most ten, evenly placed. What the authors
    average over views, logits or probabilities, is averaged over the windows.

    Args:
        name: ``family/variant.tag``, or without the tag where ``weights`` names a file.
        weights: a tag, a file, ``hf:owner/repo/file`` or an https address.
        classes: label set of the weights, where they do not say it.
        labels: classes of some data to answer with; by default the published ones.
        counts: how many rows of the data each label has.
        label_map: as the option of the head ``published``.
        device: auto, cpu or cuda.
        registry: components.

    Raises:
        UnknownNameError, ConfigError, WeightsError, WiringError.
    """
    given = {key: value for key, value in (("weights", weights), ("classes", classes)) if value}
    head = {"label_map": label_map} if label_map else {}
    config = RunConfig(extractors=(ExtractorChoice(name=name, options=given),), head=Choice(name=HEAD, options=head))
    config = with_classifier(config, registry)
    known = tuple(labels) if labels is not None else class_names(config.head.options["classes"])
    targets = TargetInfo("class", known, tuple(counts))
    model = assemble(config, targets, registry)
    return TrainedModel(model.to(chosen_device(device)).eval(), config, targets, {})
