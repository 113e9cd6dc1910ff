"""Layouts of published data sets: how their lists, folders and file names say what a video shows.

``LAYOUTS`` holds one entry a layout; each is recognised by its files, or named.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from vidcore.errors import ConfigError, ManifestError

from ._reading import read_published
from ._tree import Tree
from .base import Layout, LayoutOptions, Reading
from .charades import Charades
from .diving48 import Diving48
from .frames import FrameFolders
from .hmdb51 import Hmdb51
from .huggingface import HuggingFace
from .kinetics import Kinetics
from .something import SomethingSomethingV2
from .space_separated import SpaceSeparated
from .ucf101 import Ucf101

__all__ = ["LAYOUTS", "PLAIN", "Layout", "LayoutOptions", "Reading", "find_layout", "read_published"]

PLAIN = "plain"
"""Names what is no published layout: a folder with one subfolder per class, or a manifest."""

# Those that say most about their files come first: a list that one of them reads is not offered to the ones below.
LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        SomethingSomethingV2(),
        Kinetics(),
        Ucf101(),
        Hmdb51(),
        Diving48(),
        Charades(),
        HuggingFace(),
        SpaceSeparated(),
        FrameFolders(),
    )
}


def find_layout(path: Path, name: str | None = None) -> Layout | None:
    """The layout of ``path`` by its files, or by its name; ``None``: it is a plain folder or manifest.

    Raises:
        ConfigError: There is no layout of that name.
        ManifestError: Several layouts fit, or the one named does not.
    """
    tree = Tree(path)
    if name == PLAIN:
        return None
    if name is not None:
        if name not in LAYOUTS:
            near = difflib.get_close_matches(name, [*LAYOUTS, PLAIN], 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"there is no layout {name!r}{hint}\n  layouts: {', '.join([*LAYOUTS, PLAIN])}")
        layout = LAYOUTS[name]
        if not layout.lists(tree):
            raise ManifestError(
                f"{path}: there is no {layout.wanted} in it or its subfolders, as the layout {name} has them"
            )
        return layout
    taken: set[Path] = set()
    found: list[Layout] = []
    for layout in LAYOUTS.values():
        lists = set(layout.lists(tree))
        if lists - taken and not (found and isinstance(layout, FrameFolders)):
            found.append(layout)
        taken |= lists
    if len(found) > 1:
        fits = "; ".join(f"{layout.name} by {_first(layout, tree)}" for layout in found)
        raise ManifestError(
            f"{path}: it fits several layouts: {fits}\n"
            f"  name the one that is meant: --layout {found[0].name} (or data.layout={found[0].name})"
        )
    return found[0] if found else None


def _first(layout: Layout, tree: Tree) -> str:
    return sorted(path.name for path in layout.lists(tree))[0]
