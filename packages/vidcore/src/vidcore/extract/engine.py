"""The engine: live extractors, decoding processes and a store, ready to take rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError, StoreError
from vidcore.extract.batching import BatchSizer
from vidcore.extract.decoder import Decoder, decoding_gpu
from vidcore.extract.decoding import DecodePool
from vidcore.extract.failures import FailureFile
from vidcore.extract.hashing import FileHashes
from vidcore.extract.identity import Keep, Precision, StoredType, extractor_identity
from vidcore.extract.keys import key_size
from vidcore.extract.lanes import Lanes
from vidcore.extract.leases import Leases
from vidcore.extract.pipeline import Pipeline, Stages
from vidcore.extract.plan import Planner, Shard
from vidcore.extract.progress import ExtractProgress
from vidcore.extract.report import ExtractReport
from vidcore.extract.views import Views
from vidcore.extractors.base import Extractor
from vidcore.store import FeatureStore, Writer

# A larger batch only makes the way to main memory longer on a CPU; a GPU wants many clips.
_CPU_SIZES, _CUDA_SIZES = (1, 8), (8, 256)
_CUDA_LINGER_SECONDS = 0.05
# Every lane holds the activations of a batch.
_MOST_LANES = 8
# One prepares a batch while the other one's is computed.
_CUDA_LANES = 2


class Engine:
    """Takes rows as often as it is given some; a context manager, which at its end closes the store's
    writers and ends the decoding processes.

    Args:
        extractors: Name -> extractor, all on one device, in eval mode.
        store: One that cannot be written will do where nothing is missing.
        sampling: How clips are cut, for each extractor by its own format; one clip a row.
        keep: See ``extractor_identity``.
        dtype: See there.
        precision: See there; ``bfloat16`` computes with autocast.
        replicas: What runs in place of ``extractors`` (which are what is meant), one mapping a lane: a faster runtime
            whose engines answer one caller at a time.
        size: Side in pixels for extractors that take any size.
        batch_size: Clips a batch; ``None``: found.
        workers: Decoding processes; ``None``: one per core. They wait where the model is what takes long.
        decoder: ``cpu``, or ``nvdec`` for what the extractors' GPU decodes with the same pixels; see
            ``vidcore.data.nvdec.Nvdec``.
        timeout_seconds: A decoder that says nothing for so long is taken for hung.
        hashes: Content hashes of files.

    Attributes:
        identities: Name -> identity of the collection that its features go to.

    Raises:
        ConfigError: A sampling with several clips a row, no extractors, several devices, a decoder that is not there.
    """

    def __init__(
        self,
        extractors: Mapping[str, Extractor],
        store: FeatureStore,
        sampling: Sampling,
        *,
        keep: Keep = "map",
        dtype: StoredType = "float32",
        precision: Precision = "float32",
        replicas: Sequence[Mapping[str, Extractor]] = (),
        size: int | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        decoder: Decoder = "cpu",
        timeout_seconds: float = 60.0,
        hashes: FileHashes | None = None,
    ) -> None:
        if sampling.clips != 1:
            raise ConfigError(f"this sampling cuts {sampling.clips} clips a row, and features are kept of one")
        device = one_device(extractors)
        self._gpu = decoding_gpu(decoder, device)
        self.identities = {
            name: extractor_identity(extractor, keep, dtype, precision) for name, extractor in extractors.items()
        }
        cores, cuda = available_cores(), device.type == "cuda"
        self._hashes = hashes or FileHashes(threads=max(2, cores // 2))
        self._workers = workers or cores
        self._timeout = timeout_seconds
        self._pool: DecodePool | None = None
        self._running: Pipeline | None = None
        clips = {name: extractor.clip for name, extractor in extractors.items()}
        samplings = {name: sampling.of(clip) for name, clip in clips.items()}
        self._writers: dict[str, Writer] = {}
        self._collections = {name: store.collection(identity) for name, identity in self.identities.items()}
        sizes = {name: key_size(clip, size) for name, clip in clips.items()}
        start, ceiling = _CUDA_SIZES if cuda else _CPU_SIZES
        if replicas and not cuda:
            # An engine runs the batches it was built for.
            batch_size = batch_size or 1
        sizers = {name: BatchSizer(batch_size, start=start, ceiling=ceiling) for name in extractors}
        lanes = lanes_on(device)
        self._stages = Stages(
            writers=self._writer,
            planner=Planner(self._collections, samplings, sizes, self._hashes, self._writers),
            views=Views(clips, samplings, size),
            sizers=sizers,
            linger_seconds=_CUDA_LINGER_SECONDS if cuda else 0.0,
            workers=self._workers,
            decoders=self._decoders,
            lanes=Lanes(
                list(replicas) or [dict(extractors)], sizers, device=device, count=lanes.count, threads=lanes.threads,
                keep=keep, dtype=dtype, precision=precision,
            ),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_decoders()
        self._hashes.close()
        writers = dict(self._writers)
        self._writers.clear()
        # After an error the writers may have nothing to say but the same error again.
        with suppress(StoreError) if error is not None else nullcontext():
            for writer in writers.values():
                writer.close()

    def run(
        self,
        rows: Iterable[Row],
        *,
        total: int | None = None,
        shard: Shard | None = None,
        leases: Leases | None = None,
        failures: FailureFile | None = None,
        on_progress: Callable[[ExtractProgress], None] | None = None,
    ) -> ExtractReport:
        """Extract what is missing of ``rows``; they are streamed, never all in memory.

        Args:
            rows: The rows.
            total: Their number, where it is known.
            shard: ``(i, n)``: only rows i, i + n, i + 2n, ...
            leases: Share the rows with other processes.
            failures: Where failed rows are listed.
            on_progress: Called from this thread a few times a second.

        Raises:
            StoreError: The store cannot be written: the disk is full, read-only. What was finished is kept.
            ExtractionError: An extractor fails on every clip.
        """
        threads = torch.get_num_threads()
        self._running = Pipeline(self._stages, total=total, shard=shard, leases=leases, failures=failures)
        finished = False
        try:
            report = self._running.carry_out(rows, on_progress)
            finished = True
        finally:
            if not finished:
                self._end_decoders()
            # Lanes and decoders set how many threads new threads compute with.
            torch.set_num_threads(threads)
        return report

    def _writer(self, name: str) -> Writer:
        """The store's writer, opened when the first record comes."""
        if name not in self._writers:
            self._writers[name] = self._collections[name].writer()
        return self._writers[name]

    def _decoders(self) -> DecodePool:
        """The processes, started when the first clip is to be decoded."""
        if self._pool is None:
            self._pool = DecodePool(self._workers, self._timeout, self._fail, self._gpu)
        return self._pool

    def _end_decoders(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _fail(self, error: BaseException) -> None:
        if self._running is not None:
            self._running.fail(error)


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class LaneCount:
    """How many lanes there are, and the threads each computes with."""

    count: int
    threads: int


def lanes_on(device: torch.device) -> LaneCount:
    """Lanes that keep a device busy: one per core of a CPU, with one thread each where there are no more than eight."""
    if device.type == "cuda":
        return LaneCount(_CUDA_LANES, torch.get_num_threads())
    cores = available_cores()
    count = min(cores, _MOST_LANES)
    return LaneCount(count, max(1, cores // count))


def one_device(extractors: Mapping[str, Extractor]) -> torch.device:
    """The device that all extractors are on.

    Raises:
        ConfigError: They are on several, or there are none.
    """
    if not extractors:
        raise ConfigError("nothing to extract: name at least one extractor (vidcore list-models)")
    devices: dict[torch.device, str] = {}
    for name, extractor in extractors.items():
        for value in extractor.parameters():
            devices.setdefault(value.device, name)
            break
    if len(devices) > 1:
        where = ", ".join(f"{name} on {device}" for device, name in devices.items())
        raise ConfigError(f"extractors that run together must be on one device; got {where}")
    return next(iter(devices), torch.device("cpu"))
