"""File names: as the disk has them, whatever Unicode form a list writes them in; and labels that look the same."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC), in which the two ways of writing an accent are one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class NamesOnDisk:
    """Finds files whose names are written in another Unicode form than on the disk, as macOS and Linux leave them.

    A folder is listed at most once, and none where names are ASCII or there as written.
    """

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, str]] = {}

    def find(self, path: Path) -> Path:
        """``path`` as the disk has it; ``path`` itself where there is nothing of that name."""
        text = os.fspath(path)
        if text.isascii() or os.path.lexists(text):
            return path
        found = Path(path.anchor)
        for part in path.parts[1:] if path.anchor else path.parts:
            below = found / part
            if not os.path.lexists(below):
                below = found / self.listed(os.fspath(found)).get(composed(part), part)
            found = below
        return found

    def listed(self, folder: str) -> dict[str, str]:
        """The names in a folder, by their composed form; listed once."""
        if folder not in self._folders:
            try:
                self._folders[folder] = {composed(name): name for name in os.listdir(folder)}  # noqa: PTH208 - names, not Paths
            except OSError:
                self._folders[folder] = {}
        return self._folders[folder]


def look_alikes(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of labels that differ in case, white space or Unicode form only; sorted."""
    groups: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        key = unicodedata.normalize("NFKC", " ".join(unicodedata.normalize("NFKC", label).split()).casefold())
        groups[key].add(label)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def look_alikes_note(labels: Iterable[str], shown: int = 3) -> str | None:
    """One sentence about labels that look the same; ``None`` where there are none."""
    groups = look_alikes(labels)
    if not groups:
        return None
    pairs = "; ".join(" and ".join(ascii(label) for label in group) for group in groups[:shown])
    more = f"; and {len(groups) - shown} more" if len(groups) > shown else ""
    return f"labels that differ in case, white space or Unicode form only count as different classes: {pairs}{more}"
