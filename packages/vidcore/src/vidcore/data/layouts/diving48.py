"""Diving48 (Li, Li and Vasconcelos, RESOUND, ECCV 2018).

``Diving48_V2_train.json`` and ``Diving48_V2_test.json`` (without ``V2`` in the first release) are arrays of
``{"vid_name": "0Nn1TUCVZUI_00000", "label": 31, "start_frame": 0, "end_frame": 135}``; ``Diving48_vocab.json`` is an
array of 48 arrays, such as ``["Back", "15som", "05Twis", "FREE"]``, in the order of the labels. Videos are
``<vid_name>.mp4``, cut already; the name begins with the film on YouTube.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vidcore.data._json import iter_json_array
from vidcore.data._rows import Row
from vidcore.errors import ManifestError

from ._tree import Tree
from .base import Layout, Reading
from .hmdb51 import undivided


class Diving48(Layout):
    """See the module."""

    name = "diving48"
    summary = "Diving48 json lists"
    wanted = "Diving48_vocab.json with Diving48_V2_train.json or Diving48_V2_test.json"

    def lists(self, tree: Tree) -> list[Path]:
        """The lists of one version, the second where both are there, where the vocabulary lies beside them."""
        if not tree.named_like(r"Diving48_vocab\.json", beside=True):
            return []
        return tree.named_like(r"Diving48_V2_(train|test)\.json") or tree.named_like(r"Diving48_(train|test)\.json")

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of both lists; videos of one film are a group, where the lists do not divide it."""
        vocabulary = reading.tree.named_like(r"Diving48_vocab\.json", beside=True)[0]
        names = []
        for words in iter_json_array(vocabulary):
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise ManifestError(f'{vocabulary}: not an array of arrays such as ["Back", "15som", "05Twis", "FREE"]')
            names.append(" ".join(words))
        reading.classes = tuple(names)
        rows = []
        for path in self.lists(reading.tree):
            split = "train" if path.stem.lower().endswith("train") else "test"
            for number, item in enumerate(iter_json_array(path)):
                name, label = (item.get("vid_name"), item.get("label")) if isinstance(item, dict) else (None, None)
                if not isinstance(name, str) or not isinstance(label, int) or not 0 <= label < len(names):
                    raise ManifestError(
                        f"{path}, element {number}: not an object with vid_name and a label from 0 to {len(names) - 1}"
                    )
                video = reading.files.called(name, split)
                if video is None:
                    reading.missing.append(f"{name}.mp4")
                else:
                    rows.append(Row(video, names[label], split, group=name.rpartition("_")[0] or None))
        whole, cut = undivided(rows)
        if cut:
            reading.notes.append(f"the official lists divide {cut} films, whose videos are in no group")
        yield from whole
