"""``<manifest>.classes.json``: the order of the classes, and which are mirror images of each other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from vidcore.errors import ManifestError

from ._json import parse_json, read_text
from ._rows import SEPARATOR, Row


def write_classes(manifest: Path, classes: Sequence[str], flip_map: Mapping[str, str]) -> Path | None:
    """Write the file beside ``manifest``, or remove it where there are no classes to state."""
    file = _beside(manifest)
    if not classes:
        file.unlink(missing_ok=True)
        return None
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    stated = {"classes": list(classes), "flip_map": dict(flip_map)}
    temporary.write_text(json.dumps(stated, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return temporary.replace(file)


def stated_classes(manifest: Path, rows: Sequence[Row]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes and mirror images that the file beside ``manifest`` states; nothing where there is none.

    Raises:
        ManifestError: The file is damaged, or lacks a label of ``rows``.
    """
    file = _beside(manifest)
    if not file.is_file():
        return (), {}
    stated = parse_json(read_text(file), str(file))
    classes = stated.get("classes") if isinstance(stated, dict) else None
    flips = stated.get("flip_map", {}) if isinstance(stated, dict) else None
    if not _is_names(classes) or not isinstance(flips, dict) or not _is_names([*flips.values()]):
        raise ManifestError(f'{file}: not an object such as {{"classes": ["left", "right"], "flip_map": {{}}}}')
    known = set(classes)
    for row in rows:
        if row.label is not None and row.label not in known and not known >= set(row.label.split(SEPARATOR)):
            raise ManifestError(f"{file}: it lacks the class {row.label!r} of {row.video}; add it, or remove the file")
    return tuple(classes), flips


def _beside(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.stem}.classes.json")


def _is_names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
