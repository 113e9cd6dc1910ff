"""What a run does to its training clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vidcore.config import RunConfig
from vidcore.config.augment import AugmentConfig
from vidcore.errors import DataError
from vidcore.frames import Frames
from vidcore.model import VideoModel
from vidcore.training.batches import Batch, BatchSource
from vidcore.training.preparation import PreparedData
from vidcore.training.stored import storable

if TYPE_CHECKING:
    from vidcore.data.augment import Augment


@dataclass(frozen=True, slots=True, eq=False)
class Augmentation:
    """How training clips are changed.

    clips   changes each by itself; ``None``: they stay as they are
    notes   what a person should be told
    """

    clips: Augment | None = None
    notes: tuple[str, ...] = ()


def augmentation_of(config: RunConfig, data: PreparedData, model: VideoModel) -> Augmentation:
    """The augmentation of a resolved ``config``.

    Raises:
        ConfigError: what is asked for would make the targets untrue, or ``flip_map`` does not fit the classes.
    """
    if not config.augments:
        return Augmentation()
    # Here, because torchvision, which it needs, takes as long to import as torch.
    from vidcore.data.augment import Augment, mix_batch

    targets, asked = data.targets, _with_published_flips(config.augment, data)
    clips = None
    if asked.changes_clips:
        clips = Augment(
            asked,
            classes=targets.classes,
            kind=targets.kind,
            size=_size(config, model),
            antialias=all(model.extractor(stream).clip.antialias for stream in model.streams),
        )
    if asked.mixes:
        # One pixel: what cannot be mixed is refused here, and not in the first step.
        pixel = {"": torch.zeros(1, 1, 3, 1, 1, dtype=torch.uint8)}
        mix_batch(pixel, targets.values[:1], np.random.default_rng(0), asked, classes=len(targets.classes))
    notes = list(clips.notes) if clips is not None else []
    if done := _named(asked, flips=clips is not None and clips.flips):
        notes.append(f"augment    {', '.join(done)}")
    if storable(model):
        names = ", ".join(model.streams)
        notes.append(f"augmented clips are others in every epoch: frozen {names} runs on each anew, and stored "
                     "features serve only validation and test")  # fmt: skip
    return Augmentation(clips, tuple(notes))


def _with_published_flips(asked: AugmentConfig, data: PreparedData) -> AugmentConfig:
    """What is asked for, with the mirror images that the data set states where none are given."""
    known = set(data.targets.classes)
    stated = {name: other for name, other in data.source.manifest.flip_map.items() if {name, other} <= known}
    return asked.model_copy(update={"flip_map": stated}) if stated and not asked.flip_map else asked


class MixedClips:
    """The clips of ``source``, those of each batch mixed with each other: a ``BatchSource`` for training.

    How a batch is mixed depends on the seed, the epoch and the rows in it, and on nothing else: not on the steps
    before it, so that a resumed training mixes as one that never stopped, and not on the parts that it is cut into
    where memory is too small.

    Args:
        source: of clips, not of features.
        config: ``mixup``, ``cutmix`` and ``mix`` are read.
        classes: how many there are; 0 where targets are numbers.
        seed: of what is drawn.
        device: where clips are mixed.
    """

    def __init__(
        self,
        source: BatchSource,
        config: AugmentConfig,
        *,
        classes: int = 0,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._source = source
        self._config = config
        self._classes = classes
        self._seed = seed
        self._device = device or torch.device("cpu")

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``; targets are shares of the classes (B, C), or numbers."""
        from vidcore.data.augment import mix_batch

        for batch in self._source.batches(plan, epoch):
            here = batch.to(self._device)
            generator = np.random.default_rng((self._seed, epoch, *batch.rows))
            clips = here.clips or {}
            videos = {name: _video(clip) for name, clip in clips.items()}
            mixed = mix_batch(videos, here.targets, generator, self._config, classes=self._classes, mask=here.mask)
            found = {name: _mixed(clip, mixed.clips[name], mixed.partner) for name, clip in clips.items()}
            yield replace(
                here, clips=found, targets=mixed.targets, mask=here.mask if mixed.mask is None else mixed.mask
            )


def _video(clips: Tensor | Frames) -> Tensor:
    """The pixels of clips that can be mixed.

    Raises:
        DataError: they have several lengths.
    """
    if isinstance(clips, Tensor):
        return clips
    if len(set(clips.shapes)) > 1:
        raise DataError(
            "mixup and cutmix mix clips of one length, and these have several; draw one window of each: "
            "data.jitter=true, or give all the same frames: data.sampling=uniform"
        )
    return clips.video


def _mixed(clips: Tensor | Frames, video: Tensor, partner: Tensor) -> Tensor | Frames:
    """The clips with other pixels; a frame is real where one of the two is."""
    if isinstance(clips, Tensor):
        return video
    return clips._replace(video=video, mask=clips.mask | clips.mask[partner.to(clips.mask.device)])


def _size(config: RunConfig, model: VideoModel) -> tuple[int, int] | None:
    """The size that all extractors take, to which a crop is brought at once; ``None`` where they differ."""
    side = config.data.size
    free = (side, side) if side is not None else None
    sizes = {model.extractor(stream).clip.size or free for stream in model.streams}
    return sizes.pop() if len(sizes) == 1 else None


def _named(config: AugmentConfig, *, flips: bool) -> list[str]:
    """What is on, with its numbers."""
    off = AugmentConfig()
    switches = ("crop", "flip", "brightness", "contrast", "saturation", "hue", "rand_augment", "erase", "drop_frames")
    mixes = ("mixup", "cutmix") if config.mixes else ()
    return [
        f"{name.replace('_', ' ')} {getattr(config, name)}"
        for name in (*switches, *mixes)
        if getattr(config, name) != getattr(off, name) and (name != "flip" or flips)
    ]
