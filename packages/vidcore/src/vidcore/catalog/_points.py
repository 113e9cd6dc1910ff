"""The entry points of plugins, remembered between starts.

Python reads the metadata of every installed distribution to find them, which takes longer than all else that a
listing does. What it found stays true while no folder on ``sys.path`` changes: installing, upgrading and
uninstalling make or remove a folder of metadata there.
"""

# pathlib takes a third as long to import as a remembered answer saves.
# ruff: noqa: PTH100, PTH116, PTH123
from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
import time
import zlib
from typing import Any, NamedTuple

from vidcore.cache import cache_path

# A folder that changed this recently may still be written to: an installer makes the metadata file by file.
_SETTLED_SECONDS = 60


class Point(NamedTuple):
    """One entry point of the group ``vidcore``."""

    name: str
    value: str
    """``package.module``, or ``package.module:attribute``."""
    distribution: str
    version: str

    def load(self) -> Any:
        """The module (or the attribute of one) that it points at; raises whatever importing it raises."""
        module, _, attributes = self.value.partition("[")[0].replace(" ", "").partition(":")
        return functools.reduce(getattr, filter(None, attributes.split(".")), importlib.import_module(module))


def installed_points(group: str) -> list[Point]:
    """Every installed entry point of ``group``, in the order of distribution and entry point names."""
    folders = _folders()
    path = (
        f"{cache_path('plugins')}/{zlib.crc32(json.dumps([group, *(name for name, _ in folders)]).encode()):08x}.json"
    )
    key = [group, list(Point._fields), folders]
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError), open(path, encoding="utf-8") as file:
        known = json.load(file)
        if known["key"] == key:
            return [Point(*row) for row in known["points"]]
    points = _search(group)
    if all(changed < (time.time() - _SETTLED_SECONDS) * 1e9 for _, changed in folders):
        _remember(path, {"key": key, "points": points})
    return points


def _folders() -> list[list[Any]]:
    """[folder or archive of ``sys.path``, when it last changed in ns, 0 where there is none]."""
    found = []
    for folder in sys.path:
        path = os.path.abspath(folder)
        try:
            changed = os.stat(path).st_mtime_ns
        except OSError:
            changed = 0
        found.append([path, changed])
    return found


def _search(group: str) -> list[Point]:
    from importlib.metadata import entry_points

    found = {}
    # Of a distribution that is on the path twice, the first is the one that is imported.
    for point in reversed(list(entry_points(group=group))):
        distribution, version = (point.dist.name, point.dist.version) if point.dist else ("(no distribution)", "")
        found[distribution, point.name] = Point(point.name, point.value, distribution, version)
    return [point for _, point in sorted(found.items())]


def _remember(path: str, content: dict[str, Any]) -> None:
    from pathlib import Path

    file = Path(path)
    # A home that cannot be written to only costs the time of searching again.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(file)
