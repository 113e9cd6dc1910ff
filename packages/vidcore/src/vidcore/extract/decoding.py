"""Decoding processes: watched, so that a video which crashes or hangs a decoder costs only its own row.

Why processes of our own and not threads, a DataLoader or multiprocessing: a thread cannot be killed, a DataLoader and
an executor cannot time out one item or lose one worker, and all that import torch take seconds to start. Frames come
through mapped memory, so that nothing is copied or pickled on the way; the memory has no name, so that a killed run
leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol

import torch
from torch import Tensor

from vidcore.errors import ConfigError

# One request is on its way while another is decoded, so that a process never waits for its next one.
AHEAD = 2
# A process may take so long to start on a busy machine, whatever is allowed for a video.
_START_SECONDS = 60.0
_LAST_WORDS_BYTES = 4096
_COMMAND = (sys.executable, "-m", "vidcore.extract._decode")


class DecodeJob(Protocol):
    """One clip to decode. Its methods are called by one thread, in this order."""

    @property
    def request(self) -> dict[str, Any]:
        """What :mod:`vidcore.extract._decode` is asked."""
        ...

    def begin(self, header: dict[str, Any]) -> None:
        """The number and size of the frames, and the clip that each sampling makes of them."""
        ...

    def put(self, frames: Tensor) -> None:
        """The next frames, uint8 (n, 3, H, W); the memory is used again when this returns."""
        ...

    def finish(self, after: Sequence[int], seconds: float, *, gpu: bool, note: str | None) -> None:
        """All frames were put: the file's state now, how long it took, whether a GPU decoded it, and why not."""
        ...

    def fail(self, stage: str, reason: str, seconds: float = 0.0) -> None:
        """There will be no (more) frames."""
        ...


class DecodePool:
    """Decoding processes with a thread each, which also fits the frames that arrive.

    Args:
        workers: Processes.
        timeout_seconds: A process that says nothing for so long while it decodes is killed.
        on_error: Hears of an error that is not a video's: the run cannot go on.
        gpu: Number of the GPU whose decoder is to be used; ``None``: CPUs decode.
    """

    def __init__(
        self,
        workers: int,
        timeout_seconds: float,
        on_error: Callable[[BaseException], None],
        gpu: int | None = None,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._todo: queue.SimpleQueue[DecodeJob | None] = queue.SimpleQueue()
        self._on_error = on_error
        self._closed = threading.Event()
        self._processes = [_Process(command, timeout_seconds, self._closed, gpu) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._serve, args=(process,), name=f"decode-{number}", daemon=True)
            for number, process in enumerate(self._processes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: DecodeJob) -> None:
        """Queue a clip."""
        self._todo.put(job)

    def close(self) -> None:
        """End all processes, whatever they are doing; jobs not finished hear nothing more."""
        self._closed.set()
        for _ in self._threads:
            self._todo.put(None)
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, process: _Process) -> None:
        # As many clips as there are processes are fitted at once; none is worth waking other threads for.
        torch.set_num_threads(1)
        sent: deque[DecodeJob] = deque()
        try:
            process.start()
            while True:
                while len(sent) < AHEAD and (job := self._next(wait=not sent)) is not None:
                    process.send(job.request)
                    sent.append(job)
                if not sent or self._closed.is_set():
                    return
                if not process.decode(sent[0]):
                    process.restart()
                    for job in list(sent)[1:]:
                        process.send(job.request)
                sent.popleft()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run must hear of it or wait for ever
            self._on_error(error)
        finally:
            process.end()

    def _next(self, *, wait: bool) -> DecodeJob | None:
        if self._closed.is_set():
            return None
        try:
            job = self._todo.get(block=wait)
        except queue.Empty:
            return None
        return job


