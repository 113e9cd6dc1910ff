"""One parallel pass over a data source: what is in it, and everything that is wrong with it.

Serves ``vidcore data check`` and the pass before training.
"""

from __future__ import annotations

import math
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidcore.errors import DataError

from ._info import VideoInfo
from ._names import look_alikes
from ._rows import Row
from ._workers import answers

# Files of one request: enough that asking costs little, few enough that progress is seen.
_HEADERS = 256


@dataclass(frozen=True, slots=True)
class Failure:
    """A video that cannot be used: at which stage it failed, why, and the rows (positions) it takes with it."""

    path: Path
    stage: str
    reason: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShortRow:
    """A row (position) whose segment has fewer frames than a clip takes; 0 where it lies outside the video."""

    row: int
    path: Path
    frames: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Files with the same bytes, and the labels and splits their rows carry. More than one is a mistake or a leak."""

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]

    @property
    def conflicts(self) -> bool:
        """Whether the same video carries different labels or lies in different splits."""
        return len(self.labels) > 1 or len(self.splits) > 1


@dataclass(frozen=True)
class DataReport:
    """What a pass over the rows found.

    Attributes:
        rows: How many rows were given.
        videos: Info of every readable file, in the order of the rows.
        failures: Files that cannot be read, or do not decode to the end.
        short: Rows with fewer frames than asked, those without any included.
        duplicates: Groups of files with the same content.
        classes: Rows per label.
        split_classes: Rows per label in each split named.
        look_alikes: Groups of labels that differ in case, white space or Unicode form only.
        quick: Whether only containers were read.
    """

    rows: int
    videos: list[VideoInfo] = field(repr=False)
    failures: list[Failure]
    short: list[ShortRow]
    duplicates: list[Duplicate]
    classes: dict[str, int]
    split_classes: dict[str, dict[str, int]]
    look_alikes: list[tuple[str, ...]] = field(default_factory=list)
    quick: bool = False

    @property
    def ok(self) -> bool:
        """Whether every row can be trained on: no failures and no row without a frame."""
        return not self.bad_rows()

    def bad_rows(self) -> list[int]:
        """Positions of the rows that give no clip: their file fails, or their segment holds no frame."""
        bad = {row for failure in self.failures for row in failure.rows}
        return sorted(bad | {short.row for short in self.short if short.frames == 0})

    def raise_for_failures(self) -> None:
        """Stop where any row gives no clip.

        Raises:
            DataError: Lists all of them, with what to type to go on without them.
        """
        if self.ok:
            return
        lines = [f"  {f.path}: {f.stage}: {f.reason}" for f in self.failures]
        lines += [f"  {s.path}: its segment (row {s.row}) holds no frame" for s in self.short if s.frames == 0]
        raise DataError(
            f"{len(self.bad_rows())} of {self.rows} rows cannot be used:\n"
            + "\n".join(lines)
            + "\nmend or remove them, or leave them out with: --on-error skip"
        )

    def assumptions(self) -> list[str]:
        """What was assumed to read some of the videos, a line each."""
        return [f"{video.path}: {note}" for video in self.videos for note in video.notes]

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest ``width``, ``height``, ``fps``, ``frames``, ``duration_seconds`` of readable videos."""
        names = ("width", "height", "fps", "frames", "duration_seconds")
        return {
            name: (min(values), max(values))
            for name in names
            # A header that does not state it says 0.
            if (values := [value for video in self.videos if (value := float(getattr(video, name))) > 0])
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything but the per-video infos, for JSON."""
        return {
            "rows": self.rows,
            "readable_videos": len(self.videos),
            "failures": [
                {"path": str(f.path), "stage": f.stage, "reason": f.reason, "rows": list(f.rows)} for f in self.failures
            ],
            "short": [{"row": s.row, "path": str(s.path), "frames": s.frames, "wanted": s.wanted} for s in self.short],
            "duplicates": [
                {"paths": [str(p) for p in d.paths], "labels": list(d.labels), "splits": list(d.splits)}
                for d in self.duplicates
            ],
            "classes": self.classes,
            "split_classes": self.split_classes,
            "look_alikes": [list(group) for group in self.look_alikes],
            "quick": self.quick,
            "assumptions": self.assumptions(),
            "ranges": self.ranges(),
            "codecs": dict(Counter(video.codec for video in self.videos)),
        }


def inspect_source(
    rows: Iterable[Row],
    *,
    workers: int | None = None,
    frames: int = 1,
    decode: bool = True,
    timeout_seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Examine every file of ``rows`` once, in parallel, each in a process that may crash or hang without harm.

    Args:
        rows: The rows; held in memory.
        workers: Processes; as many as there are CPU cores by default.
        frames: Frames a clip takes; rows with fewer are reported as short.
        decode: Decode every frame. False reads the packets and decodes one frame: it finds files that are cut short
            or not videos, not damage inside.
        timeout_seconds: A decoder that says nothing for so long is taken for hung. Long films keep saying so.
        progress: Called with the files done and the files in all after each file.
    """
    rows = list(rows)
    places: dict[Path, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        places[row.video].append(position)
    paths = list(places)
    requests = [
        {
            "path": os.fspath(path),
            "fps": rows[places[path][0]].fps,
            "segments": [[rows[i].start_seconds, rows[i].end_seconds] for i in places[path]],
            "decode": decode,
        }
        for path in paths
    ]
    command = [sys.executable, "-m", "vidcore.data._examine"]
    found: dict[int, dict[str, Any]] = {}
    count = workers if workers is not None else os.cpu_count() or 1
    for position, answer in answers(command, requests, workers=count, timeout_seconds=timeout_seconds):
        found[position] = answer
        if progress is not None:
            progress(len(found), len(paths))
    return _report(rows, paths, [places[path] for path in paths], [found[i] for i in range(len(paths))], frames)


def inspect_containers(
    rows: Iterable[Row],
    *,
    workers: int | None = None,
    frames: int = 1,
    timeout_seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """As ``inspect_source``, of the containers' headers only: nothing is decoded, and no file is read whole.

    It finds what is no video and most files that are cut short, some 20,000 files a second; not damage inside, nor
    files of the same content. Frames and durations are those that headers state, where they do; a row is short by them.
    """
    rows = list(rows)
    places: dict[Path, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        places[row.video].append(position)
    paths = list(places)
    batches = [paths[first : first + _HEADERS] for first in range(0, len(paths), _HEADERS)]
    requests = [{"files": [[os.fspath(path), rows[places[path][0]].fps] for path in batch]} for batch in batches]
    command = [sys.executable, "-m", "vidcore.data._headers"]
    count = workers if workers is not None else os.cpu_count() or 1
    found: dict[int, dict[str, Any]] = {}
    lost: list[int] = []
    for number, answer in answers(command, requests, workers=count, timeout_seconds=timeout_seconds):
        first = number * _HEADERS
        if "headers" in answer:
            found.update(enumerate(answer["headers"], first))
        else:
            lost += range(first, first + len(batches[number]))
        if progress is not None:
            progress(len(found), len(paths))
    # One file of a batch took the process down: each is asked about by itself.
    alone = [{"files": [[os.fspath(paths[i]), rows[places[paths[i]][0]].fps]]} for i in lost]
    for number, answer in answers(command, alone, workers=count, timeout_seconds=timeout_seconds):
        found[lost[number]] = answer["headers"][0] if "headers" in answer else answer
    for i, path in enumerate(paths):
        if "info" in found[i]:
            found[i]["counts"] = [_stated_frames(found[i]["info"], rows[place], frames) for place in places[path]]
    report = _report(rows, paths, [places[path] for path in paths], [found[i] for i in range(len(paths))], frames)
    return replace(report, quick=True)


def _stated_frames(info: dict[str, Any], row: Row, enough: int) -> int:
    """Frames of a row's segment by what the header states; ``enough`` where it states too little."""
    duration, fps = info["duration_seconds"], info["fps"]
    start, end = row.start_seconds or 0.0, row.end_seconds
    if not duration or (start == 0 and end is None):
        return info["frames"] or (round(duration * fps) if duration and fps else enough) or enough
    seconds = min(duration, duration if end is None else end) - start
    return max(0, math.ceil(seconds * fps)) if fps else (enough if seconds > 0 else 0)


def _report(
    rows: list[Row], paths: list[Path], places: list[list[int]], found: list[dict[str, Any]], wanted: int
) -> DataReport:
    videos, failures, short = [], [], []
    same: dict[str, list[int]] = defaultdict(list)
    for file, (path, answer) in enumerate(zip(paths, found, strict=True)):
        if answer.get("sha256"):
            same[answer["sha256"]].append(file)
        if "info" not in answer:
            failures.append(Failure(path, answer["stage"], answer["reason"], tuple(places[file])))
            continue
        videos.append(VideoInfo(**answer["info"] | {"path": path, "notes": tuple(answer["info"].get("notes", ()))}))
        for row, frames in zip(places[file], answer["counts"], strict=True):
            if frames < wanted:
                short.append(ShortRow(row, path, frames, wanted))
    duplicates = []
    for files in same.values():
        if len(files) > 1:
            owners = [rows[i] for file in files for i in places[file]]
            duplicates.append(
                Duplicate(
                    tuple(paths[file] for file in files),
                    tuple(sorted({row.label for row in owners if row.label is not None})),
                    tuple(sorted({row.split for row in owners if row.split is not None})),
                )
            )
    labelled = [(str(row.label), row.split) for row in rows if row.label is not None]
    by_split: dict[str, Counter[str]] = defaultdict(Counter)
    for label, split in labelled:
        if split is not None:
            by_split[split][label] += 1
    return DataReport(
        rows=len(rows),
        videos=videos,
        failures=failures,
        short=sorted(short, key=lambda item: item.row),
        duplicates=duplicates,
        classes=dict(sorted(Counter(label for label, _ in labelled).items())),
        split_classes={name: dict(sorted(counts.items())) for name, counts in by_split.items()},
        look_alikes=look_alikes(label for label, _ in labelled),
    )
