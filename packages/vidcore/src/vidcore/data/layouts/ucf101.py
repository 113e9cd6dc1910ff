"""UCF101 (Soomro et al., arXiv:1212.0402) with its official lists.

``classInd.txt`` has ``1 ApplyEyeMakeup`` on each line; ``trainlist01.txt`` has ``ApplyEyeMakeup/v_..._g08_c01.avi 1``,
``testlist01.txt`` the same without the number; 02 and 03 are the other two splits. Videos lie in a folder per class
(``UCF-101/``). Clips of one group, the ``g08`` of the name, share the actor and the background; the official test
sets take whole groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vidcore.data._rows import Row
from vidcore.errors import ManifestError

from ._text import lines
from ._tree import Tree
from .base import Layout, Reading, checked_label

_LIST = r"(train|test)list0[1-3]\.txt"
_GROUP = re.compile(r"_(g\d+)_c\d+$")


class Ucf101(Layout):
    """See the module."""

    name = "ucf101"
    summary = "UCF101 lists"
    wanted = "classInd.txt with trainlist01.txt or testlist01.txt"
    options = ("videos", "split")

    def lists(self, tree: Tree) -> list[Path]:
        """The lists of all splits, where ``classInd.txt`` lies beside them."""
        return tree.named_like(_LIST) if tree.named_like(r"classInd\.txt", beside=True) else []

    def rows(self, reading: Reading) -> Iterator[Row]:
        """The rows of one split; the group of the file's name is the row's."""
        (index,) = reading.tree.named_like(r"classInd\.txt", beside=True)[:1]
        reading.classes = tuple(name for _, name in sorted(_numbered(index)))
        known = {name: name for name in reading.classes}
        chosen = [path for path in self.lists(reading.tree) if path.stem.endswith(f"0{reading.options.split}")]
        if not chosen:
            there = ", ".join(path.name for path in self.lists(reading.tree))
            raise ManifestError(f"{reading.path}: there is no list of split {reading.options.split}, only: {there}")
        for path in chosen:
            split = "train" if path.name.lower().startswith("train") else "test"
            for line, text in lines(path):
                name = text.rsplit(maxsplit=1)[0] if text[-1].isdigit() else text
                folder, _, file = name.replace("\\", "/").rpartition("/")
                label = known[checked_label(folder, known, f"{path}, line {line}")]
                stem = file.rpartition(".")[0] or file
                video = reading.files.called(stem, label)
                group = _GROUP.search(stem)
                if video is None:
                    reading.missing.append(name)
                else:
                    yield Row(video, label, split, group=group.group(1) if group else None)


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    for line, text in lines(path):
        number, _, name = text.partition(" ")
        if not number.isdecimal() or not name.strip():
            raise ManifestError(f"{path}, line {line}: {text!r} is not a number and a class name")
        yield int(number), name.strip()
