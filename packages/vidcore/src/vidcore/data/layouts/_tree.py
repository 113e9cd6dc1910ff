"""The lists and folders that a data set's folder begins with: enough to recognise a layout, without the videos."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from vidcore.data._folder import VIDEO_SUFFIXES

LIST_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".txt"})
# A folder of annotations is small; of folders of videos no more is looked at.
_PEEKED = 1000
_HEAD_BYTES = 64 * 1024


class Tree:
    """Lists (CSV, JSON, JSONL, TXT) of a folder and of its subfolders, or one list that was named.

    Attributes:
        folder: The folder, or that of the list.
        named: The list, where one was named.
    """

    def __init__(self, path: Path) -> None:
        self.named = path if path.is_file() else None
        self.folder = path.parent if self.named else path
        self._heads: dict[Path, str] = {}

    @cached_property
    def lists(self) -> list[Path]:
        """The lists, those of the folder itself first, each folder's sorted by name."""
        if self.named is not None:
            return [self.named]
        return self.beside

    @cached_property
    def beside(self) -> list[Path]:
        """All lists of the folder and its subfolders, also where one was named."""
        own, below = _peek(self.folder, None)
        found = list(own)
        for folder in below:
            found += _peek(folder, _PEEKED)[0]
        return found

    def named_like(self, pattern: str, *, beside: bool = False) -> list[Path]:
        """Lists whose whole name matches, whatever its case."""
        expression = re.compile(pattern, re.IGNORECASE)
        return [path for path in (self.beside if beside else self.lists) if expression.fullmatch(path.name)]

    def heads_like(self, paths: list[Path], test: Callable[[str], bool]) -> list[Path]:
        """Those of the lists whose first 64 KiB pass a test."""
        return [path for path in paths if test(self.head(path))]

    def head(self, path: Path) -> str:
        """The beginning of a list; empty where it cannot be read."""
        if path not in self._heads:
            try:
                with path.open("rb") as file:
                    self._heads[path] = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
            except OSError:
                self._heads[path] = ""
        return self._heads[path]

    def first_line(self, path: Path) -> str:
        """The first line of a list that is not empty."""
        return next((line for line in self.head(path).splitlines() if line.strip()), "")


def _peek(folder: Path, most: int | None) -> tuple[list[Path], list[Path]]:
    """Lists and subfolders of a folder, of its first entries only where ``most`` says so."""
    lists, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number == most:
                    break
                name = entry.name
                if name.startswith((".", "__")):
                    continue
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - 220,000 names: a Path each takes seconds
                if suffix in LIST_SUFFIXES:
                    lists.append(name)
                elif most is None and suffix not in VIDEO_SUFFIXES and entry.is_dir():
                    folders.append(name)
    except OSError:
        return [], []
    return [folder / name for name in sorted(lists)], [folder / name for name in sorted(folders)]
