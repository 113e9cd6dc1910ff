"""One pass over rows, with a thread for each stage.

    planner -> submitter -(gate)-> decoding processes -> batches -> lanes (models) -> writer

All stages overlap. The gate bounds how many clips are between the submitter and the writer, so that memory is bounded
whichever stage is slow.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from vidcore.data.manifest import Row
from vidcore.errors import StoreError
from vidcore.extract.batching import BatchQueue, BatchSizer, Gate
from vidcore.extract.decoding import DecodePool
from vidcore.extract.failures import FailureFile
from vidcore.extract.jobs import ClipJob
from vidcore.extract.lanes import Lanes
from vidcore.extract.leases import Leases
from vidcore.extract.plan import Chunk, PlannedChunk, Planner, Shard, cut_chunks
from vidcore.extract.progress import ExtractProgress, Meter
from vidcore.extract.report import ExtractReport
from vidcore.extract.views import Views
from vidcore.extract.writing import ChunkLedger, StoreWriter
from vidcore.store import Writer

_TOLD_SECONDS = 0.2
# How often to look again at chunks that other processes hold, when nothing else is left.
_HELD_SECONDS = 0.5
# Chunks of others that are kept to be looked at again: most are done soon after, and their rows need not be in memory.
_MOST_HELD = 32
# Clips under way may take this share of the memory, and never more than so many bytes.
_MEMORY_SHARE, _MEMORY_BYTES = 1 / 8, 8 << 30


@dataclass(frozen=True, slots=True)
class Stages:
    """What the passes of one engine share."""

    writers: Callable[[str], Writer]
    planner: Planner
    views: Views
    sizers: Mapping[str, BatchSizer]
    linger_seconds: float
    workers: int
    decoders: Callable[[], DecodePool]
    lanes: Lanes


class Pipeline:
    """One pass; see the module. ``fail`` may be called from any thread."""

    def __init__(
        self,
        stages: Stages,
        *,
        total: int | None,
        shard: Shard | None,
        leases: Leases | None,
        failures: FailureFile | None,
    ) -> None:
        self._stages, self._shard, self._leases = stages, shard, leases
        self._meter = Meter(total=total, lanes=stages.lanes.count)
        self._batches: BatchQueue[ClipJob] = BatchQueue(stages.sizers, stages.linger_seconds)
        self._budget = min(_memory() * _MEMORY_SHARE, _MEMORY_BYTES)
        self._largest_clip = 0
        self._gate = Gate(self._room())
        self._ledger = ChunkLedger(self._chunk_done)
        self._writer = StoreWriter(
            stages.writers, several=len(stages.sizers) > 1, gate=self._gate, ledger=self._ledger, meter=self._meter,
            failures=failures, on_error=self.fail,
        )  # fmt: skip
        self._planned: queue.SimpleQueue[PlannedChunk | None] = queue.SimpleQueue()
        # One chunk is planned ahead. It is leased only when it is wanted: what waits here is kept from other processes.
        self._wanted = threading.Semaphore(1)
        self._lock = threading.Lock()
        self._decoding, self._all_submitted = 0, False
        self._rows_seen, self._all_seen = 0, False
        self._leased: dict[int, str] = {}
        self._stop = threading.Event()
        self._error: BaseException | None = None

    def carry_out(self, rows: Iterable[Row], on_progress: Callable[[ExtractProgress], None] | None) -> ExtractReport:
        """Do it; see ``Engine.run``."""
        feeders = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("planner", lambda: self._plan(rows)), ("submitter", self._submit))
        ]
        self._writer.start()
        for thread in feeders:
            thread.start()
        lanes = self._stages.lanes.start(self._batches, self._writer.put, self._meter, self.fail)
        try:
            for lane in lanes:
                while lane.is_alive():
                    lane.join(_TOLD_SECONDS)
                    if on_progress is not None:
                        on_progress(self._meter.snapshot())
        finally:
            # Also after Ctrl-C: what a lane has begun is finished and written.
            complete = self._all_seen and not self._stop.is_set()
            self._halt()
            for thread in [*feeders, *lanes]:
                thread.join()
            with contextlib.suppress(StoreError) if self._error is not None else contextlib.nullcontext():
                self._writer.finish(self._rows_seen if complete and self._shard is None else None)
        if self._error is not None:
            raise self._error
        if on_progress is not None:
            on_progress(self._meter.snapshot())
        return self._report()

    def fail(self, error: BaseException) -> None:
        """The pass cannot go on."""
        with self._lock:
            self._error = self._error or error
        self._halt()

    def _halt(self) -> None:
        self._stop.set()
        self._gate.stop()
        self._batches.stop()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it or wait for ever
            self.fail(error)

    def _plan(self, rows: Iterable[Row]) -> None:
        try:
            for chunk in self._chunks(rows):
                planned = self._stages.planner.plan(chunk)
                self._writer.settle(planned)
                self._planned.put(planned)
        finally:
            self._planned.put(None)

    def _chunks(self, rows: Iterable[Row]) -> Iterator[Chunk]:
        """Chunks to do here: all of them, or those whose lease this process gets."""
        held: list[Chunk] = []
        most_held = _MOST_HELD
        if self._leases is not None:
            # What others finished before this process took part is not marked as done any more.
            self._stages.planner.refresh()
        for chunk in cut_chunks(rows, self._shard):
            self._rows_seen += len(chunk.rows)
            if self._acquire(chunk, held):
                yield chunk
            if self._stop.is_set():
                return
            if len(held) > most_held:
                yield from self._look_again(held)
                # Many processes hold many chunks: looking again after every further one would find the same.
                most_held = max(_MOST_HELD, 2 * len(held))
        self._all_seen = True
        while held and not self._stop.is_set():
            before = len(held)
            yield from self._look_again(held)
            if len(held) == before:
                self._stop.wait(_HELD_SECONDS)

    def _look_again(self, held: list[Chunk]) -> Iterator[Chunk]:
        """Those of ``held`` that are free now; what others still hold is left in it."""
        waiting = held.copy()
        held.clear()
        for chunk in waiting:
            if self._acquire(chunk, held):
                self._stages.planner.refresh()
                yield chunk

    def _acquire(self, chunk: Chunk, held: list[Chunk]) -> bool:
        """Wait until a chunk is wanted, and lease this one. False where others have it, and when stopped."""
        while not self._wanted.acquire(timeout=_TOLD_SECONDS):
            if self._stop.is_set():
                return False
        mine = self._leases is None or self._lease(self._leases, chunk, held)
        if not mine:
            self._wanted.release()
        return mine

    def _lease(self, leases: Leases, chunk: Chunk, held: list[Chunk]) -> bool:
        inherited, name = leases.taken_over, chunk.digest()
        answer = leases.acquire(name)
        if answer == "held":
            held.append(chunk)
        elif answer == "done":
            self._meter.count("elsewhere", len(chunk.rows))
        else:
            self._leased[chunk.number] = name
            if leases.taken_over > inherited:
                self._stages.planner.refresh()
        return answer == "mine"

    def _submit(self) -> None:
        while not self._stop.is_set():
            try:
                planned = self._planned.get(timeout=_TOLD_SECONDS)
            except queue.Empty:
                continue
            if planned is None:
                break
            self._wanted.release()
            self._ledger.open(planned)
            for todo in planned.todo:
                if not self._gate.enter():
                    return
                for name in todo.keys:
                    # Before anything is decoded for a store that cannot be written.
                    self._stages.writers(name)
                self._meter.start_clips()
                with self._lock:
                    self._decoding += 1
                job = ClipJob(todo, self._stages.views, self._meter, self._decoded)
                self._stages.decoders().submit(job)
        with self._lock:
            self._all_submitted = True
            finished = self._decoding == 0
        if finished:
            self._batches.close()

    def _decoded(self, job: ClipJob) -> None:
        if job.failure is not None:
            self._writer.drop(job)
        else:
            # Where one extractor's share of the clips lies in the map of another, they still fill batches of their own.
            for name in list(job.todo.keys):
                self._batches.put(name, job.shape(name), job)
            self._largest_clip = max(self._largest_clip, job.bytes)
            self._gate.limit = self._room()
        with self._lock:
            self._decoding -= 1
            finished = self._all_submitted and self._decoding == 0
        if finished:
            self._batches.close()

    def _room(self) -> int:
        """Clips that may be under way: enough that nobody waits, and within the memory they may take."""
        stages = self._stages
        largest_batch = max(sizer.target for sizer in stages.sizers.values())
        wanted = 2 * stages.workers + 2 * stages.lanes.count * largest_batch
        clip = self._largest_clip + self._writer.largest_record if self._largest_clip else 0
        return max(2, min(wanted, int(self._budget // clip))) if clip else wanted

    def _chunk_done(self, chunk: Chunk) -> None:
        if self._leases is not None:
            self._leases.release(self._leased.pop(chunk.number))

    def _report(self) -> ExtractReport:
        last, meter = self._meter.snapshot(), self._meter
        return ExtractReport(
            done=last.done,
            present=last.present,
            elsewhere=last.elsewhere,
            failures=tuple(sorted(self._writer.failed, key=lambda item: item.row)),
            seconds=last.seconds,
            clips_per_second=last.clips_per_second,
            stage_seconds=dict(meter.seconds),
            model_busy=last.model_busy,
            batch_sizes={name: sizer.target for name, sizer in self._stages.sizers.items()},
            on_gpu=meter.on_gpu,
            notes=last.notes,
        )


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
