"""Features of frozen extractors, extracted once for all runs and read from the store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vidcore.cache import cache_dir
from vidcore.config import DataConfig
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import DataError
from vidcore.extract import ClipKeys, ExtractProgress, FailedRow, extract, extractor_identity, key_size
from vidcore.extract.estimate import estimate
from vidcore.extract.identity import Keep, Precision
from vidcore.extractors.base import Extractor
from vidcore.model import VideoModel
from vidcore.store import Collection, FeatureStore, Selection
from vidcore.training.batches import Batch, in_order
from vidcore.training.encoded import EncodedClips
from vidcore.training.progress import Progress

_READ_CLIPS = 256
_SHOWN_FAILURES = 5
# Records whose size is looked at, for all.
_LOOKED_AT = 16


class StoredClips:
    """A ``BatchSource`` over stored features: nothing is decoded or encoded, and nothing but a batch is in memory.

    Args:
        stored: per stream the features of ``rows``, in their order.
        targets: (N,) or (N, C), one per row of the data.
        rows: the rows this source consists of.
    """

    def __init__(self, stored: Mapping[str, Selection], targets: Tensor, rows: Sequence[int]) -> None:
        self.rows = list(rows)
        self._stored = stored
        self._targets = targets

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``; nothing is random here."""
        for numbers in plan:
            rows = [self.rows[number] for number in numbers]
            yield Batch(
                self._targets[rows],
                # Padding is marked in the maps; there are no frames any more.
                torch.ones(len(rows), 0, dtype=torch.bool),
                tuple(rows),
                features={stream: stored.read(numbers) for stream, stored in self._stored.items()},
            )

    def in_memory(self) -> EncodedClips:
        """The same clips with their features in main memory."""
        return EncodedClips(list(self.batches(in_order(self, _READ_CLIPS), 0)))


class StoredData:
    """Rows whose features of all streams are in the store.

    Args:
        collections: per stream where its features lie.
        keys: per stream the stored key of each row of the data that is in it.
        targets: (N,) or (N, C), one per row of the data.
    """

    def __init__(
        self, collections: Mapping[str, Collection], keys: Mapping[str, Mapping[int, str]], targets: Tensor
    ) -> None:
        self._collections = collections
        self._keys = keys
        self._targets = targets

    @property
    def bytes(self) -> int:
        """Memory that the features of all rows take."""
        total = 0
        for stream, stored in self._collections.items():
            keys, output = list(self._keys[stream].values()), next(iter(stored.outputs))
            # Clips differ in length, and in memory all are as long as the longest.
            some = keys[:: max(len(keys) // _LOOKED_AT, 1)]
            total += max(stored.record(key, output).data.nbytes for key in some) * len(keys)
        return total

    def part(self, rows: Sequence[int]) -> StoredClips | EncodedClips:
        """Some of the rows; in main memory where all of them take at most a quarter of it."""
        stored = {
            stream: collection.select([self._keys[stream][row] for row in rows])
            for stream, collection in self._collections.items()
        }
        clips = StoredClips(stored, self._targets, rows)
        return clips.in_memory() if rows and self.bytes <= _memory_allowed() else clips


def storable(model: VideoModel) -> bool:
    """Whether every extractor of ``model`` is frozen, so that a clip has the same features in every epoch and run."""
    return len(model.frozen) == len(model.streams)


def store_features(
    model: VideoModel,
    rows: Sequence[Row],
    used: Sequence[int],
    targets: Tensor,
    sampling: Sampling,
    config: DataConfig,
    precision: str | None,
    progress: Progress,
) -> StoredData:
    """Extract what the store lacks of ``rows``; each video is decoded once for all streams.

    Args:
        model: on its device; all its extractors are frozen.
        rows: the data.
        used: the rows whose features are wanted.
        targets: one per row.
        sampling: how clips are cut, for each stream by its own format.
        config: ``store``, ``runtime``, ``size`` and ``workers`` of the data.
        precision: of the run; features are computed in it.
        progress: hears how far it is.

    Raises:
        DataError: clips without features: a video that changed since it was checked, features that are not finite.
        StoreError: the store cannot be written.
    """
    store = FeatureStore.open(config.store or cache_dir("features"), write=None)
    extractors = {name: model.extractor(name) for name in model.streams}
    computed: Precision = "bfloat16" if precision == "bf16-mixed" else "float32"
    wanted, hashed = [rows[number] for number in used], ClipKeys()
    keys = {
        name: dict(zip(used, hashed.of(wanted, sampling.of(e.clip), key_size(e.clip, config.size)), strict=True))
        for name, e in extractors.items()
    }

    keep: Keep = "map" if model.fusion.spatial or model.readout.spatial else "sequence"
    # Whole maps serve a model that reads means too, where an earlier run has left them.
    usable: tuple[Keep, ...] = ("map",) if keep == "map" else ("map", "sequence")
    found: dict[str, Collection] = {}
    lacking: dict[str, Extractor] = {}
    for name, extractor in extractors.items():
        for kept in usable:
            found[name] = store.collection(extractor_identity(extractor, kept, "float32", computed))
            if not found[name].missing(keys[name].values()):
                break
        else:
            lacking[name] = extractor
    if lacking:
        absent = {key for name in lacking for key in found[name].missing(keys[name].values())}
        without = [rows[number] for number in used if any(keys[name][number] in absent for name in lacking)]
        progress.note(estimate(without, len(without), lacking, sampling, config.size).in_words())
        progress.begin("extracting features", len(wanted))
        report = extract(
            wanted,
            lacking,
            store,
            sampling,
            keep=keep,
            precision=computed,
            runtime=config.runtime,
            size=config.size,
            workers=config.workers or None,
            on_progress=_Told(progress),
        )
        if report.failures:
            raise DataError(_failed(report.failures, len(wanted)))
        progress.tell(extracted_clips=report.done, extraction_seconds=round(report.seconds, 1))
        took = f"{report.seconds:.0f} s"
        progress.note(f"features of {report.done} clips were extracted in {took}; {store.path} keeps them")
        for stored in found.values():
            stored.refresh()
    else:
        progress.tell(extracted_clips=0, extraction_seconds=0.0)
        progress.note(f"features of all {len(wanted)} clips come from {store.path}")
    return StoredData(found, keys, targets)


class _Told:
    """Turns the engine's counts into the run's progress."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = self._done = 0

    def __call__(self, now: ExtractProgress) -> None:
        seen, done = now.seen - self._seen, now.done - self._done
        self._seen, self._done = now.seen, now.done
        if seen:
            self._progress.advance(seen, clips=done)


def _failed(failures: Sequence[FailedRow], rows: int) -> str:
    shown = "\n  ".join(f"{f.path}: {f.stage}: {f.reason}" for f in failures[:_SHOWN_FAILURES])
    more = f"\n  and {len(failures) - _SHOWN_FAILURES} more" if len(failures) > _SHOWN_FAILURES else ""
    return f"{len(failures)} of {rows} clips have no features:\n  {shown}{more}"


def _memory_allowed() -> int:
    """A quarter of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
