"""Names for people that were put beside the records, such as the videos' paths."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ._shard import SOURCES


def source_line(key: bytes, source: str) -> str:
    """One line of the file."""
    return json.dumps({"key": key.hex(), "source": source}, ensure_ascii=False) + "\n"


def append_sources(folder: Path, lines: Iterable[str]) -> None:
    """Add lines to a shard's file, after an empty one: what a killed process left unfinished ends there."""
    with (folder / SOURCES).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n" + "".join(lines))


def read_sources(folder: Path) -> dict[bytes, str]:
    """``{key: source}`` of a shard; a line that was cut is passed over."""
    sources: dict[bytes, str] = {}
    try:
        text = (folder / SOURCES).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return sources
    for line in text.splitlines():
        try:
            data = json.loads(line)
            sources[bytes.fromhex(data["key"])] = str(data["source"])
        except (ValueError, KeyError, TypeError):
            continue
    return sources
