"""Charades (Sigurdsson et al., arXiv:1604.01753).

``Charades_v1_train.csv`` and ``Charades_v1_test.csv`` have, among others, the columns ``id``, ``subject``, ``actions``
and ``length``; ``actions`` is ``c092 11.90 21.20;c147 0.00 12.60``: class, start and end in seconds. The names of
``c000`` to ``c156`` are in ``Charades_v1_classes.txt``. Videos are ``<id>.mp4``. A person (``subject``) is in many.

By default a row is a video with all its classes, separated by ``|``, as the benchmark scores it, for a head with
``multilabel``; with ``rows=segments`` a row is one annotated segment with its one class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vidcore.data._rows import SEPARATOR, Row
from vidcore.errors import ManifestError

from ._text import lines, records, seconds, split_of
from ._tree import Tree
from .base import Layout, Reading
from .hmdb51 import undivided

_COLUMNS = ("id", "actions", "length")


class Charades(Layout):
    """See the module."""

    name = "charades"
    summary = "Charades CSV"
    wanted = "CSV file with the columns id, actions and length"
    options = ("videos", "rows")

    def lists(self, tree: Tree) -> list[Path]:
        """CSV files whose header has Charades' columns."""
        return [
            path
            for path in tree.named_like(r".*\.csv")
            if {*_COLUMNS} <= {name.strip() for name in tree.first_line(path).split(",")}
        ]

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of both lists; the person is the group, where the lists do not divide it."""
        names = _names(reading)
        reading.classes = tuple(names.values())
        rows, empty = [], 0
        for path in self.lists(reading.tree):
            for line, values in records(path, _COLUMNS):
                where = f"{path}, line {line}"
                actions = [_action(text, names, where) for text in values["actions"].split(";") if text.strip()]
                video = reading.files.called(values["id"])
                if video is None:
                    reading.missing.append(f"{values['id']}.mp4")
                    continue
                empty += not actions
                whole = Row(
                    video, None, split_of(path.name), values.get("subject") or None,
                    extra={"length_seconds": seconds(values["length"], where), "actions": values["actions"]},
                )  # fmt: skip
                rows += list(self._of_video(whole, actions, reading))
        kept, cut = undivided(rows)
        if cut:
            reading.notes.append(f"the official lists divide {cut} persons, whose videos are in no group")
        if empty:
            reading.notes.append(f"{empty} videos have no annotated action")
        yield from kept

    def _of_video(self, whole: Row, actions: list[tuple[str, float, float]], reading: Reading) -> Iterator[Row]:
        if reading.options.rows == "videos":
            labels = dict.fromkeys(label for label, _, _ in actions)
            yield replace(whole, label=SEPARATOR.join(labels) or None)
            return
        bare = replace(whole, extra={})
        for label, start, end in dict.fromkeys(actions):
            # A few segments of the published lists end where they start.
            if end > start:
                yield replace(bare, label=label, start_seconds=start, end_seconds=end)


def _names(reading: Reading) -> dict[str, str]:
    """Code -> name; the code itself where there is no file of names."""
    files = reading.tree.named_like(r"Charades_v1_classes\.txt", beside=True)
    if not files:
        return {code: code for code in (f"c{number:03d}" for number in range(157))}
    named = (text.partition(" ") for _, text in lines(files[0]))
    return {code: name.strip() or code for code, _, name in named}


def _action(text: str, names: dict[str, str], where: str) -> tuple[str, float, float]:
    code, *times = text.split()
    if code not in names or len(times) != 2:
        raise ManifestError(f"{where}: {text!r} is not a class, a start and an end, such as 'c092 11.90 21.20'")
    return names[code], seconds(times[0], where), seconds(times[1], where)
