"""Where the videos that a list names lie: folders are listed, and no file is asked about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from vidcore.data._folder import VIDEO_SUFFIXES
from vidcore.data._names import NamesOnDisk, composed
from vidcore.errors import ManifestError

_DEEPEST = 8


class VideoFiles:
    """The videos below a folder, found by their names or by their paths.

    Names are compared in one Unicode form, so that a list in the composed form finds files in the other.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names = NamesOnDisk()

    def called(self, stem: str, *hints: str) -> Path | None:
        """The video whose name without its ending is ``stem``; of several, the one below folders named as ``hints``.

        Raises:
            ManifestError: Several are called so, and the hints do not tell them apart.
        """
        found = self._by_stem.get(composed(stem))
        if isinstance(found, str):
            return Path(found)
        if found is None:
            return None
        near = [path for path in found if any(_below(path, hint) for hint in hints if hint)]
        if len(near) != 1:
            raise ManifestError(
                f"{len(found)} videos are called {stem!r}, {found[0]} and {found[1]} among them; "
                "say which folder to use: data.options.videos=FOLDER"
            )
        return Path(near[0])

    def at(self, path: str) -> Path | None:
        """The file or folder at a path relative to the root; ``None`` where there is none."""
        folder, _, name = path.replace("\\", "/").rpartition("/")
        full = os.path.join(self.root, folder) if folder else os.fspath(self.root)  # noqa: PTH118 - as below
        actual = self._names.listed(full).get(composed(name))
        return None if actual is None else Path(full, actual)

    def __bool__(self) -> bool:
        """Whether there is any video."""
        return bool(self._by_stem)

    @cached_property
    def _by_stem(self) -> dict[str, str | list[str]]:
        found: dict[str, str | list[str]] = {}
        for folder, name in _walk(os.fspath(self.root)):
            stem = composed(name.rpartition(".")[0])
            path = f"{folder}{os.sep}{name}"
            before = found.setdefault(stem, path)
            if before is not path:
                found[stem] = [*([before] if isinstance(before, str) else before), path]
        return found


def _below(path: str, hint: str) -> bool:
    parts = Path(path).parts[:-1]
    return hint in parts or hint.replace(" ", "_") in parts


def _walk(folder: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """``(folder, name)`` of every video; names that end like videos are taken for files without asking the disk."""
    below = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                suffix = name[name.rfind(".") :].lower() if "." in name else ""
                if suffix in VIDEO_SUFFIXES:
                    yield folder, name
                elif depth < _DEEPEST and entry.is_dir():
                    below.append(entry.path)
    except OSError:
        return
    for path in sorted(below):
        yield from _walk(path, depth + 1)
