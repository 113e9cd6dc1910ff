"""Published parameter names of the joint ViViT -> those of transformers' ``VivitModel``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# The hub's files keep the names that the library gave its modules in 2023; those of today differ.
_RULES = (
    (r"^(?:network\.|vivit\.)+", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"^(layers\.\d+)\.attention\.attention\.query\.", r"\1.attention.q_proj."),
    (r"^(layers\.\d+)\.attention\.attention\.key\.", r"\1.attention.k_proj."),
    (r"^(layers\.\d+)\.attention\.attention\.value\.", r"\1.attention.v_proj."),
    (r"^(layers\.\d+)\.attention\.output\.dense\.", r"\1.attention.o_proj."),
    (r"^(layers\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)


def convert(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The hub's files, with or without the prefix ``vivit.``; what nothing asks for is left over."""
    converted: dict[str, Tensor] = {}
    for name, value in published.items():
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        converted[name] = value
    return converted
