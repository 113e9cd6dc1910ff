"""The one call: rows and extractors in, features in a store."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sized
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.extract.decoder import Decoder
from vidcore.extract.engine import Engine, lanes_on, one_device
from vidcore.extract.failures import FailureFile
from vidcore.extract.identity import Keep, Precision, StoredType
from vidcore.extract.leases import Leases
from vidcore.extract.plan import Shard, check_shard
from vidcore.extract.progress import ExtractProgress
from vidcore.extract.report import ExtractReport
from vidcore.extractors.base import Extractor
from vidcore.store import FeatureStore

Runtime = Literal["auto", "eager", "compiled", "openvino"]
LEASES = ".leases"


def extract(
    rows: Iterable[Row],
    extractors: Mapping[str, Extractor],
    store: FeatureStore | str | os.PathLike[str],
    sampling: Sampling,
    *,
    keep: Keep = "map",
    dtype: StoredType = "float32",
    precision: Precision = "float32",
    runtime: Runtime = "eager",
    size: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    decoder: Decoder = "cpu",
    shard: Shard | None = None,
    share: bool = True,
    total: int | None = None,
    on_progress: Callable[[ExtractProgress], None] | None = None,
    failures: Path | None = None,
    timeout_seconds: float = 60.0,
) -> ExtractReport:
    """Extract what the store lacks of ``rows``, each video decoded once for all extractors.

    Every finished clip is in the store at once; a run that was killed goes on where it was. Several processes that
    are given the same rows and extractors share the work.

    Args:
        rows: A manifest, or any rows; streamed. A row's number is its position.
        extractors: Name -> live extractor, in eval mode, all on one device.
        store: A store, or its folder; one that cannot be written will do where nothing is missing.
        sampling: How clips are cut, one clip a row; ``Sampling("published")`` shows each extractor the frames of its
            own pace, any other rule the same frames to all.
        keep: ``map`` (D, T, H, W), ``sequence`` its spatial mean, ``pooled`` the mean over time too.
        dtype: Type in which features are stored.
        precision: Type in which they are computed.
        runtime: What runs the extractors; see ``vidcore.runtime.accelerate``.
        size: Side in pixels for extractors that take any size; ``None``: the video's own.
        batch_size: Clips a batch; ``None``: found while it runs.
        workers: Decoding processes; ``None``: one per core.
        decoder: ``cpu``, or ``nvdec`` for what the extractors' GPU decodes with the same pixels; see
            ``vidcore.data.nvdec.Nvdec``.
        shard: ``(i, n)``: only rows i, i + n, i + 2n, ...; such processes do not look at each other.
        share: Share the rows with other processes that work on them now.
        total: How many rows there are, for the progress; by default the length of ``rows`` where it has one.
        on_progress: Called a few times a second.
        failures: CSV file that lists the rows without features: path, row, stage, reason.
        timeout_seconds: A decoder that says nothing for so long is taken for hung.

    Returns:
        ExtractReport: Rows that failed are in it; they raise nothing.

    Raises:
        StoreError: The store cannot be written; what was finished is kept.
        ExtractionError: An extractor fails on every clip.
        ConfigError: A sampling with several clips a row; a shard, a runtime or a decoder that does not exist.
    """
    check_shard(shard)
    if not isinstance(store, FeatureStore):
        store = FeatureStore.open(store, write=None)
    with ExitStack() as stack:
        engine = stack.enter_context(
            Engine(
                extractors,
                store,
                sampling,
                keep=keep,
                dtype=dtype,
                precision=precision,
                replicas=replicas(extractors, runtime, sampling, size, batch_size),
                size=size,
                batch_size=batch_size,
                workers=workers,
                decoder=decoder,
                timeout_seconds=timeout_seconds,
            )
        )
        leases = None
        if share and shard is None and store.write:
            folder = store.path / LEASES / job_digest(engine.identities, sampling, size)
            leases = stack.enter_context(Leases(folder))
        return engine.run(
            rows,
            total=len(rows) if total is None and isinstance(rows, Sized) else total,
            shard=shard,
            leases=leases,
            failures=FailureFile(failures) if failures is not None else None,
            on_progress=on_progress,
        )


def replicas(
    extractors: Mapping[str, Extractor], runtime: Runtime, sampling: Sampling, size: int | None, batch_size: int | None
) -> list[Mapping[str, Extractor]]:
    """The extractors as ``runtime`` runs them, once for each lane; none where they run as they are.

    Engines are built for the threads of a lane, and for one clip a batch unless another size is given: on a CPU larger
    batches are not faster. Whatever is built is kept for the next time.

    Raises:
        ConfigError, RuntimeEngineError: The runtime is not there, or cannot run an extractor.
    """
    if runtime == "eager":
        return []
    from vidcore.runtime import accelerate

    lanes = lanes_on(one_device(extractors))
    first = {
        name: accelerate(
            extractor,
            runtime,
            frames=sampling.of(extractor.clip).frames,
            size=size,
            batch=batch_size or 1,
            threads=lanes.threads,
        )
        for name, extractor in extractors.items()
    }
    return [first, *({name: one.twin() for name, one in first.items()} for _ in range(lanes.count - 1))]


def job_digest(identities: Mapping[str, Mapping[str, Any]], sampling: Sampling, size: int | None) -> str:
    """Names what is done to rows; processes with the same name share them."""
    described = [
        sorted(json.dumps(identity, sort_keys=True) for identity in identities.values()),
        asdict(sampling),
        size,
    ]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
