"""Processes that answer JSON requests line by line, watched: one that dies or falls silent costs only its request."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import IO, Any

PROGRESS_KEY = "working"
LAST_WORDS_BYTES = 4096


def answers(
    command: Sequence[str], requests: Sequence[dict[str, Any]], *, workers: int, timeout_seconds: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(position of the request, answer)`` in the order they arrive.

    A process that exits instead of answering is answered for with ``{"stage": "crash", "reason": ...}``, one that says
    nothing for ``timeout_seconds`` is killed and answered for with ``{"stage": "timeout", ...}``; a new one takes its
    place. Answers with the key ``working`` only say that it is alive. Leaving the iteration ends all processes.

    Plain subprocesses rather than multiprocessing: a script needs no ``if __name__ == "__main__"``, nothing is
    pickled, and one hung or killed member does not break the pool.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for position in range(len(requests)):
        todo.put(position)
    done: queue.SimpleQueue[tuple[int, dict[str, Any]] | BaseException] = queue.SimpleQueue()
    with contextlib.ExitStack() as files:
        pool = [
            _Worker(command, timeout_seconds, files.enter_context(tempfile.TemporaryFile()))
            for _ in range(min(max(1, workers), len(requests)))
        ]
        threads = [threading.Thread(target=_serve, args=(worker, requests, todo, done)) for worker in pool]
        try:
            for thread in threads:
                thread.start()
            for _ in range(len(requests)):
                answer = done.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            for worker in pool:
                worker.close()
            for worker, thread in zip(pool, threads, strict=True):
                if thread.ident is not None:
                    thread.join()
                worker.release()


def _serve(
    worker: _Worker,
    requests: Sequence[dict[str, Any]],
    todo: queue.SimpleQueue[int],
    done: queue.SimpleQueue[tuple[int, dict[str, Any]] | BaseException],
) -> None:
    try:
        while not worker.closed:
            position = todo.get_nowait()
            done.put((position, worker.ask(requests[position])))
    except queue.Empty:
        return
    except OSError as error:  # no such command, no more processes: the caller must hear of it or wait for ever
        done.put(error)


class _Worker:
    """One process, started again when it is gone. ``ask`` is for one thread; ``close`` may come from another."""

    def __init__(self, command: Sequence[str], timeout_seconds: float, complaints: IO[bytes]) -> None:
        self.command = list(command)
        self.timeout_seconds = timeout_seconds
        self.closed = False
        self._process: subprocess.Popen[str] | None = None
        self._complaints = complaints
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        process = self._running()
        if process is None:
            return {"stage": "crash", "reason": "the pass was ended"}
        silent = threading.Event()
        try:
            if process.stdin is None or process.stdout is None:
                raise OSError("the process has no pipes")
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            while line := self._line(process, process.stdout, silent):
                answer: dict[str, Any] = json.loads(line)
                if PROGRESS_KEY not in answer:
                    return answer
        except (BrokenPipeError, json.JSONDecodeError):
            silent.clear()  # it died over the request, or in the middle of a line
        self._end(process)
        if silent.is_set():
            return {"stage": "timeout", "reason": f"the decoder said nothing for {self.timeout_seconds:g} s"}
        return {"stage": "crash", "reason": f"the decoder's process {_ending(process.returncode)}{self._last_words()}"}

    def close(self) -> None:
        """End the process, whatever it is doing; no other is started."""
        with self._lock:
            self.closed = True
            if self._process is not None:
                self._process.kill()

    def release(self) -> None:
        """Free what the ended process held; after ``close``, when ``ask`` has returned."""
        if self._process is not None:
            self._end(self._process)

    def _running(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self.closed:
                return None
            if self._process is None:
                self._process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, text=True,
                    encoding="utf-8",
                )  # fmt: skip
            return self._process

    def _line(self, process: subprocess.Popen[str], output: IO[str], silent: threading.Event) -> str:
        def kill() -> None:
            silent.set()
            process.kill()

        watchdog = threading.Timer(self.timeout_seconds, kill)
        watchdog.start()
        try:
            return output.readline()
        finally:
            watchdog.cancel()

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was still to be written has no reader any more
                    pipe.close()
        self._process = None

    def _last_words(self) -> str:
        """The last line the process wrote to its standard error, which is then emptied for the next one."""
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - LAST_WORDS_BYTES))
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        self._complaints.seek(0)
        self._complaints.truncate()
        return f" ({lines[-1].strip()})" if lines else ""


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
