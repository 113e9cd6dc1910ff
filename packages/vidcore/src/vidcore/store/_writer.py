"""Writer, which puts records into a collection from one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from vidcore.errors import StoreError

from ._files import explained
from ._index import pack_key
from ._layout import Layout, signature
from ._shard_writer import ShardWriter
from .record import Record

# What a person loses at most in a power cut; a killed process loses nothing.
FLUSH_BYTES = 256 << 20
FLUSH_SECONDS = 30.0
SHARD_BYTES = 1 << 30
# Layouts whose files stay open; videos of many lengths give many layouts.
_OPEN_SHARDS = 16


class WritableCollection(Protocol):
    """What a writer needs of its collection."""

    def begin(self, layout: Layout) -> ShardWriter:
        """A new shard; the collection is made if it is not there, and its outputs compared."""
        ...

    def refresh(self) -> None:
        """See what was written."""
        ...


class Writer:
    """Puts records into shards of its own, so that any number of writers may work at once; from ``writer()``.

    What was put can be read by every process after ``refresh()`` and is not lost when this one is killed. What was
    flushed is not lost in a power cut either; a flush happens by itself every 256 MiB and every 30 seconds in which
    something is put. Methods may be called from several threads. A key that this writer has already put is passed over.

    Use it as a context manager: the end of the block flushes, finishes the shards and refreshes the collection.
    """

    def __init__(
        self,
        collection: WritableCollection,
        *,
        shard_bytes: int = SHARD_BYTES,
        flush_bytes: int = FLUSH_BYTES,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._collection = collection
        self._shard_bytes = shard_bytes
        self._flush_bytes = flush_bytes
        self._flush_seconds = flush_seconds
        self._shards: dict[Layout, ShardWriter] = {}
        self._layouts: dict[tuple[Any, ...], Layout] = {}
        self._put: set[bytes] = set()
        self._unflushed = 0
        self._flushed_at = time.monotonic()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False

    def __contains__(self, key: object) -> bool:
        """Whether this writer has put the key; the collection shows it only after ``refresh()``."""
        if not isinstance(key, str):
            return False
        with self._lock:
            return pack_key(key) in self._put

    def put(self, key: str, records: Mapping[str, Record], source: str | None = None) -> None:
        """Write the record of one clip.

        Args:
            key: Fingerprint of the clip, 64 hexadecimal digits.
            records: ``{output: Record}``, the same outputs for every clip; shapes may differ from clip to clip.
            source: A name for people, such as the video's path; exports list it.

        Raises:
            StoreError: A record has the wrong type or other outputs than the collection; the disk is full,
                read-only or refuses. Then this record was not written, and everything flushed so far stays valid.
        """
        packed, layout = pack_key(key), self._layout(records)
        with self._lock:
            self._check_usable()
            if packed in self._put:
                return
            with explained(f"write features of {source or key}"):
                shard = self._shard(layout)
                shard.append(packed, records, source)
            self._put.add(packed)
            self._unflushed += layout.row_bytes
            if shard.size >= self._shard_bytes:
                self._finish(layout)
            elif self._unflushed >= self._flush_bytes or time.monotonic() - self._flushed_at >= self._flush_seconds:
                self.flush()

    def flush(self) -> None:
        """Wait until everything put so far is on the disk.

        Raises:
            StoreError: The disk is full or refuses: what was put since the last flush is lost and may be put again.
        """
        with self._lock:
            self._check_usable()
            for layout, shard in list(self._shards.items()):
                self._settle(layout, shard, shard.flush)
            self._unflushed, self._flushed_at = 0, time.monotonic()

    def close(self) -> None:
        """Flush, finish the shards and refresh the collection; nothing can be put afterwards.

        Raises:
            StoreError: As ``flush``.
        """
        with self._lock:
            if self._closed:
                return
            self._check_usable()
            try:
                for layout in list(self._shards):
                    self._finish(layout)
            finally:
                self._closed = True
                for shard in self._shards.values():
                    shard.close()
        self._collection.refresh()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreError("this writer is closed; ask the collection for a new one: collection.writer()")
        if os.getpid() != self._process:
            raise StoreError("a writer belongs to the process that made it; ask for one in each: collection.writer()")

    def _layout(self, records: Mapping[str, Record]) -> Layout:
        looks = signature(records)
        layout = self._layouts.get(looks)
        if layout is None:
            layout = self._layouts[looks] = Layout.of(records)
        return layout

    def _shard(self, layout: Layout) -> ShardWriter:
        shard = self._shards.pop(layout, None)
        if shard is not None and shard.removed:
            # A gc on another machine took this process for dead and has moved the records: nothing is lost.
            shard.close()
            shard = None
        if shard is None:
            shard = self._collection.begin(layout)
        # The one used last goes to the end; the one that falls out of the last few gives its open files back.
        self._shards[layout] = shard
        if len(self._shards) > _OPEN_SHARDS:
            list(self._shards.values())[-_OPEN_SHARDS - 1].close()
        return shard

    def _finish(self, layout: Layout) -> None:
        shard = self._shards[layout]
        self._settle(layout, shard, shard.seal)
        self._shards.pop(layout, None)

    def _settle(self, layout: Layout, shard: ShardWriter, step: Callable[[], None]) -> None:
        try:
            with explained(f"write to {shard.folder}"):
                if shard.removed:
                    # What it held was moved by the gc that removed it; see _shard.
                    shard.close()
                    self._shards.pop(layout, None)
                else:
                    step()
        except StoreError:
            self._put.difference_update(shard.abandon())
            self._shards.pop(layout, None)
            raise
