"""Weights files as files: which one a path means, its shards, its hash. Asked before a download, so: no torch here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vidcore.errors import WeightsError

# What transformers and timm leave in a folder, best first.
_FOLDER_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# An index names files of tensors; one that names an index, itself for instance, would never end.
_SHARDS = (".safetensors", ".bin", ".pt", ".pth")


def weights_file(path: Path) -> Path:
    """``path`` itself, or the weights file in it where it is a folder of transformers or timm.

    Raises:
        WeightsError: there is no such file.
    """
    if path.is_file():
        return path
    if path.is_dir():
        for name in _FOLDER_NAMES:
            if (path / name).is_file():
                return path / name
        raise WeightsError(f"folder {path} holds none of: {', '.join(_FOLDER_NAMES)}\n  name the file itself")
    raise WeightsError(f"no weights file at {path}")


def digest(path: Path) -> str:
    """SHA-256 of a weights file; of a sharded one, that of its shards' bytes in order of their names.

    Raises:
        WeightsError: the file cannot be read.
    """
    total = hashlib.sha256()
    try:
        for part in shards(path) or [path]:
            with part.open("rb") as file:
                while chunk := file.read(1 << 20):
                    total.update(chunk)
    except OSError as exc:
        raise WeightsError(f"cannot read {path}: {exc.strerror or exc}") from exc
    return total.hexdigest()


def shard_names(path: Path) -> list[str]:
    """The file names in an ``*.index.json``; empty for a file that is no index.

    Raises:
        WeightsError: the index is damaged.
    """
    if path.suffix != ".json":
        return []
    try:
        names = sorted({Path(name).name for name in json.loads(path.read_text("utf-8"))["weight_map"].values()})
    # RecursionError: brackets nested by the thousand.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise WeightsError(f"{path} is not the index of a sharded weights file: it has no 'weight_map'") from exc
    except OSError as exc:
        raise WeightsError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if nested := [name for name in names if not name.endswith(_SHARDS)]:
        raise WeightsError(
            f"{path} names {nested[0]!r} as one of its files; expected files that end in {' or '.join(_SHARDS)}"
        )
    return names


def shards(path: Path) -> list[Path]:
    """The files that an ``*.index.json`` names; empty for a file that is no index.

    Raises:
        WeightsError: the index is damaged, or a file is not beside it.
    """
    parts = [path.parent / name for name in shard_names(path)]
    absent = [part.name for part in parts if not part.is_file()]
    if absent:
        raise WeightsError(f"{path} names {len(parts)} files; not beside it: {', '.join(absent)}")
    return parts
