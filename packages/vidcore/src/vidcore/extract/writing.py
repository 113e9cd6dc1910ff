"""The thread that puts records into the store and knows when a chunk is done."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable

from vidcore.errors import StoreError
from vidcore.extract.batching import Gate
from vidcore.extract.failures import FailedRow, FailureFile
from vidcore.extract.hashing import readable
from vidcore.extract.jobs import ClipJob
from vidcore.extract.plan import Chunk, PlannedChunk
from vidcore.extract.progress import Meter
from vidcore.extract.records import BadFeatures
from vidcore.store import Record, Writer

_Answer = tuple[ClipJob, "str | None", "dict[str, Record] | BadFeatures | None"]
# failures.csv is rewritten at most this often while the run goes on.
_FAILURES_SECONDS = 5.0
# Rows are remembered until the list was brought up to date with them: of millions that is not left to the end.
_MOST_LOOKED_AT = 1 << 16


class ChunkLedger:
    """Counts the clips of each chunk that are still under way; used by the writer's thread and the one that plans."""

    def __init__(self, on_done: Callable[[Chunk], None]) -> None:
        self._on_done = on_done
        self._left: dict[int, tuple[Chunk, int]] = {}
        self._of: dict[int, int] = {}
        self._lock = threading.Lock()

    def open(self, planned: PlannedChunk) -> None:
        """A chunk whose clips are about to be submitted."""
        if not planned.todo:
            self._on_done(planned.chunk)
            return
        with self._lock:
            self._left[planned.chunk.number] = (planned.chunk, len(planned.todo))
            for todo in planned.todo:
                self._of[todo.number] = planned.chunk.number

    def clip_done(self, number: int) -> None:
        """The clip whose first row is ``number`` needs nothing more."""
        with self._lock:
            chunk_number = self._of.pop(number)
            chunk, left = self._left.pop(chunk_number)
            if left > 1:
                self._left[chunk_number] = (chunk, left - 1)
                return
        self._on_done(chunk)


class StoreWriter:
    """Writes what the lanes give, in a thread of its own.

    Args:
        writers: Gives the store's writer of an extractor.
        several: Whether there are several extractors, so that failures name theirs.
        gate: Left by every clip that is done.
        ledger: Told of every clip that is done.
        meter: Counts rows and seconds.
        failures: The file that lists failed rows, if any.
    """

    def __init__(
        self,
        writers: Callable[[str], Writer],
        *,
        several: bool,
        gate: Gate,
        ledger: ChunkLedger,
        meter: Meter,
        failures: FailureFile | None,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._writer_of = writers
        self._several = several
        self._gate = gate
        self._ledger = ledger
        self._meter = meter
        self._file = failures
        self._on_error = on_error
        self._queue: queue.SimpleQueue[_Answer | None] = queue.SimpleQueue()
        self._used: dict[str, Writer] = {}
        self._looked_at: set[int] = set()
        self._unsaid: list[FailedRow] = []
        self._said_at = time.monotonic()
        self._lock = threading.Lock()
        self.failed: list[FailedRow] = []
        self.largest_record = 0
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, job: ClipJob, name: str, answer: dict[str, Record] | BadFeatures) -> None:
        """What extractor ``name`` gave for a clip. Never waits: the gate bounds what can be in the queue."""
        self._queue.put((job, name, answer))

    def drop(self, job: ClipJob) -> None:
        """A clip that failed before any extractor."""
        self._queue.put((job, None, None))

    def settle(self, planned: PlannedChunk) -> None:
        """Rows of a chunk that need no work: those that are there, and those whose files cannot be read.

        Raises:
            StoreError: The list of failures cannot be written.
        """
        self._meter.count("present", len(planned.present))
        self._meter.count("failed", len(planned.failed))
        with self._lock:
            self._looked_at.update(planned.present)
            self._looked_at.update(row.row for row in planned.failed)
            self._unsaid += planned.failed
            self.failed += planned.failed
            many = len(self._looked_at) > _MOST_LOOKED_AT
        if many:
            self._tell(None)

    def finish(self, total: int | None) -> None:
        """Write what is in the queue, flush the writers, and bring the list of failures up to date.

        Raises:
            StoreError: The disk refuses.
        """
        self._queue.put(None)
        self._thread.join()
        trouble: StoreError | None = None
        for writer in self._used.values():
            try:
                writer.flush()
            except StoreError as error:
                trouble = trouble or error
        if trouble is not None:
            # The list would not fit either; it is written when it does.
            with contextlib.suppress(StoreError):
                self._tell(total)
            raise trouble
        self._tell(total)

    def _work(self) -> None:
        try:
            while (answer := self._queue.get()) is not None:
                self._take(*answer)
                if self._unsaid and time.monotonic() - self._said_at > _FAILURES_SECONDS:
                    self._tell(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it or wait for ever
            self._on_error(error)

    def _take(self, job: ClipJob, name: str | None, answer: dict[str, Record] | BadFeatures | None) -> None:
        todo = job.todo
        if name is None:
            job.waiting_for = 0
        else:
            job.waiting_for -= 1
            if isinstance(answer, BadFeatures):
                job.failure = job.failure or ("model", f"{name}: {answer.reason}" if self._several else answer.reason)
            elif answer is not None:
                with self._meter.timed("write"):
                    writer = self._used.setdefault(name, self._writer_of(name))
                    writer.put(todo.keys[name], answer, readable(todo.row.video))
                self.largest_record = max(self.largest_record, sum(record.data.nbytes for record in answer.values()))
        if job.waiting_for:
            return
        job.free()
        with self._lock:
            self._looked_at.update(number for number, _ in todo.rows)
            if job.failure is not None:
                rows = [FailedRow(row.video, number, *job.failure) for number, row in todo.rows]
                self._unsaid += rows
                self.failed += rows
        self._meter.count("done" if job.failure is None else "failed", len(todo.rows))
        self._gate.leave()
        self._ledger.clip_done(todo.number)

    def _tell(self, total: int | None) -> None:
        with self._lock:
            looked, self._looked_at = self._looked_at, set()
            failed, self._unsaid = self._unsaid, []
            self._said_at = time.monotonic()
        if self._file is not None:
            self._file.update(looked, failed, total)
