"""Fingerprints of clips: which features belong to which piece of which video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from vidcore.catalog import ClipFormat
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import DecodeError
from vidcore.extract.hashing import FileHashes, hash_file

# Raised when a clip of the same key begins to hold other pixels (another decoder's colours, another resize) or its
# features other times. 2: times count frames of the video; before, frames of the clip. 3: pictures cropped at
# their left are cropped exactly, and frames with the same time keep it.
REVISION = 3


def clip_key(row: Row, sampling: Sampling, size: int | None) -> str:
    """Fingerprint of a clip, 64 hexadecimal digits: the file's content, the segment, how it is cut, its size.

    The file's name and place do not matter, so a renamed or moved file keeps its features and a changed one loses
    them. Where many keys are wanted, :class:`ClipKeys` remembers what was hashed.

    Args:
        row: The video and its segment.
        sampling: How the clip is cut for an extractor: ``sampling.of`` its clip format.
        size: Side in pixels that frames are brought to before an extractor of any size; ``None``: their own, or the
            extractor's own format decides (see ``key_size``).

    Raises:
        DecodeError: The file cannot be read.
    """
    found = hash_file(row.video)
    if isinstance(found, str):
        raise DecodeError(f"{row.video}: cannot open the video: {found}")
    return key_of(found.sha256, row, sampling, size)


def key_of(sha256: str, row: Row, sampling: Sampling, size: int | None) -> str:
    """As :func:`clip_key`, for a file whose content hash is known."""
    described = {
        "revision": REVISION,
        "file": sha256,
        "start_seconds": row.start_seconds or 0.0,
        "end_seconds": row.end_seconds,
        "sampling": asdict(sampling),
        "augmentation": None,
        "size": size,
    }
    if row.fps is not None and row.video.is_dir():
        # Frame images have no clock of their own.
        described["fps"] = row.fps
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def key_size(clip: ClipFormat, size: int | None) -> int | None:
    """The size that counts in the key: none for an extractor with a size of its own, whatever is asked for others."""
    return size if clip.size is None else None


class ClipKeys:
    """Keys of many rows, with the file hashes remembered on disk.

    Raises:
        DecodeError: From ``of``, a file cannot be read; ``hashes.of`` answers without raising.
    """

    def __init__(self, hashes: FileHashes | None = None) -> None:
        self.hashes = hashes or FileHashes()

    def of(self, rows: Iterable[Row], sampling: Sampling, size: int | None) -> list[str]:
        """One key a row."""
        rows = list(rows)
        found = self.hashes.of(row.video for row in rows)
        keys = []
        for row in rows:
            value = found[row.video]
            if isinstance(value, str):
                raise DecodeError(f"{row.video}: cannot open the video: {value}")
            keys.append(key_of(value.sha256, row, sampling, size))
        return keys
