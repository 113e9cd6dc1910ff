"""An extractor's published classifier as a model that answers about videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidcore.assemble import assemble
from vidcore.catalog import Registry, class_names
from vidcore.config import Choice, ExtractorChoice, RunConfig
from vidcore.config.classifier import with_classifier
from vidcore.data.clips import cut_clips
from vidcore.data.decode import VideoReader
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.features import FeatureMap
from vidcore.heads.base import TargetInfo
from vidcore.training.device import chosen_device
from vidcore.training.trained import TrainedModel

HEAD = "published"
# Windows of a video; SlowFast's test takes as many. Shorter videos are covered by fewer.
_MOST_CLIPS = 10


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
) -> PublishedModel:
    """An extractor with its published classifier.

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
    return PublishedModel(model.to(chosen_device(device)).eval(), config, targets, {})


class PublishedModel(TrainedModel):
    """An extractor's published classifier, which answers about videos like a trained model.

    A video is read in windows of the published length and pace, at most ten, evenly placed. What the authors
    average over views, logits or probabilities, is averaged over the windows.
    """

    @torch.inference_mode()
    def answer(self, row: Row) -> Tensor:
        """What the head predicts for one video, (1, classes)."""
        name = self.model.streams[0]
        extractor = self.model.extractor(name)
        clips = _windows(row, extractor.clip, frame_wise=extractor.outputs[extractor.output_names[0]].stride[0] == 1)
        total = None
        for frames, _ in clips:
            view = self._fitted(frames, extractor.clip)[None].to(self.device)
            fmap = extractor.features(view)[extractor.output_names[0]]
            mean = fmap.data.mean(2, keepdim=True)
            total = mean if total is None else total + mean
        assert total is not None  # a video has at least one window
        times = torch.zeros(1, device=total.device)
        return self.model.head.predictions(self.model.decide({name: FeatureMap(total / len(clips), times)}))


def _windows(row: Row, form: Any, *, frame_wise: bool) -> list[tuple[Tensor, Tensor]]:
    """Frames (T, C, H, W) of each window, and which of them are real."""
    length = form.frames or form.max_frames
    with VideoReader(row.video) as reader:
        times = reader.times_seconds
        inside = times[(times >= (row.start_seconds or 0)) & (times < (row.end_seconds or math.inf))]
        rate = len(times) / reader.duration_seconds if reader.duration_seconds > 0 else None
        stride = form.stride_frames
        if form.fps and rate:
            stride = max(1, round(form.stride_frames * rate / form.fps))
        steps = max(1, -(-len(inside) // stride))
        count = min(_MOST_CLIPS, -(-steps // length))
        sampling = Sampling(
            "multi_clip", frames=length if form.frames else min(length, steps), stride=stride, clips=count
        )
        if frame_wise:
            sampling = Sampling("uniform", frames=min(length, steps))
        found = cut_clips(reader, [sampling], start_seconds=row.start_seconds, end_seconds=row.end_seconds)[0]
    return [(clip.frames[: int(clip.mask.sum())], clip.mask) for clip in found]
