"""What a store holds, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._gc import folder_bytes
from ._identity import in_words
from .collection import Collection, OutputInfo


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """One collection.

    Attributes:
        name: Name of its folder.
        identity: What was extracted and how.
        clips: How many clips it holds.
        bytes: What it takes on the disk.
        outputs: Type and shapes of each output.
        shards: How many shards it has.
        open_shards: How many of them are being written, or were when their writer died.
        duplicates: How many records are there twice.
        torn: How many records were begun and not finished, or have lost their data.
        damaged: Shards in which nothing can be trusted, with the reason.
    """

    name: str
    identity: Mapping[str, Any]
    clips: int
    bytes: int
    outputs: Mapping[str, OutputInfo]
    shards: int
    open_shards: int
    duplicates: int
    torn: int
    damaged: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """The identity in one line."""
        return in_words(self.identity)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        outputs = {
            name: {
                "dtype": output.dtype,
                "shapes": [{"shape": list(shape), "clips": clips} for shape, clips in output.shapes.items()],
            }
            for name, output in self.outputs.items()
        }
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "outputs": outputs, "identity": dict(self.identity), "damaged": list(self.damaged)}


def collection_info(collection: Collection) -> CollectionInfo:
    """Figures of a collection as it was last refreshed.

    Raises:
        OSError: The disk does not give them.
    """
    shards = collection.shards
    return CollectionInfo(
        name=collection.folder.name,
        identity=collection.identity,
        clips=len(collection),
        bytes=folder_bytes(collection.folder),
        outputs=collection.outputs,
        shards=len(shards),
        open_shards=sum(not shard.sealed for shard in shards),
        duplicates=collection.index.duplicates,
        torn=sum(damage.rows or 0 for damage in collection.damage),
        damaged=tuple(f"{d.shard}: {d.reason}" for d in collection.damage if d.rows is None),
    )
