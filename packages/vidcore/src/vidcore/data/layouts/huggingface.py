"""A video folder of Hugging Face ``datasets`` (documentation, "Create a video dataset" and "Structure your
repository"): ``metadata.csv`` or ``metadata.jsonl`` with a column ``file_name``, relative to the metadata.

Metadata may lie in the folder, or in a subfolder per split (``train``, ``validation`` or ``val``, ``test``). Where one
file describes all splits, the first folder of ``file_name`` says the split. All other columns are kept; ``label=NAME``
says which holds the class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vidcore.data._json import parse_json, read_text
from vidcore.data._rows import COLUMNS, SPLIT_ALIASES, SPLITS, Row, parse_row
from vidcore.errors import ManifestError

from ._text import records
from ._tree import Tree
from .base import Layout, Reading

_FILE = "file_name"
_NAME = r"metadata\.(csv|jsonl)"


class HuggingFace(Layout):
    """See the module."""

    name = "huggingface"
    summary = "Hugging Face video folder"
    wanted = "metadata.csv or metadata.jsonl with a column file_name"
    options = ("label",)

    def lists(self, tree: Tree) -> list[Path]:
        """Metadata files with a column ``file_name``."""
        return [path for path in tree.named_like(_NAME) if _FILE in tree.first_line(path)]

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of all metadata files."""
        column = reading.options.label
        for path in self.lists(reading.tree):
            files = reading.files_at(path.parent)
            for line, values in _records(path):
                name = values.pop(_FILE, None)
                where = f"{path}, line {line}"
                if not isinstance(name, str) or not name:
                    raise ManifestError(f"{where}: there is no {_FILE!r}")
                if column not in values and column != "label":
                    raise ManifestError(f"{where}: there is no column {column!r}; it has: {', '.join(values)}")
                video = files.at(name)
                if video is None:
                    reading.missing.append(name)
                    continue
                known = {key: value for key, value in values.items() if key not in COLUMNS or key in _OURS}
                known["label"] = values.get(column)
                known["split"] = _folder_split(PurePosixPath(name).parts[0]) or _folder_split(path.parent.name)
                yield parse_row(path, line, {**known, "video": str(video.absolute())}, labels=False)


# Columns of a manifest that mean the same here.
_OURS = ("group", "start_seconds", "end_seconds")


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() == ".csv":
        yield from records(path, (_FILE,))
        return
    for line, text in enumerate(read_text(path).splitlines(), 1):
        if text.strip():
            values = parse_json(text, f"{path}, line {line}")
            if not isinstance(values, Mapping):
                raise ManifestError(f'{path}, line {line}: not an object such as {{"file_name": "a.mp4"}}')
            yield line, dict(values)


def _folder_split(name: str) -> str | None:
    said = SPLIT_ALIASES.get(name.lower(), name.lower())
    return said if said in SPLITS else None
