"""Where a run's batches come from: decoded anew in every epoch, or encoded once where nothing of the way changes."""

from __future__ import annotations

import os

from vidcore.config import RunConfig
from vidcore.model import VideoModel
from vidcore.training.batches import BatchSource
from vidcore.training.encoded import encode_once, feature_bytes
from vidcore.training.loader import ClipLoader, ClipSplit
from vidcore.training.preparation import PreparedData
from vidcore.training.progress import Progress
from vidcore.training.trained import sampling_of
from vidcore.training.trainer import Trainer


def batch_sources(
    config: RunConfig, data: PreparedData, model: VideoModel, trainer: Trainer, progress: Progress
) -> dict[str, BatchSource]:
    """The batches of each split of a resolved ``config``."""
    streams = {name: model.extractor(name).clip for name in model.streams}
    loader = ClipLoader(
        data.rows,
        data.targets.values,
        sampling_of(config),
        streams,
        seed=config.train.seed,
        size=config.data.size,
        workers=config.data.workers,
        pin=trainer.fabric.device.type == "cuda",
    )
    splits = {
        name: ClipSplit(loader, rows, jitter=bool(config.data.jitter) and name == "train")
        for name, rows in data.splits.named().items()
    }
    if config.data.jitter or len(model.frozen) < len(streams):
        return dict(splits)
    needed = _memory_needed(config, model, sum(map(len, splits.values())))
    if needed > _memory_allowed():
        progress.note(f"features of the frozen extractors would take {needed / 2**30:.1f} GiB: computed in every epoch")
        return dict(splits)
    progress.note("extractors are frozen and clips fixed: features are computed once and kept in memory")
    encoded: dict[str, BatchSource] = {}
    for name, split in splits.items():
        progress.begin(f"encoding {name}", len(split))
        encoded[name] = encode_once(
            model, trainer.encode, split, config.train.batch_size, lambda clips: progress.advance(clips, clips=clips)
        )
    return encoded


def _memory_needed(config: RunConfig, model: VideoModel, clips: int) -> int:
    streams = {}
    for name in model.streams:
        extractor = model.extractor(name)
        height, width = extractor.clip.size or ((config.data.size or 256),) * 2
        streams[name] = (extractor.outputs[extractor.output_names[0]], (config.data.frames or 16, height, width))
    return feature_bytes(streams, clips)


def _memory_allowed() -> int:
    """A quarter of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
