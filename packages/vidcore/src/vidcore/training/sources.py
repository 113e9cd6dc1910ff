"""Where a run's batches come from: decoded anew in every epoch, or the store where no clip and no extractor changes."""

from __future__ import annotations

from vidcore.config import RunConfig
from vidcore.model import VideoModel
from vidcore.training.batches import BatchSource
from vidcore.training.loader import ClipLoader, ClipSplit
from vidcore.training.preparation import PreparedData
from vidcore.training.progress import Progress
from vidcore.training.stored import storable, store_features
from vidcore.training.trained import sampling_of
from vidcore.training.trainer import Trainer


def batch_sources(
    config: RunConfig, data: PreparedData, model: VideoModel, trainer: Trainer, progress: Progress
) -> dict[str, BatchSource]:
    """The batches of each split of a resolved ``config``."""
    named = data.splits.named()
    if storable(model) and not config.data.jitter:
        stored = store_features(
            model,
            data.rows,
            # Rows that no split asks for are not extracted.
            sorted({row for rows in named.values() for row in rows}),
            data.targets.values,
            sampling_of(config),
            config.data,
            config.train.precision,
            progress,
        )
        return {name: stored.part(rows) for name, rows in named.items()}
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
    return {
        name: ClipSplit(loader, rows, jitter=bool(config.data.jitter) and name == "train")
        for name, rows in named.items()
    }
