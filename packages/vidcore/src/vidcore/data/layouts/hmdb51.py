"""HMDB51 (Kuehne et al., ICCV 2011) with its official splits.

``<class>_test_split<1|2|3>.txt`` (folder ``testTrainMulti_7030_splits``) has ``<video>.avi 1`` on each line: 1 is
training, 2 is testing, 0 is in neither. Videos lie in a folder per class. A video's name begins with the film it was
cut from and ends with ``_<class>_<body parts>_<camera motion>_<people>_<viewpoint>_<quality>_<number>``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vidcore.data._rows import Row
from vidcore.errors import ManifestError

from ._text import lines
from ._tree import Tree
from .base import Layout, Reading

_LIST = re.compile(r"(.+)_test_split([1-3])\.txt", re.IGNORECASE)
_PARTS = {"1": "train", "2": "test", "0": None}


class Hmdb51(Layout):
    """See the module."""

    name = "hmdb51"
    summary = "HMDB51 splits"
    wanted = "<class>_test_split1.txt"
    options = ("videos", "split")

    def lists(self, tree: Tree) -> list[Path]:
        """The lists of all classes and splits."""
        return tree.named_like(_LIST.pattern)

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of one split; the film a video was cut from is its group, where the split does not divide it."""
        unused = divided = count = 0
        for path in self.lists(reading.tree):
            label, number = _matched(path)
            if int(number) != reading.options.split:
                continue
            count += 1
            rows = []
            for line, text in lines(path):
                name, _, part = text.rpartition(" ")
                if part not in _PARTS or not name:
                    raise ManifestError(f"{path}, line {line}: {text!r} is not a video and 0, 1 or 2")
                stem = name.strip().rpartition(".")[0]
                split = _PARTS[part]
                if split is None:
                    unused += 1
                elif (video := reading.files.called(stem, label)) is None:
                    reading.missing.append(f"{label}/{name.strip()}")
                else:
                    rows.append(Row(video, label, split, group=_film(stem, label)))
            whole, cut = undivided(rows)
            divided += cut
            yield from whole
        if not count:
            raise ManifestError(f"{reading.path}: there is no list of split {reading.options.split}")
        if unused:
            reading.notes.append(f"{unused} videos are in neither part of split {reading.options.split}")
        if divided:
            reading.notes.append(f"the official split divides {divided} films, whose videos are in no group")


def undivided(rows: list[Row]) -> tuple[list[Row], int]:
    """Rows without the groups that the official split puts into both parts, and how many groups those were."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.group is not None:
            splits[row.group].add(str(row.split))
    cut = {group for group, parts in splits.items() if len(parts) > 1}
    return [replace(row, group=None) if row.group in cut else row for row in rows], len(cut)


def _matched(path: Path) -> tuple[str, str]:
    found = _LIST.fullmatch(path.name)
    if found is None:
        raise ManifestError(f"{path}: its name is not <class>_test_split<number>.txt")
    return found.group(1), found.group(2)


def _film(stem: str, label: str) -> str:
    # Lists divide each class by itself: films are told apart by class.
    return f"{label}/{stem.partition(f'_{label}_')[0]}"
