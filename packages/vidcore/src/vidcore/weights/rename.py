"""Published parameter names -> an extractor's own: what plugins use in ``Extractor.convert``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

Rules = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one project names the tensors of a network.

    Rules are regular expressions and their replacements, applied in order by ``re.sub``.
    """

    name: str
    """The project, for messages: ``PySlowFast``."""
    sign: str
    """A regular expression that a name of this layout, and of no other, begins with."""
    rules: Rules = ()
    note: str = ""
    """What differs from the project's own use of such a file; printed when one is loaded."""
    refused: str = ""
    """Why a file of this layout is no network of this kind although its names and shapes fit."""


class Renamed(dict[str, Tensor]):
    """Tensors under an extractor's own names, the layout they came in, and a note for the report."""

    layout: str = ""
    note: str = ""


def renamed(published: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Every name after all rules; see ``Layout``."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    found = {}
    for name, tensor in published.items():
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        found[name] = tensor
    return found


def convert_names(
    published: Mapping[str, Tensor], own: Collection[str], layouts: Sequence[Layout] = (), prefix: str = "network."
) -> Renamed:
    """Tensors of a file under the names ``own`` of an extractor; what it does not have keeps its published name.

    Args:
        published: the file's tensors.
        own: names in the extractor's state dict.
        layouts: other layouts than the one the network itself is written in.
        prefix: what the extractor puts before the network's names.

    Raises:
        ValueError: the file is of a layout that is refused; the message says why.
    """
    layout = next((one for one in layouts if any(re.match(one.sign, name) for name in published)), None)
    found = Renamed()
    if layout is not None:
        if layout.refused:
            raise ValueError(f"it is of the layout of {layout.name}, and {layout.refused}")
        found.layout, found.note = layout.name, layout.note
    for name, tensor in published.items():
        new = next(iter(renamed({name: tensor}, layout.rules))) if layout else name
        found[prefix + new if prefix + new in own else name] = tensor
    return found
