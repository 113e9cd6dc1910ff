"""What there is to do: rows in chunks, their keys, and which of them each extractor still lacks."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError
from vidcore.extract.failures import FailedRow
from vidcore.extract.hashing import FileHashes, FileState
from vidcore.extract.keys import key_of
from vidcore.store import Collection, Writer

# Chunks are what processes lease and what one look at the store is about: small where all the data is small, so that
# several processes find work, and large in large data. By row number only, so that every process cuts alike.
_CHUNKS = ((512, 16), (8192, 64))
_LARGE_CHUNK = 256

Shard = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows in a row, with their positions in the data."""

    number: int
    rows: tuple[tuple[int, Row], ...]

    def digest(self) -> str:
        """Names this chunk of this data on every machine, wherever the disk is mounted: names, segments and sizes."""
        described = [[row.video.name, row.start_seconds, row.end_seconds, _size(row)] for _, row in self.rows]
        return hashlib.sha256(json.dumps([self.number, described]).encode()).hexdigest()[:32]


@dataclass(slots=True)
class Todo:
    """A clip that some extractors lack.

    Attributes:
        number: Position of its row.
        row: Its row.
        keys: Extractor -> key of the features to be put.
        state: State of the file that was hashed: decoded from another one, features would lie under a wrong key.
        same: Rows of the same chunk that are the same clip.
    """

    number: int
    row: Row
    keys: dict[str, str]
    state: FileState
    same: list[tuple[int, Row]] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[int, Row]]:
        """All rows this clip answers for."""
        return [(self.number, self.row), *self.same]


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk after the look at the files and the store."""

    chunk: Chunk
    todo: list[Todo]
    present: list[int]
    failed: list[FailedRow]


class Planner:
    """Looks up files and store for chunks.

    Args:
        collections: Extractor -> where its features go.
        samplings: Extractor -> how its clips are cut.
        sizes: Extractor -> size that counts in its keys.
        hashes: Content hashes.
        writers: Extractor -> its writer, once it has one: what this process has put itself is not missing either.
    """

    def __init__(
        self,
        collections: Mapping[str, Collection],
        samplings: Mapping[str, Sampling],
        sizes: Mapping[str, int | None],
        hashes: FileHashes,
        writers: Mapping[str, Writer],
    ) -> None:
        self._writers = writers
        self._collections = collections
        self._samplings = samplings
        self._sizes = sizes
        self._hashes = hashes

    def plan(self, chunk: Chunk) -> PlannedChunk:
        """What of ``chunk`` is to be done, what is there, what cannot be read."""
        found = self._hashes.of(row.video for _, row in chunk.rows)
        failed: list[FailedRow] = []
        clips: dict[str, Todo] = {}
        for number, row in chunk.rows:
            value = found[row.video]
            if isinstance(value, str):
                failed.append(FailedRow(row.video, number, "open", value))
                continue
            looks = {name: (self._samplings[name], size) for name, size in self._sizes.items()}
            found_keys = {look: key_of(value.sha256, row, *look) for look in set(looks.values())}
            keys = {name: found_keys[look] for name, look in looks.items()}
            clip = clips.setdefault(":".join(sorted(found_keys.values())), Todo(number, row, keys, value.state))
            if clip.number != number:
                clip.same.append((number, row))
        for name, collection in self._collections.items():
            written = self._writers.get(name, ())
            wanted = (clip.keys[name] for clip in clips.values())
            absent = {key for key in collection.missing(wanted) if key not in written}
            for clip in clips.values():
                if clip.keys[name] not in absent:
                    del clip.keys[name]
        present = [number for clip in clips.values() if not clip.keys for number, _ in clip.rows]
        return PlannedChunk(chunk, [clip for clip in clips.values() if clip.keys], present, failed)

    def refresh(self) -> None:
        """See what other processes have put since."""
        for collection in self._collections.values():
            collection.refresh()


def cut_chunks(rows: Iterable[Row], shard: Shard | None = None) -> Iterator[Chunk]:
    """Rows in chunks, streamed; with ``shard`` (i, n), only rows i, i + n, i + 2n, ...

    Raises:
        ConfigError: The shard is none of 0 .. n-1.
    """
    check_shard(shard)
    numbered: Iterator[tuple[int, Row]] = enumerate(rows)
    if shard is not None:
        index, count = shard
        numbered = ((number, row) for number, row in numbered if number % count == index)
    for number in itertools.count():
        first = next(numbered, None)
        if first is None:
            return
        size = next((size for stop, size in _CHUNKS if first[0] < stop), _LARGE_CHUNK)
        yield Chunk(number, (first, *itertools.islice(numbered, size - 1)))


def check_shard(shard: Shard | None) -> None:
    """Refuse a shard that does not exist.

    Raises:
        ConfigError: It is none of 0 .. n-1.
    """
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise ConfigError(
            f"there is no shard {shard[0]}/{shard[1]}; shards count from 0: 0/{shard[1]} to {shard[1] - 1}/{shard[1]}"
            if shard[1] > 0
            else f"there are no shards in {shard[0]}/{shard[1]}; give index/count, such as 0/4"
        )


def _size(row: Row) -> int:
    try:
        return row.video.stat().st_size
    except (OSError, ValueError):
        return -1
