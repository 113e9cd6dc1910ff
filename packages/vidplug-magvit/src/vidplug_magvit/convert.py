"""Published Open-MAGVIT2 checkpoints, brought under the names of :class:`vidplug_magvit.network.Tokenizer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

NETWORK_PREFIXES = ("encoder.", "decoder.")
AVERAGE_PREFIX = "model_ema."


@dataclass(frozen=True)
class Conversion:
    """What became of every entry of a published file.

    Attributes:
        state: tensors under the tokenizer's own names.
        averaged: names in ``state`` whose value is the moving average.
        raw: names in ``state`` for which the file holds no moving average.
        dropped: keys that are no part of the tokenizer (losses, discriminator, quantiser counters, the averages
            of these, averages of parameters that are absent); raw weights replaced by their average are not listed.
    """

    state: dict[str, Tensor]
    averaged: tuple[str, ...]
    raw: tuple[str, ...]
    dropped: tuple[str, ...]


def convert_published(checkpoint: Mapping[str, Any]) -> Conversion:
    """Sort the entries of a published file into the tokenizer's weights and the rest.

    Published files are Lightning checkpoints: weights under ``state_dict``, and beside each ``encoder.*`` or
    ``decoder.*`` parameter its moving average under ``model_ema.`` plus the parameter's name without dots. The
    average is what the authors evaluate with, so it is preferred. A bare state dict is taken as well.

    Args:
        checkpoint: what ``torch.load(path, weights_only=True)`` or a safetensors file gives.

    Raises:
        ValueError: no ``encoder.*`` or ``decoder.*`` tensor, two names that coincide without their dots, or an
            average whose shape differs from its parameter's.
    """
    entries: Mapping[str, Any] = checkpoint.get("state_dict", checkpoint)
    names = [key for key in entries if key.startswith(NETWORK_PREFIXES) and isinstance(entries[key], Tensor)]
    if not names:
        found = ", ".join(sorted({key.split(".")[0] for key in entries})[:8]) or "nothing"
        raise ValueError(
            f"not an Open-MAGVIT2 checkpoint: expected tensors named encoder.* and decoder.*, found {found}"
        )

    average_key: dict[str, str] = {}
    for name in names:
        key = AVERAGE_PREFIX + name.replace(".", "")
        if key in average_key:
            raise ValueError(f"{average_key[key]} and {name} share the moving average {key}; cannot tell whose it is")
        average_key[key] = name

    state = {name: entries[name] for name in names}
    averaged = []
    for key, name in average_key.items():
        if key not in entries:
            continue
        if entries[key].shape != state[name].shape:
            raise ValueError(f"{key} has shape {tuple(entries[key].shape)}, {name} {tuple(state[name].shape)}")
        state[name] = entries[key]
        averaged.append(name)

    return Conversion(
        state=state,
        averaged=tuple(averaged),
        raw=tuple(name for name in names if name not in set(averaged)),
        dropped=tuple(key for key in entries if key not in state and key not in average_key),
    )


def published_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tokenizer's weights in a published file, moving averages preferred; see :func:`convert_published`.

    Args:
        checkpoint: what ``torch.load(path, weights_only=True)`` or a safetensors file gives.

    Raises:
        ValueError: as :func:`convert_published`.
    """
    return convert_published(checkpoint).state
