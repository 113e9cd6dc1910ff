"""Writes a set of trajectory clips: video files, a manifest and metadata; in parallel, and resumable after any end."""

from __future__ import annotations

import csv
import errno
import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidcore.data.difficulty import DEFAULT_DIFFICULTY
from vidcore.data.synth.encode import encode_clip
from vidcore.data.synth.table import FUTURE, columns, is_current, row_of
from vidcore.data.synth.trajectories import (
    check_clip_arguments,
    check_number,
    clip_label,
    draw_scene,
    labels_of,
    render_scene,
)
from vidcore.errors import DataError

# A chunk is what one worker makes before it reports, about a second's work; not a parameter, so that the chunk files
# of an interrupted run fit whatever number of workers resumes it.
CHUNK = 64

_FORMAT = 1  # to be raised by whoever changes the bytes that a seed gives


@dataclass(frozen=True)
class SynthParameters:
    """What the bytes of a clip depend on besides its index; kept in ``synth.json`` and compared on resuming."""

    seed: int
    frames: int
    size: int
    fps: int
    difficulty: str = "easy"
    generator: str = "trajectories"
    format: int = _FORMAT


@dataclass(frozen=True)
class SynthReport:
    """What :func:`generate_trajectories` left behind.

    Attributes:
        out: the folder.
        manifest: CSV with columns ``video,label,index``, and ``past_positions``,
            ``last_position`` and ``future_positions`` of clips of 4
            frames or more: the centre of the object in the last frame, ``[x, y]``, and in the T // 2 frames after it,
            ``[[x, y], ...]``, as shares of the picture's width and height. Video paths are relative to it.
        metadata: JSONL, one line a clip in the order of the manifest.
        clips: number of clips in the set.
        per_label: number of clips of each class.
        written: clips encoded by this call.
        reused: clips found complete from an earlier call.
        seconds: wall-clock time of this call.
    """

    out: Path
    manifest: Path
    metadata: Path
    clips: int
    per_label: dict[str, int]
    written: int
    reused: int
    seconds: float


def generate_trajectories(
    out: str | Path,
    n: int,
    *,
    frames: int = 16,
    size: int = 64,
    seed: int = 0,
    workers: int = 1,
    fps: int = 16,
    difficulty: str = DEFAULT_DIFFICULTY,
    progress: Callable[[int, int], None] | None = None,
) -> SynthReport:
    """Writes ``n`` clips to ``out``: ``videos/000000.mp4`` ..., ``manifest.csv``, ``metadata.jsonl``, ``synth.json``.

    Clip i depends on ``seed``, i, ``frames``, ``size``, ``fps`` and ``difficulty`` alone, so the same arguments give
    the same bytes whatever ``workers`` is and however often the run was interrupted. Called again on its own folder it
    makes only what is missing; a larger ``n`` extends the set. Every file is written to a temporary name and renamed,
    and the manifest comes last: where it is, the set is complete.

    With ``workers`` above 1 the processes are spawned, so a script that calls this needs the usual
    ``if __name__ == "__main__":`` guard.

    Args:
        out: a new or empty folder, or one an earlier call with the same parameters began.
        n: number of clips; classes differ in number by at most one.
        frames: frames in a clip, at least 2.
        size: height and width in pixels, at least 16.
        seed: not negative.
        workers: processes.
        fps: frame rate written to the files.
        difficulty: ``easy``, ``medium`` or ``hard``; see ``vidcore.data.difficulty``.
        progress: called with (clips done, n) after each chunk.

    Raises:
        DataError: an argument is out of range; ``out`` is not a folder, holds other files, was made with other
            parameters or holds more than ``n`` clips; a file cannot be written (a full disk). What is finished is kept.
    """
    started = time.monotonic()
    check_number("n", n, 1)
    check_clip_arguments(seed, 0, frames, size, difficulty)
    check_number("workers", workers, 1)
    check_number("fps", fps, 1)
    out = Path(out)
    parameters = SynthParameters(
        seed=int(seed), frames=int(frames), size=int(size), fps=int(fps), difficulty=difficulty
    )
    try:
        written = _claim_and_fill(out, int(n), parameters, workers, progress)
        counts = _finish(out, int(n), parameters)
    except OSError as error:
        hint = "free some space" if error.errno == errno.ENOSPC else "make the folder writable"
        raise DataError(
            f"cannot write trajectories to {out}: {error.strerror or error}\n"
            f"  {hint} and run the same command again; the clips that are finished are kept"
        ) from error
    seconds = time.monotonic() - started
    return SynthReport(
        out, out / "manifest.csv", out / "metadata.jsonl", int(n), counts, written, int(n) - written, seconds
    )


