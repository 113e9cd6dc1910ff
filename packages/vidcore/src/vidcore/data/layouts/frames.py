"""Folders of frame images: each folder that holds images (``img_00001.jpg``, ...) is one video.

The folder above is the class (``<class>/<video>/img_00001.jpg``), below ``train``, ``val`` and ``test`` where there are
such; folders of images directly in the data set's folder have no label. Images are in the order of the numbers in
their names. They have no frame rate: ``fps=`` states it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vidcore.data._folder import VIDEO_SUFFIXES, is_frame
from vidcore.data._rows import FPS, SPLIT_ALIASES, SPLITS, Row
from vidcore.errors import ManifestError

from ._tree import Tree
from .base import Layout, Reading

_DEEPEST = 4


class FrameFolders(Layout):
    """See the module."""

    name = "frames"
    summary = "folders of frame images"
    wanted = "folder of frame images"
    options = ("fps",)

    def lists(self, tree: Tree) -> list[Path]:
        """The folder, where the first folder with files in it, looked for downwards, holds images and no video."""
        return [tree.folder] if tree.named is None and _first_is_images(tree.folder) else []

    def rows(self, reading: Reading) -> Iterator[Row]:
        """One row for each folder with images, sorted by path."""
        if reading.options.fps is None:
            raise ManifestError(
                f"{reading.path}: folders of frame images have no frame rate; state it: data.options.fps=25"
            )
        root = reading.tree.folder
        for folder in _image_folders(root, 0):
            *above, _ = folder.relative_to(root).parts or ("",)
            split = None
            if above and (said := SPLIT_ALIASES.get(above[0].lower(), above[0].lower())) in SPLITS:
                split, above = said, above[1:]
            label = above[0] if above else None
            yield Row(folder, label, split, extra={FPS: reading.options.fps})


def _image_folders(folder: Path, depth: int) -> Iterator[Path]:
    below, images = _content(folder)[:2]
    if images:
        yield folder
    elif depth < _DEEPEST:
        for sub in below:
            yield from _image_folders(sub, depth + 1)


def _content(folder: Path) -> tuple[list[Path], bool, bool]:
    """Subfolders, and whether there are images, and videos; where an image is found, no more is looked at."""
    below = []
    videos = False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_frame(entry.name):
                    return [], True, videos
                suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - many names, a Path each is slow
                if suffix in VIDEO_SUFFIXES:
                    videos = True
                elif not entry.name.startswith((".", "__")) and entry.is_dir():
                    below.append(folder / entry.name)
    except OSError:
        return [], False, False
    return sorted(below), False, videos


def _first_is_images(folder: Path) -> bool:
    for _ in range(_DEEPEST):
        below, images, videos = _content(folder)
        if images or videos or not below:
            return images and not videos
        folder = below[0]
    return False
