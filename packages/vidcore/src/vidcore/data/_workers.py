"""Processes that answer JSON requests line by line, watched: one that dies or falls silent costs only its request."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any

PROGRESS_KEY = "working"


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
    pool = [_Worker(command, timeout_seconds) for _ in range(min(max(1, workers), len(requests)))]
    threads = [threading.Thread(target=_serve, args=(worker, requests, todo, done), daemon=True) for worker in pool]
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
    """One process, started again when it is gone."""

    def __init__(self, command: Sequence[str], timeout_seconds: float) -> None:
        self.command = list(command)
        self.timeout_seconds = timeout_seconds
        self.closed = False
        self.process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        if self.process is None:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                encoding="utf-8",
            )  # fmt: skip
        process = self.process
        silent = threading.Event()
        line = ""
        try:
            if process.stdin is None or process.stdout is None:
                raise OSError("the process has no pipes")
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            while line := self._line(process, silent):
                answer: dict[str, Any] = json.loads(line)
                if PROGRESS_KEY not in answer:
                    return answer
        except (BrokenPipeError, json.JSONDecodeError):
            line = ""  # it died over the request, or in the middle of a line
        self._end()
        if silent.is_set():
            return {"stage": "timeout", "reason": f"the decoder said nothing for {self.timeout_seconds:g} s"}
        return {"stage": "crash", "reason": f"the decoder's process {_ending(process.returncode)}"}

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.closed = True
        self._end()

    def _line(self, process: subprocess.Popen[str], silent: threading.Event) -> str:
        def kill() -> None:
            silent.set()
            process.kill()

        watchdog = threading.Timer(self.timeout_seconds, kill)
        watchdog.start()
        try:
            return process.stdout.readline() if process.stdout else ""
        finally:
            watchdog.cancel()

    def _end(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close_quietly(pipe)


def _close_quietly(pipe: Any) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return  # what was still to be written has no reader any more


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
