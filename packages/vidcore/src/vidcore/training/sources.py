"""Where a run's batches come from: decoded anew in every epoch, or the store where no clip and no extractor changes."""

from __future__ import annotations

from vidcore.config import RunConfig
from vidcore.model import VideoModel
from vidcore.training.augmentation import MixedClips, augmentation_of
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
    """The batches of each split of a resolved ``config``.

    Where the training clips are all there is and are drawn anew in every epoch, ``fixed`` is what they are without it.
    """
    named = data.splits.named()
    decoded = set(named)
    if storable(model) and (config.augments or not config.data.jitter):
        # What judges augmented clips is not augmented, and can be stored.
        decoded = {"train"} if config.augments else set()
    kept = {name: rows for name, rows in named.items() if name not in decoded}
    sources: dict[str, BatchSource] = {}
    if kept:
        stored = store_features(
            model,
            data.rows,
            # Rows that no split asks for are not extracted.
            sorted({row for rows in kept.values() for row in rows}),
            data.targets.values,
            sampling_of(config),
            config.data,
            config.train.precision,
            progress,
        )
        sources |= {name: stored.part(rows) for name, rows in kept.items()}
    if decoded:
        loader = _loader(config, data, model, trainer)
        redrawn = bool(config.data.jitter) or config.augment.changes_clips
        sources |= {
            name: ClipSplit(loader, named[name], jitter=redrawn and name == "train")
            for name in named
            if name in decoded
        }
        if config.redraws_clips and len(named) == 1:
            # With nothing to judge by but the training clips, they are judged as they are.
            sources["fixed"] = ClipSplit(loader, named["train"])
    if config.augment.mixes and "train" in sources:
        sources["train"] = MixedClips(
            sources["train"],
            config.augment,
            classes=len(data.targets.classes),
            seed=config.train.seed,
            device=trainer.fabric.device,
        )
    return sources


def _loader(config: RunConfig, data: PreparedData, model: VideoModel, trainer: Trainer) -> ClipLoader:
    return ClipLoader(
        data.rows,
        data.targets.values,
        sampling_of(config),
        {name: model.extractor(name).clip for name in model.streams},
        seed=config.train.seed,
        size=config.data.size,
        jitter=bool(config.data.jitter),
        augment=augmentation_of(config, data, model).clips,
        workers=config.data.workers,
        pin=trainer.fabric.device.type == "cuda",
    )
