"""Kinetics-400, -600 and -700 (Kay et al., arXiv:1705.06950): CSV files with the columns
``label,youtube_id,time_start,time_end,split`` (those of a test set may have no label).

Videos are named ``<youtube_id>_<start:06d>_<end:06d>.mp4``, in one folder, in a folder per split, or in a folder per
class, as the ActivityNet crawler and the CVDF mirror leave them. Some of every list have vanished from YouTube, so a
video that is not there is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vidcore.data._rows import SPLIT_ALIASES, SPLITS, Row
from vidcore.errors import ManifestError

from ._text import records, seconds, split_of
from ._tree import Tree
from .base import Layout, Reading

COLUMNS = ("youtube_id", "time_start", "time_end")


class Kinetics(Layout):
    """See the module."""

    name = "kinetics"
    summary = "Kinetics CSV"
    wanted = "CSV file with the columns youtube_id, time_start and time_end"

    def lists(self, tree: Tree) -> list[Path]:
        """CSV files whose header has Kinetics' columns."""
        return tree.heads_like(tree.named_like(r".*\.csv"), lambda head: all(c in _first(head) for c in COLUMNS))

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of all lists whose video is there; a segment that two lists name is one row, of the first."""
        labels: dict[str, str] = {}
        seen: set[str] = set()
        again = 0
        for path in self.lists(reading.tree):
            for line, values in records(path, COLUMNS):
                where = f"{path}, line {line}"
                start, end = (round(seconds(values[column], where)) for column in COLUMNS[1:])
                name = f"{values['youtube_id']}_{start:06d}_{end:06d}"
                if name in seen:
                    again += 1
                    continue
                seen.add(name)
                label = values.get("label") or None
                split = _split(values.get("split") or split_of(path.name), where)
                video = reading.files.called(name, label or "", split or "", values.get("split", ""))
                if video is None:
                    reading.missing.append(f"{name}.mp4")
                else:
                    # One string for all rows of a class.
                    yield Row(video, label and labels.setdefault(label, label), split, values["youtube_id"])
        if again:
            reading.notes.append(f"{again} segments are listed more than once; each is one row, as listed first")


def _split(said: str | None, where: str) -> str | None:
    if said is None:
        return None
    name = {"validate": "val", **SPLIT_ALIASES}.get(said.lower(), said.lower())
    if name not in SPLITS:
        raise ManifestError(f"{where}: unknown split {said!r}; Kinetics has train, validate (or val) and test")
    return name


def _first(head: str) -> str:
    return next((line for line in head.splitlines() if line.strip()), "")
