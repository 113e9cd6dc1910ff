"""Rows of several data sets in one run: which set each is from, and how often training sees each set."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from vidcore.data.manifest import Manifest, Row
from vidcore.errors import DataError
from vidcore.training.batches import Batch, BatchSource

SOURCE_COLUMN = "data_set"
"""Column of a joined manifest that says where a row is from."""

Balance = Literal["size", "sqrt", "equal"]


def together(manifests: Mapping[str, Manifest]) -> Manifest:
    """The rows of all manifests, one after another; where there are several, each row says which it is from.

    Raises:
        DataError: a manifest has a column of that name.
    """
    first = next(iter(manifests.values()))
    if len(manifests) == 1:
        return first
    rows = []
    for source, manifest in manifests.items():
        if any(SOURCE_COLUMN in row.extra for row in manifest):
            raise DataError(f"{source} has a column {SOURCE_COLUMN!r}, which says what data set a row is from where "
                            "there are several; give it another name")  # fmt: skip
        rows += [replace(row, extra={**row.extra, SOURCE_COLUMN: source}) for row in manifest]
    flips = {name: mirror for manifest in manifests.values() for name, mirror in manifest.flip_map.items()}
    notes = tuple(note for manifest in manifests.values() for note in manifest.notes)
    return Manifest(first.source, rows, flip_map=flips, notes=notes)


def places_of(source: str, rows: Sequence[Row]) -> list[int]:
    """Places of the rows that are from ``source``: all of them where they do not say."""
    return [place for place, row in enumerate(rows) if row.extra.get(SOURCE_COLUMN, source) == source]


def set_of(row: Row) -> str:
    """The data set of a row; empty where there is one."""
    return str(row.extra.get(SOURCE_COLUMN, ""))


class Balanced:
    """The clips of ``source``, drawn from each of several data sets more or less often: a ``BatchSource``.

    An epoch has as many clips as the source. Clips of one set are taken in the order of a permutation, and again
    from its beginning where the set is smaller than its share, so that no clip is seen twice before all are seen
    once; where it is larger, another part of it is taken in each epoch. What is drawn depends on the seed and the
    epoch alone.

    Args:
        source: all clips.
        sets: the data set of each.
        balance: ``size``: as they are; ``sqrt`` and ``equal``: by the square root of the sizes, or all alike.
        seed: of what is drawn.
    """

    def __init__(self, source: BatchSource, sets: Sequence[str], balance: Balance, seed: int) -> None:
        self._source = source
        self._seed = seed
        members: dict[str, list[int]] = {}
        for place, name in enumerate(sets):
            members.setdefault(name, []).append(place)
        self._members = [np.asarray(members[name]) for name in sorted(members)]
        self.shares = _shares([len(own) for own in self._members], balance)

    def __len__(self) -> int:
        return len(self._source)

    def batches(self, plan: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """See ``BatchSource``."""
        drawn = self.drawn(epoch)
        return self._source.batches([[drawn[number] for number in numbers] for numbers in plan], epoch)

    def drawn(self, epoch: int) -> list[int]:
        """The clips of an epoch, set by set."""
        found: list[int] = []
        for number, (own, share) in enumerate(zip(self._members, self.shares, strict=True)):
            # The clips from share * epoch on, in a sequence of permutations.
            first, last = share * epoch, share * (epoch + 1)
            for turn in range(first // len(own), math.ceil(last / len(own))):
                order = np.random.default_rng((self._seed, number, turn)).permutation(own)
                start = turn * len(own)
                found += order[max(first - start, 0) : last - start].tolist()
        return found


def _shares(sizes: Sequence[int], balance: Balance) -> list[int]:
    """How many of sum(sizes) clips are from each set: whole numbers, by the largest remainders."""
    power = {"size": 1.0, "sqrt": 0.5, "equal": 0.0}[balance]
    weights = [size**power for size in sizes]
    wanted = [sum(sizes) * weight / sum(weights) for weight in weights]
    found = [math.floor(share) for share in wanted]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (found[i] - wanted[i], i))
    for i in by_remainder[: sum(sizes) - sum(found)]:
        found[i] += 1
    return found
