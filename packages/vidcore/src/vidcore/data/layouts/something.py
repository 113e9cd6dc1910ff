"""Something-Something V2 (Goyal et al., arXiv:1706.04261), as Qualcomm and before it TwentyBN give it out.

``labels.json`` maps each of the 174 class names to its index as text. ``train.json`` and ``validation.json`` are
arrays of ``{"id": "78687", "label": ..., "template": "Holding [something] next to [something]", ...}``, whose class is
the template without its brackets; ``test.json`` has ids only, and ``test-answers.csv`` (``id;class``, no header) their
classes. The first release calls the files ``something-something-v2-train.json`` and so on. Videos are ``<id>.webm``
in one folder.

A mirror image of six classes is another class: pulling and pushing from left to right or right to left, turning the
camera left or right (indices 86 and 87, 93 and 94, 166 and 167). TDN and MMAction2 swap these when they flip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vidcore.data._json import iter_json_array, parse_json, read_text
from vidcore.data._rows import Row
from vidcore.errors import ManifestError

from ._text import lines
from ._tree import Tree
from .base import Layout, Reading, checked_label

_PREFIX = r"(?:something-something-v2-)?"
_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_SIDES = (("Pulling something from left to right", "Pulling something from right to left"),
          ("Pushing something from left to right", "Pushing something from right to left"),
          ("Turning the camera left while filming something",
           "Turning the camera right while filming something"))  # fmt: skip


class SomethingSomethingV2(Layout):
    """See the module."""

    name = "something-something-v2"
    summary = "Something-Something V2 json lists"
    wanted = "labels.json with train.json, validation.json or test.json"

    def lists(self, tree: Tree) -> list[Path]:
        """The lists of the splits, where ``labels.json`` lies beside them."""
        if not self._labels(tree):
            return []
        found = tree.named_like(_PREFIX + r"(train|validation|test)\.json")
        return [path for path in found if tree.head(path).lstrip().startswith("[")]

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of all lists; test rows without an answer have no label."""
        reading.classes = tuple(self._index(reading.tree))
        known = {name: name for name in reading.classes}
        reading.flip_map = {
            one: other for pair in _SIDES if known.keys() >= set(pair) for one, other in (pair, pair[::-1])
        }
        for path in self.lists(reading.tree):
            split = _SPLITS[path.stem.lower().rpartition("-")[2]]
            answers = self._answers(reading.tree) if split == "test" else {}
            for number, item in enumerate(iter_json_array(path)):
                where = f"{path}, element {number}"
                if not isinstance(item, dict) or not isinstance(item.get("id"), str | int):
                    raise ManifestError(f"{where}: not an object with an id")
                name, template = str(item["id"]), item.get("template")
                label = answers.get(name)
                if isinstance(template, str):
                    label = template.replace("[", "").replace("]", "")
                if label is not None:
                    # One string for all rows of a class.
                    label = known[checked_label(label, known, where)]
                video = reading.files.called(name, split)
                if video is None:
                    reading.missing.append(f"{name}.webm")
                else:
                    yield Row(video, label, split)

    def _labels(self, tree: Tree) -> list[Path]:
        return tree.named_like(_PREFIX + r"labels\.json", beside=True)

    def _index(self, tree: Tree) -> list[str]:
        path = self._labels(tree)[0]
        found = parse_json(read_text(path), str(path))
        if not isinstance(found, dict) or not all(str(value).isdecimal() for value in found.values()):
            raise ManifestError(f'{path}: not an object such as {{"Approaching something with your camera": "0", ...}}')
        return sorted(found, key=lambda name: int(found[name]))

    def _answers(self, tree: Tree) -> Mapping[str, str]:
        return {
            name.strip(): label.strip()
            for path in tree.named_like(_PREFIX + r"test-answers\.csv", beside=True)
            for name, _, label in (text.partition(";") for _, text in lines(path))
        }
