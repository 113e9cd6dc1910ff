"""KeyIndex, where the record of a key lies: sorted arrays, so that a batch of keys is one search."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from vidcore.errors import StoreError

from ._layout import KEY_BYTES
from ._shard import Shard

_WORDS = KEY_BYTES // 8
# 13 MB.
_REMEMBERED = 1 << 17


def pack_keys(keys: Sequence[str]) -> bytes:
    """Keys of 64 hexadecimal digits as 32 bytes each.

    Raises:
        StoreError: A key is something else.
    """
    try:
        packed = bytes.fromhex("".join(keys))
    except (ValueError, TypeError):
        packed = b""
    # fromhex passes over blanks, so both the length of the bytes and that of the texts are compared.
    if len(packed) != KEY_BYTES * len(keys) or not {2 * KEY_BYTES}.issuperset(map(len, keys)):
        for key in keys:
            pack_key(key)
    return packed


def pack_key(key: str) -> bytes:
    """One key as bytes.

    Raises:
        StoreError: It is not 64 hexadecimal digits, or all of them are 0, which marks a row that was dropped.
    """
    try:
        packed = bytes.fromhex(key) if len(key) == 2 * KEY_BYTES else b""
    except (ValueError, TypeError):
        packed = b""
    if len(packed) != KEY_BYTES or not any(packed):
        raise StoreError(f"a key is the fingerprint of a clip, 64 hexadecimal digits (a SHA-256); got {key!r}")
    return packed


class KeyIndex:
    """Keys of several shards, each once: of duplicates the one in the first shard wins.

    Sorted arrays of a million keys take 50 MB, a dictionary 200; so only keys that were read, up to a number, are kept
    in one as well: that saves a batch of 256 some 5 % of the time.

    Attributes:
        shard: (N,) which of ``shards`` holds the record.
        row: (N,) where in it.
        duplicates: How many rows repeat a key.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        words, shard, row = [np.empty((0, _WORDS), np.uint64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number, one in enumerate(shards):
            rows = np.flatnonzero(one.valid)
            words.append(np.ascontiguousarray(one.entries["key"][rows]).view(np.uint64).reshape(len(rows), _WORDS))
            shard.append(np.full(len(rows), number))
            row.append(rows)
        keys = np.concatenate(words)
        # Stable, so that of equal keys the first shard's comes first.
        order = np.argsort(keys[:, 0], kind="stable")
        keys = keys[order]
        same_word = keys[1:, 0] == keys[:-1, 0]
        repeats = np.zeros(len(keys), bool)
        repeats[1:] = same_word & (keys[1:] == keys[:-1]).all(axis=1)
        if (same_word != repeats[1:]).any():
            # Keys that differ share their first word, which no SHA-256 does by chance: sort by the whole key.
            order = np.lexsort(tuple(np.concatenate(words).T[::-1]))
            keys = np.concatenate(words)[order]
            repeats[1:] = (keys[1:] == keys[:-1]).all(axis=1)
        first = np.flatnonzero(~repeats)
        self._keys: NDArray[np.uint64] = keys[first]
        self._first_word = np.ascontiguousarray(self._keys[:, 0])
        self.shard: NDArray[np.int64] = np.concatenate(shard)[order[first]]
        self.row: NDArray[np.int64] = np.concatenate(row)[order[first]]
        self.duplicates = len(keys) - len(first)
        self._known: dict[str, int] = {}
        self._remembers = True

    def __len__(self) -> int:
        return len(self._keys)

    def locate(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Places of (B,) keys in ``shard`` and ``row``; -1 where there is none.

        Raises:
            StoreError: A key is not 64 hexadecimal digits.
        """
        packed = pack_keys(keys)
        wanted = np.frombuffer(packed, np.uint64).reshape(len(keys), _WORDS)
        if not len(self):
            return np.full(len(wanted), -1)
        at: NDArray[np.int64] = self._first_word.searchsorted(wanted[:, 0])
        # The usual case, and the hot one: everything is here. Whole keys at once are taken faster than their words.
        here = self._keys.view(f"V{KEY_BYTES}").reshape(-1).take(at, mode="clip")
        return at if here.tobytes() == packed else self._walk(wanted, at)

    def recall(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """As ``locate``, for keys that are asked for again and again.

        Raises:
            StoreError: As ``locate``.
        """
        try:
            return np.array(itemgetter(*keys)(self._known), np.int64).reshape(-1)
        except (KeyError, TypeError):
            at = self.locate(keys)
        if self._remembers and at.min() >= 0:
            self._known.update(zip(keys, at.tolist(), strict=True))
            self._remembers = len(self._known) <= _REMEMBERED
            if not self._remembers:
                # More keys than are worth their memory: a part of them would answer hardly any batch.
                self._known = {}
        return at

    def _walk(self, wanted: NDArray[np.uint64], at: NDArray[np.int64]) -> NDArray[np.int64]:
        while True:
            here = self._keys.take(at, axis=0, mode="clip")
            within = at < len(self)
            found = within & (here == wanted).all(axis=1)
            # Another key with the same first word: look at the next one.
            passed = within & ~found & (here[:, 0] == wanted[:, 0])
            if not passed.any():
                return np.where(found, at, -1)
            at = at + passed

    def keys(self) -> list[str]:
        """Every key, in the order of ``shard`` and ``row``."""
        text, width = self._keys.tobytes().hex(), 2 * KEY_BYTES
        return [text[i : i + width] for i in range(0, len(text), width)]

    def places(self) -> list[tuple[str, int, int]]:
        """Key, shard and row of every record."""
        return list(zip(self.keys(), self.shard.tolist(), self.row.tolist(), strict=True))
