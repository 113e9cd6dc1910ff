"""Rows that no split may divide although their manifest does not say so: files of the same content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vidcore.data.inspect import Duplicate
from vidcore.data.manifest import Row


def kept_together(rows: Sequence[Row], duplicates: Sequence[Duplicate], *, folds: bool) -> list[Row]:
    """The rows, those of files with the same content in one group; groups that share a content become one.

    Rows that name their split stay where they are; with ``folds`` only those of the test do, for the others are divided
    anew.
    """
    same = {path: number for number, one in enumerate(duplicates) for path in one.paths}
    divided = [row.video in same and (row.split is None or (folds and row.split != "test")) for row in rows]
    root: dict[str, str] = {}

    def found(group: str) -> str:
        while group in root:
            group = root[group]
        return group

    names: dict[int, str] = {}
    for row, moves in zip(rows, divided, strict=True):
        if moves and row.group is not None:
            first, own = found(names.setdefault(same[row.video], row.group)), found(row.group)
            if first != own:
                root[own] = first
    together = []
    for row, moves in zip(rows, divided, strict=True):
        group = row.group
        if moves and group is None:
            number = same[row.video]
            group = names.get(number, f"same content as {duplicates[number].paths[0]}")
        together.append(row if group is None else replace(row, group=found(group)))
    return together
