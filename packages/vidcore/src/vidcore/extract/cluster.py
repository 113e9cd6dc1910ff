"""Extraction on a Ray cluster: the worker of one machine, in a pool of actors (``pip install 'vidcore[ray]'``)."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidcore.data.manifest import write_manifest
from vidcore.data.spans import Span, read_span, spans
from vidcore.errors import ConfigError, ExtractionError, StoreError
from vidcore.extract.failures import FailedRow, FailureFile
from vidcore.extract.rows import RowSource
from vidcore.extract.worker import ChunkWorker, ExtractionJob
from vidcore.store import FeatureStore

ROWS_PER_TASK = 256


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What an extraction on a cluster did.

    Attributes:
        done: Rows whose features were computed.
        present: Rows that had all their features before.
        failures: Rows without features.
        seconds: How long it took.
        processes: Processes that answered; more than were asked for where some died and were replaced.
    """

    done: int
    present: int
    failures: tuple[FailedRow, ...] = field(repr=False)
    seconds: float
    processes: int

    @property
    def ok(self) -> bool:
        """Whether every row has its features."""
        return not self.failures

    @property
    def rows(self) -> int:
        """Rows seen."""
        return self.done + self.present + len(self.failures)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "done": self.done,
            "present": self.present,
            "failed": len(self.failures),
            "seconds": self.seconds,
            "processes": self.processes,
        }


def extract_on_cluster(
    source: RowSource | Path,
    job: ExtractionJob,
    *,
    workers: int,
    address: str | None = None,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    rows_per_task: int = ROWS_PER_TASK,
    on_task: Callable[[int, int], None] = lambda process, rows: None,
    failures: Path | None = None,
) -> ClusterReport:
    """Extract what the store lacks, with Ray Data's ``map_batches`` over an actor pool.

    Every actor is a ``ChunkWorker``. One that dies is started again and its task given to another; what it had
    flushed is in the store and is passed over. Tasks name places in the manifest, so that no process ever holds
    its rows.

    Args:
        source: A manifest, on a disk that all machines see; or rows, which are written to one in the store.
        job: What is extracted; its store and the videos lie on a disk that all machines see.
        workers: Actors in the pool.
        address: Of a running cluster (``auto``, ``ray://...``); ``None``: one is started on this machine.
        cpus_per_worker: Cores reserved for an actor, its decoding processes included.
        gpus_per_worker: GPUs reserved for an actor.
        rows_per_task: Rows of one task: what is looked at again when an actor dies.
        on_task: Called with the process that did a task and the rows in it.
        failures: CSV file that lists the rows without features.

    Raises:
        ConfigError: Ray is not installed.
        StoreError: The store cannot be written.
        ManifestError: The manifest cannot be read.
        ExtractionError: The cluster gave up, with what it said.
    """
    ray = _ray()
    # Before any machine is asked; and the rows are written into it.
    FeatureStore.open(job.store, write=True)
    manifest = source if isinstance(source, Path) else _written(source, job.store)
    started = time.perf_counter()
    done = present = 0
    failed: list[FailedRow] = []
    processes: set[int] = set()
    tasks = [{"first": span.first, "rows": span.rows, "offset": span.offset} for span in spans(manifest, rows_per_task)]
    if not tasks:
        return ClusterReport(0, 0, (), time.perf_counter() - started, 0)
    was_running = ray.is_initialized()
    if not was_running:
        cpus = None if address else max(1, round(workers * cpus_per_worker))
        ray.init(address=address, num_cpus=cpus, include_dashboard=None if address else False, log_to_driver=False,
                 logging_level="error", **({} if address else {"object_store_memory": 256 * 2**20}))  # fmt: skip
    try:
        for answer in _answers(ray, tasks, manifest, job, workers, cpus_per_worker, gpus_per_worker):
            done += answer["done"]
            present += answer["present"]
            failed += [FailedRow(Path(path), row, stage, reason) for path, row, stage, reason in answer["failures"]]
            processes.add(answer["process"])
            on_task(answer["process"], answer["rows"])
    except ray.exceptions.RayError as error:
        raise ExtractionError(
            f"the cluster gave up: {str(error).strip().splitlines()[-1]}\n"
            f"  what was finished is in {job.store}; the same command does the rest"
        ) from error
    finally:
        if not was_running:
            ray.shutdown()
    if failures is not None:
        every = range(tasks[-1]["first"] + tasks[-1]["rows"])
        FailureFile(failures).update(every, failed, None)
    return ClusterReport(done, present, tuple(failed), time.perf_counter() - started, len(processes))


class _Actor:
    """A ``ChunkWorker`` as Ray Data calls it: columns of a batch in, columns out."""

    def __init__(self, manifest: str, job: ExtractionJob) -> None:
        self._manifest = Path(manifest)
        self._worker = ChunkWorker(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        answers = []
        for first, rows, offset in zip(batch["first"], batch["rows"], batch["offset"], strict=True):
            result = self._worker(read_span(self._manifest, Span(int(first), int(rows), int(offset))))
            listed = [(str(f.path), f.row, f.stage, f.reason) for f in result.failures]
            answers.append(
                {
                    "done": result.done,
                    "present": result.present,
                    "rows": int(rows),
                    "process": os.getpid(),
                    "failures": listed,
                }
            )
        # One text column: failures of a task are a list of any length, which columns of numbers cannot hold.
        return {"answer": [json.dumps(answer) for answer in answers]}


def _answers(
    ray: Any, tasks: list[dict[str, int]], manifest: Path, job: ExtractionJob, workers: int, cpus: float, gpus: float
) -> Iterator[dict[str, Any]]:
    import ray.data as ray_data

    ray_data.DataContext.get_current().enable_progress_bars = False
    # One task a block, so that the pool takes the next one as soon as one is done.
    work = ray_data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
        _Actor,
        batch_size=1,
        compute=ray_data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        num_cpus=cpus,
        num_gpus=gpus or None,
        fn_constructor_args=(str(manifest.absolute()), job),
    )
    for row in work.iter_rows():
        yield json.loads(row["answer"])


def _written(source: RowSource, store: Path) -> Path:
    """The rows as a manifest that every machine can read: in the store, named by what it holds."""
    folder = store / ".manifests"
    new = folder / f".{secrets.token_hex(8)}.jsonl"
    rows = (replace(row.clip_only(), video=row.video.absolute()) for row in source.rows)
    try:
        write_manifest(rows, new)
        with new.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return new.replace(folder / f"{digest}.jsonl")
    except OSError as error:
        raise StoreError(f"cannot write the rows to {folder}: {error.strerror or error}") from error
    finally:
        new.unlink(missing_ok=True)


def _ray() -> Any:
    # Ray would otherwise build a new environment for every worker where it finds that uv started this process.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("--engine ray needs Ray, which is not installed: pip install 'vidcore[ray]'") from error
    return ray
