"""The lists that MMAction2, VideoMAE, TSN and TSM train from: ``path label`` on each line, no header.

A label is the index of a class; names come from a file with one a line (``classes=label_map_k400.txt``), else the
index is the name. ``path label label ...`` names several classes. ``folder frames label`` is a folder of frame images
(MMAction2's rawframes, VideoMAE's frame lists for Something-Something). Paths may hold blanks; they are relative to
``videos=``, by default to the list's folder. A list whose name says train, val or test is that split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vidcore.data._folder import VIDEO_SUFFIXES
from vidcore.data._rows import FPS, SEPARATOR, Row
from vidcore.errors import ManifestError

from ._text import class_names, lines, split_of
from ._tree import Tree
from .base import Layout, Reading

_LINE = re.compile(r"(\S.*?)((?:[ \t]+\d{1,9})+)")
_TRIED = 5


class SpaceSeparated(Layout):
    """See the module."""

    name = "space-separated"
    summary = "space-separated list"
    wanted = 'list of lines such as "path label"'
    options = ("videos", "classes", "fps")

    def lists(self, tree: Tree) -> list[Path]:
        """Text and CSV files whose first lines are a path and whole numbers; in a folder, those that say a split."""
        found = [path for path in tree.named_like(r".*\.(txt|csv)") if _is_list(tree.head(path))]
        return found if tree.named is not None else [path for path in found if split_of(path.name)]

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of all lists."""
        names = class_names(reading.options.classes) if reading.options.classes else ()
        found: set[int] = set()
        chosen = self.lists(reading.tree)
        _refuse_alternatives(reading, chosen)
        for path in chosen:
            split = split_of(path.name)
            base = path.parent if reading.options.videos is None else reading.options.videos
            for line, text in lines(path):
                where = f"{path}, line {line}"
                name, numbers, frames = _parsed(text, where)
                if names and max(numbers) >= len(names):
                    raise ManifestError(f"{where}: class {max(numbers)}, and {reading.options.classes} names "
                                        f"{len(names)}, counted from 0")  # fmt: skip
                found.update(numbers)
                video = reading.files_at(base).at(name)
                if video is None:
                    reading.missing.append(name)
                    continue
                if frames and reading.options.fps is None:
                    raise ManifestError(
                        f"{where}: {name} is a folder of frame images, which have no frame rate; "
                        "state it: data.options.fps=25"
                    )
                extra = {FPS: reading.options.fps} if frames else {}
                yield Row(video, SEPARATOR.join(names[i] if names else str(i) for i in numbers), split, extra=extra)
        reading.classes = names or tuple(str(number) for number in sorted(found))


def _is_list(head: str) -> bool:
    first = [line for line in head.splitlines() if line.strip()][:_TRIED]
    return bool(first) and all((found := _LINE.fullmatch(line.strip())) and _is_path(found.group(1)) for line in first)


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or bool(PurePosixPath(name).suffix) or not name.isdecimal()


def _parsed(text: str, where: str) -> tuple[str, list[int], bool]:
    """Path, class indices, and whether the path is a folder of frames."""
    found = _LINE.fullmatch(text)
    if found is None:
        raise ManifestError(f"{where}: {text[:80]!r} is not a path and the index of a class, separated by a blank")
    name, numbers = found.group(1), [int(number) for number in found.group(2).split()]
    frames = PurePosixPath(name).suffix.lower() not in VIDEO_SUFFIXES
    if frames and len(numbers) > 1:
        # The first is how many frames there are, which the folder itself says.
        numbers = numbers[1:]
    return name, list(dict.fromkeys(numbers)), frames


def _refuse_alternatives(reading: Reading, chosen: list[Path]) -> None:
    splits = [split_of(path.name) for path in chosen]
    for split in splits:
        if split is not None and splits.count(split) > 1:
            names = ", ".join(path.name for path in chosen if split_of(path.name) == split)
            raise ManifestError(f"{reading.path}: several lists for {split}: {names}; give the one to use as the data")
