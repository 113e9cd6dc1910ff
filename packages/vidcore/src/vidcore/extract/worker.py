"""Extraction described by names, for processes that build the extractors themselves; a chunk of rows at a time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vidcore.assemble import create
from vidcore.catalog import Registry
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError
from vidcore.extract.api import Runtime, replicas
from vidcore.extract.decoder import Decoder
from vidcore.extract.engine import Engine
from vidcore.extract.failures import FailedRow
from vidcore.extract.identity import Keep, Precision, StoredType
from vidcore.extract.memory import keep_freed_memory
from vidcore.extractors.base import Extractor
from vidcore.store import FeatureStore

# How launchers tell a process its number on the machine.
_PROCESS_NUMBERS = ("LOCAL_RANK", "SLURM_LOCALID")


@dataclass(frozen=True)
class ExtractionJob:
    """What is extracted and how, plain data: it can be sent to other processes and machines.

    Attributes:
        extractors: Names (with a weights' tag where wanted) and their options.
        store: Folder of the store.
        sampling: How clips are cut.
        keep: ``map``, ``sequence`` or ``pooled``; see ``extractor_identity``.
        dtype: Type in which features are stored.
        precision: Type in which they are computed.
        runtime: See ``vidcore.runtime.accelerate``.
        size: Side in pixels for extractors that take any size.
        batch_size: Clips a batch; ``None``: found.
        workers: Decoding processes; ``None``: one per core.
        decoder: ``cpu`` or ``nvdec``; see ``extract``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        timeout_seconds: A decoder that says nothing for so long is taken for hung.
    """

    extractors: tuple[tuple[str, Mapping[str, Any]], ...]
    store: Path
    sampling: Sampling
    keep: Keep = "map"
    dtype: StoredType = "float32"
    precision: Precision = "float32"
    runtime: Runtime = "eager"
    size: int | None = None
    batch_size: int | None = None
    workers: int | None = None
    decoder: Decoder = "cpu"
    device: str = "auto"
    timeout_seconds: float = 60.0

    def build(self, registry: Registry | None = None) -> dict[str, Extractor]:
        """The extractors, in eval mode on the device.

        Raises:
            UnknownNameError, ConfigError, WeightsError: Naming the extractor or the device.
        """
        return build_extractors(self.extractors, self.device, registry)


@dataclass(frozen=True)
class ChunkResult:
    """What came of some rows: how many were computed, how many were there, which failed."""

    done: int
    present: int
    failures: tuple[FailedRow, ...] = field(repr=False)


class ChunkWorker:
    """Extracts the rows it is called with; models and decoding processes stay between calls.

    ::

        worker = ChunkWorker(job)
        result = worker([(0, row), (1, other)])  # positions in the data, and rows

    Any number of workers, anywhere, may write to one store at once. Rows that are there are passed over, so a chunk
    may be given again after a worker died.
    """

    def __init__(self, job: ExtractionJob, registry: Registry | None = None) -> None:
        keep_freed_memory()
        extractors = job.build(registry)
        self._engine = Engine(
            extractors,
            FeatureStore.open(job.store, write=True),
            job.sampling,
            keep=job.keep,
            dtype=job.dtype,
            precision=job.precision,
            replicas=replicas(extractors, job.runtime, job.sampling, job.size, job.batch_size),
            size=job.size,
            batch_size=job.batch_size,
            workers=job.workers,
            decoder=job.decoder,
            timeout_seconds=job.timeout_seconds,
        )

    def __call__(self, rows: Sequence[tuple[int, Row]]) -> ChunkResult:
        """Extract what the store lacks of ``rows``, given with their positions in the data.

        Raises:
            StoreError, ExtractionError: As ``extract``.
        """
        report = self._engine.run([row for _, row in rows], total=len(rows))
        failures = tuple(FailedRow(f.path, rows[f.row][0], f.stage, f.reason) for f in report.failures)
        return ChunkResult(report.done, report.present, failures)

    def close(self) -> None:
        """End the decoding processes."""
        self._engine.__exit__(None, None, None)


def build_extractors(
    choices: Iterable[tuple[str, Mapping[str, Any]]], device: str, registry: Registry | None = None
) -> dict[str, Extractor]:
    """Extractors by name and options, in eval mode on ``device``; one named again is called ``name#2``.

    Random weights are drawn from one seed, so that every process of a job has the same network.

    Raises:
        UnknownNameError, ConfigError, WeightsError: Naming the extractor or the device.
    """
    where = chosen_device(device)
    built: dict[str, Extractor] = {}
    for name, options in choices:
        free = next(n for k in itertools.count(1) if (n := name if k == 1 else f"{name}#{k}") not in built)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            built[free] = create(name, registry=registry, **options).to(where).eval()
    return built


def chosen_device(asked: str) -> torch.device:
    """The device asked for; ``auto`` is a GPU where there is one.

    Of several GPUs a process takes the one of its number on this machine, where a launcher (torchrun, Fabric, srun)
    gave it one.

    Raises:
        ConfigError: An unknown device, or a GPU that torch does not see.
    """
    if asked == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        number = next((os.environ[name] for name in _PROCESS_NUMBERS if os.environ.get(name, "").isdigit()), "0")
        return torch.device("cuda", int(number) % torch.cuda.device_count())
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ConfigError(f"unknown device {asked!r}; use auto, cpu, cuda or cuda:1") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"unknown device {asked!r}; use auto, cpu, cuda or cuda:1")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {asked!r}: torch sees {torch.cuda.device_count()} GPUs here; use --device auto")
    return device