class _Process:
    """One decoding process, the memory it shares with us, and its pipes."""

    def __init__(
        self, command: Sequence[str], timeout_seconds: float, closed: threading.Event, gpu: int | None
    ) -> None:
        self._command = list(command)
        self._gpu = [] if gpu is None else [str(gpu)]
        self._timeout = timeout_seconds
        self._closed = closed
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._silent = self._ready = False
        self._map: mmap.mmap | None = None

    def start(self) -> None:
        """Start it, unless the pool is closed."""
        with self._lock:
            if self._closed.is_set():
                return
            self._memory = _anonymous()
            self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            number = self._memory.fileno()
            self._process = subprocess.Popen(
                [*self._command, str(number), *self._gpu], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._complaints, pass_fds=[number], bufsize=0,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self._heard, self._map, self._ready = b"", None, False

    def send(self, message: dict[str, Any]) -> None:
        """Write a line. One that nobody reads any more is found out when the answer is missing."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def decode(self, job: DecodeJob) -> bool:
        """Pass the answers to one request on to its job. False where the process is gone.

        Raises:
            ConfigError: No process can decode as it was asked to.
        """
        began = time.perf_counter()
        shape: tuple[int, int] = (0, 0)
        while True:
            message = self._hear()
            if message is None:
                if not self._closed.is_set():
                    job.fail(*self._ending(), seconds=time.perf_counter() - began)
                return False
            if "ready" in message:
                self._ready = True
            elif "unusable" in message:
                # Every other clip would fail for the same reason.
                raise ConfigError(message["unusable"])
            elif "slot" in message:
                job.put(self._frames(message["offset"], message["count"], *shape))
                self.send({"free": message["slot"]})
            elif "frames" in message:
                shape = (message["height"], message["width"])
                job.begin(message)
            elif "done" in message:
                job.finish(message["done"], message["seconds"], gpu=message["gpu"], note=message["note"])
                return True
            else:
                job.fail(message["stage"], message["reason"], message["seconds"])
                return True

    def restart(self) -> None:
        """Another one in its place."""
        self.end()
        self.start()

    def kill(self) -> None:
        """From another thread: end it now, without waiting."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """End it and free what it held."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        self._memory.close()
        self._complaints.close()

    def _frames(self, offset: int, count: int, height: int, width: int) -> Tensor:
        size = count * height * width * 3
        if self._map is None or offset + size > len(self._map):
            self._map = mmap.mmap(self._memory.fileno(), os.fstat(self._memory.fileno()).st_size)
        flat = torch.frombuffer(self._map, dtype=torch.uint8, count=size, offset=offset)
        return flat.view(count, height, width, 3).permute(0, 3, 1, 2)

    def _hear(self) -> dict[str, Any] | None:
        """The next line, or None when the process ended, said nonsense, or nothing for too long."""
        process = self._process
        if process is None or process.stdout is None:
            return None
        self._silent = False
        number = process.stdout.fileno()
        patience = self._timeout if self._ready else max(self._timeout, _START_SECONDS)
        poll = select.poll()
        poll.register(number, select.POLLIN)
        while b"\n" not in self._heard:
            if not poll.poll(patience * 1000):
                self._silent = True
                return None
            more = os.read(number, 65536)
            if not more:
                return None
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            message: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            return None
        return message

    def _ending(self) -> tuple[str, str]:
        if self._silent:
            return "timeout", f"the decoder said nothing for {self._timeout:g} s"
        process = self._process
        if process is None:
            return "crash", "the decoder's process could not be started"
        try:
            code = process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "crash", "the decoder's process answered nonsense"
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return "crash", f"the decoder's process {how}{self._last_words()}"

    def _last_words(self) -> str:
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - _LAST_WORDS_BYTES))
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        return f" ({lines[-1].strip()})" if lines else ""


def _anonymous() -> IO[bytes]:
    """Memory as a file without a name: gone with the last process that has it open."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile()
    return os.fdopen(os.memfd_create("vidcore-frames", os.MFD_CLOEXEC), "r+b", buffering=0)
