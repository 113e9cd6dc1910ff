"""What is exported, in pieces that fit memory: the records of one collection and one layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.store._batches import Batch
from vidcore.store._layout import Layout
from vidcore.store._sources import read_sources
from vidcore.store.collection import Collection

_PIECE_BYTES = 32 << 20


@dataclass(frozen=True)
class Clip:
    """One record's names: the fingerprint of the clip and, where it was given, what people call it."""

    key: str
    source: str


@dataclass(frozen=True)
class Piece:
    """Some consecutive records: their place in the group and, for each output, arrays with all of B.

    Attributes:
        start: Place of the first in the group.
        clips: Their names, (B,).
        arrays: ``{output: (data (B, D, T, H, W), times (B, T), mask (B, T))}``.
    """

    start: int
    clips: Sequence[Clip]
    arrays: dict[str, tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]]


@dataclass(frozen=True)
class Group:
    """The records of one collection that have the same shapes, by source and then by key.

    Attributes:
        collection: Whose they are.
        layout: What they look like.
        clips: Their names.
        name: Empty where the collection has one layout only; else (T, H, W) of the outputs: 8x1x1.
    """

    collection: Collection
    layout: Layout
    clips: Sequence[Clip]
    name: str

    @property
    def prefix(self) -> str:
        """Name of the collection's folder, and of the group where there are several."""
        return f"{self.collection.folder.name}.{self.name}" if self.name else self.collection.folder.name

    def pieces(self) -> Iterator[Piece]:
        """All records, some at a time."""
        together = max(_PIECE_BYTES // self.layout.row_bytes, 1)
        for start in range(0, len(self.clips), together):
            clips = self.clips[start : start + together]
            keys = [clip.key for clip in clips]
            yield Piece(start, clips, {f.name: _complete(self._read(keys, f.name)) for f in self.layout.fields})

    def _read(self, keys: list[str], output: str) -> Batch:
        return self.collection.read_places(lambda: self.collection.located(keys), keys.__getitem__, output)


def groups_of(collection: Collection) -> list[Group]:
    """The records of a collection by layout."""
    clips: dict[Layout, list[Clip]] = {}
    sources: dict[bytes, str] = {}
    for shard in collection.shards:
        sources.update(read_sources(shard.folder))
    for key, number, _ in collection.index.places():
        clip = Clip(key, sources.get(bytes.fromhex(key), ""))
        clips.setdefault(collection.shards[number].layout, []).append(clip)
    several = len(clips) > 1
    return [
        Group(collection, layout, sorted(found, key=lambda c: (c.source, c.key)), _name(layout) if several else "")
        for layout, found in sorted(clips.items(), key=lambda item: [field.shape for field in item[0].fields])
    ]


def _name(layout: Layout) -> str:
    return "_".join("x".join(map(str, field.shape[1:])) for field in layout.fields)


def _complete(batch: Batch) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]:
    shape = batch.data.shape[0], batch.data.shape[2]
    mask = np.ones(shape, bool) if batch.mask is None else batch.mask
    return batch.data, np.broadcast_to(batch.times, shape), mask
