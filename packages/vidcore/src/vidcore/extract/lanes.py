"""Running extractors over batches, in one thread (a lane) or several."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vidcore.errors import ExtractionError, VidcoreError
from vidcore.extract.batching import BatchQueue, BatchSizer
from vidcore.extract.hashing import readable
from vidcore.extract.identity import Keep, Precision, StoredType
from vidcore.extract.jobs import ClipJob
from vidcore.extract.progress import Meter
from vidcore.extract.records import BadFeatures, make_records
from vidcore.extractors.base import Extractor
from vidcore.runtime import Accelerated, OneDnnConvolutions
from vidcore.store import Record

Result = Callable[[ClipJob, str, "dict[str, Record] | BadFeatures"], None]

# Words of PyTorch's allocators; only the GPU's error has a type of its own.
_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
# An extractor that fails on so many clips before it has managed one fails on all.
_HOPELESS = 3


@dataclass(slots=True)
class _State:
    """What one extractor has managed so far."""

    done: int = 0
    failed: int = 0


class Lanes:
    """Threads that take batches and give records.

    On a CPU there is one lane a core, each computing with one thread: while decoding processes want the cores too,
    lanes share them with those as the system likes, where one computation on several threads would wait at each of
    its barriers for the thread that was put aside. On a GPU two lanes keep it fed: one prepares while one computes.

    Args:
        extractors: Live extractors by name, in eval mode: one mapping that all lanes share, or one for each.
        sizers: Batch sizes.
        device: Where the extractors are.
        count: Lanes.
        threads: Threads one operation of a lane may use.
        keep: See ``extractor_identity``.
        dtype: See there.
        precision: See there.

    Attributes:
        count: Lanes.
    """

    def __init__(
        self,
        extractors: Sequence[Mapping[str, Extractor]],
        sizers: Mapping[str, BatchSizer],
        *,
        device: torch.device,
        count: int,
        threads: int,
        keep: Keep,
        dtype: StoredType,
        precision: Precision,
    ) -> None:
        self._extractors = extractors
        self._sizers = sizers
        self._device = device
        self.count = count
        self._threads = threads
        self._keep: Keep = keep
        self._dtype: StoredType = dtype
        self._precision = precision
        self._states = {name: _State() for name in sizers}
        # Several threads at one convolution are what PyTorch's own choice was made for.
        alone = device.type == "cpu" and threads == 1
        self._convolving = {id(e) for mine in extractors for e in mine.values() if alone and _convolves(e)}

    def start(
        self,
        batches: BatchQueue[ClipJob],
        result: Result,
        meter: Meter,
        on_error: Callable[[BaseException], None],
    ) -> list[threading.Thread]:
        """Start the lanes; they end with the batches."""

        def work(extractors: Mapping[str, Extractor]) -> None:
            try:
                torch.set_num_threads(self._threads)
                with torch.inference_mode():
                    while (batch := batches.take()) is not None:
                        with meter.timed("model"):
                            self._run(extractors, *batch, result, meter)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it or wait for ever
                on_error(error)

        mine = [self._extractors[number % len(self._extractors)] for number in range(self.count)]
        threads = [
            threading.Thread(target=work, args=(extractors,), name=f"lane-{number}", daemon=True)
            for number, extractors in enumerate(mine)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _run(
        self, extractors: Mapping[str, Extractor], name: str, jobs: list[ClipJob], result: Result, meter: Meter
    ) -> None:
        sizer, state = self._sizers[name], self._states[name]
        # What one lane costs is the time of its own thread; by the clock, others that took the core would count too.
        clock = time.thread_time if self._threads == 1 else time.perf_counter
        began = clock()
        try:
            records = self._encode(extractors[name], name, jobs)
        except (VidcoreError, RuntimeError, ValueError, MemoryError) as error:
            trouble = error.with_traceback(None)
        else:
            sizer.record(len(jobs), clock() - began)
            state.done += len(jobs)
            for job, record in zip(jobs, records, strict=True):
                result(job, name, record)
            return
        # Outside the except clause, where nothing of the failed attempt is kept alive any more.
        if out_of_memory(trouble):
            self._free()
            smaller = sizer.shrink(len(jobs))
            if len(jobs) > 1:
                meter.note(f"{name}: out of memory at {len(jobs)} clips a batch; going on with {smaller}")
                half = len(jobs) // 2
                self._run(extractors, name, jobs[:half], result, meter)
                self._run(extractors, name, jobs[half:], result, meter)
                return
        if len(jobs) > 1:
            # One clip spoils a batch: find out which.
            for job in jobs:
                self._run(extractors, name, [job], result, meter)
            return
        state.failed += 1
        if isinstance(trouble, torch.AcceleratorError) or (not state.done and state.failed >= _HOPELESS):
            raise ExtractionError(
                f"{name} fails on every clip, last on {readable(jobs[0].todo.row.video)}: {_first_line(trouble)}"
            ) from trouble
        result(jobs[0], name, BadFeatures(_first_line(trouble)))

    def _encode(self, extractor: Extractor, name: str, jobs: list[ClipJob]) -> list[dict[str, Record] | BadFeatures]:
        views = [job.view(name) for job in jobs]
        video = self._batch([view.video[0] for view in views])
        mask, times = torch.cat([view.mask for view in views]), torch.cat([view.times for view in views])
        with self._autocast(), self._convolutions(extractor):
            maps = extractor.features(video, mask, times, views[0].shapes[0][0])
        return make_records(maps, len(jobs), self._keep, self._dtype)

    def _batch(self, views: list[Tensor]) -> Tensor:
        if self._device.type != "cuda":
            return views[0][None] if len(views) == 1 else torch.stack(views)
        pinned = torch.empty((len(views), *views[0].shape), dtype=torch.uint8, pin_memory=True)
        torch.stack(views, out=pinned)
        return pinned.to(self._device, non_blocking=True)

    def _convolutions(self, extractor: Extractor) -> AbstractContextManager[object]:
        return OneDnnConvolutions() if id(extractor) in self._convolving else nullcontext()

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "bfloat16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _convolves(extractor: Extractor) -> bool:
    """Whether its convolutions are worth watching every operator for them: not where the only one cuts patches."""
    # An engine may be built at its first clip, from the operators that PyTorch would run.
    if isinstance(extractor, Accelerated):
        return False
    return sum(isinstance(module, (nn.Conv2d, nn.Conv3d)) for module in extractor.modules()) > 1


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the GPU or of the machine; not any error whose text speaks of memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