def _claim_and_fill(
    out: Path, n: int, parameters: SynthParameters, workers: int, progress: Callable[[int, int], None] | None
) -> int:
    known = _claim(out, n, parameters)
    present = {entry.name for entry in (out / "videos").iterdir() if entry.stat().st_size > 0}
    if (
        known == n
        and is_current(out / "manifest.csv", parameters.frames)
        and all(_name(i) in present for i in range(n))
    ):
        if progress:
            progress(n, n)
        return 0
    (out / "manifest.csv").unlink(missing_ok=True)
    (out / ".chunks").mkdir(exist_ok=True)
    chunks = [range(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]
    todo = [chunk for chunk in chunks if not _is_done(out, chunk, present)]
    done, written = n - sum(map(len, todo)), 0
    if progress and done:
        progress(done, n)
    for chunk, encoded in _run(out, todo, parameters, present, workers):
        done, written = done + len(chunk), written + encoded
        if progress:
            progress(done, n)
    return written


def _claim(out: Path, n: int, parameters: SynthParameters) -> int | None:
    """Makes the folder ours or refuses it; returns the number of clips an earlier call asked for."""
    record_path = out / "synth.json"
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; trajectories need a folder: give another path")
    known: int | None = None
    if record_path.exists():
        record = _read_record(record_path)
        for key, ours in asdict(parameters).items():
            # Sets made before there were difficulties are easy.
            theirs = record.get(key, "easy" if key == "difficulty" else None)
            if theirs != ours:
                raise DataError(
                    f"{out} holds trajectories made with {key} {theirs!r}, now {ours!r} is asked for\n"
                    f"  give another folder, or the same {key} to complete this one"
                )
        known = int(record["clips"])
        if known > n:
            raise DataError(
                f"{out} holds a set of {known} trajectories, now {n} are asked for\n"
                f"  give another folder, or -n {known} or more to complete this one"
            )
    elif out.exists() and any(out.iterdir()):
        raise DataError(f"{out} holds files that are not trajectories (no synth.json): give a new or empty folder")
    (out / "videos").mkdir(parents=True, exist_ok=True)
    if known != n:
        _write(record_path, json.dumps({**asdict(parameters), "clips": n}, indent=2).encode() + b"\n")
    return known


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not the record of a trajectory set ({error}): give another folder") from error
    if not isinstance(record, dict) or not isinstance(record.get("clips"), int):
        raise DataError(f"{path} is not the record of a trajectory set (no 'clips'): give another folder")
    return record


def _is_done(out: Path, chunk: range, present: set[str]) -> bool:
    path = _chunk_path(out, chunk)
    if not all(_name(i) in present for i in chunk) or not path.exists():
        return False
    with path.open("rb") as lines:  # of a set that was smaller, the last chunk was shorter
        kept = [FUTURE.encode() in line for line in lines]
    # Earlier versions wrote less about the same videos.
    return len(kept) == len(chunk) and all(kept)


def _run(
    out: Path, todo: list[range], parameters: SynthParameters, present: set[str], workers: int
) -> Iterator[tuple[range, int]]:
    jobs = [(out, chunk, parameters, [i for i in chunk if _name(i) not in present]) for chunk in todo]
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield job[1], _make_chunk(*job)
        return
    # Spawned, because a fork of a process that has started threads (torch, a progress bar) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        futures = {pool.submit(_make_chunk, *job): job[1] for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _prepare_worker() -> None:
    # Ctrl-C reaches the whole process group; a worker finishes its chunk while the parent cancels the rest.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where the parent is killed, the pool's workers would wait for it for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_chunk(out: Path, chunk: range, parameters: SynthParameters, missing: list[int]) -> int:
    """Writes the missing videos of a chunk, then its metadata lines, which mark it done; returns how many videos."""
    wanted = set(missing)
    lines = []
    for index in chunk:
        scene = draw_scene(
            parameters.seed,
            index,
            frames=parameters.frames,
            size=parameters.size,
            difficulty=parameters.difficulty,
        )
        name = _name(index)
        if index in wanted:
            _write(out / "videos" / name, encode_clip(render_scene(scene), parameters.fps))
        lines.append(json.dumps({"video": f"videos/{name}", "fps": parameters.fps, **scene.metadata()}))
    _write(_chunk_path(out, chunk), ("\n".join(lines) + "\n").encode())
    return len(wanted)


def _finish(out: Path, n: int, parameters: SynthParameters) -> dict[str, int]:
    """Joins the chunks' metadata and writes the manifest, unless they are there; returns the clips of each class."""
    labels = [clip_label(parameters.seed, index, parameters.difficulty) for index in range(n)]
    manifest = out / "manifest.csv"
    if not manifest.exists():
        metadata, part = out / "metadata.jsonl", out / "metadata.jsonl.part"
        with part.open("wb") as joined:
            for start in range(0, n, CHUNK):
                with _chunk_path(out, range(start, n)).open("rb") as lines:
                    shutil.copyfileobj(lines, joined)
        part.replace(metadata)
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(columns(parameters.frames))
        with metadata.open(encoding="utf-8") as lines_of_all:
            rows.writerows(row_of(json.loads(line)) for line in lines_of_all)
        _write(manifest, text.getvalue().encode())
    shutil.rmtree(out / ".chunks", ignore_errors=True)
    return {label: labels.count(label) for label in labels_of(parameters.difficulty)}


def _name(index: int) -> str:
    return f"{index:06d}.mp4"


def _chunk_path(out: Path, chunk: range) -> Path:
    return out / ".chunks" / f"{chunk.start // CHUNK:06d}.jsonl"


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
