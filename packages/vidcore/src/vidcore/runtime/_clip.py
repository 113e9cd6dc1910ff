"""Clips as flat lists of tensors: what engines take, whatever structure an extractor's clip has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from vidcore.errors import ShapeError

Signature = tuple[tuple[tuple[int, ...], str, str], ...]


def leaves(clip: Any) -> list[Tensor]:
    """The tensors of a clip (a tensor, or lists and mappings of them), in order.

    Raises:
        ShapeError: something in the clip is neither.
    """
    if isinstance(clip, Tensor):
        return [clip]
    if isinstance(clip, Mapping):
        clip = list(clip.values())
    if isinstance(clip, Sequence) and not isinstance(clip, str):
        return [leaf for part in clip for leaf in leaves(part)]
    raise ShapeError(f"a clip is a tensor, or lists and mappings of tensors; got {type(clip).__name__}")


def skeleton(clip: Any) -> Any:
    """The structure of a clip, ``None`` in place of each tensor."""
    if isinstance(clip, Tensor):
        return None
    if isinstance(clip, Mapping):
        return {key: skeleton(part) for key, part in clip.items()}
    return [skeleton(part) for part in clip]


def rebuild(structure: Any, tensors: Iterator[Tensor]) -> Any:
    """A clip of the given ``skeleton``, its tensors taken in order."""
    if structure is None:
        return next(tensors)
    if isinstance(structure, Mapping):
        return {key: rebuild(part, tensors) for key, part in structure.items()}
    return [rebuild(part, tensors) for part in structure]


def signature(tensors: list[Tensor]) -> Signature:
    """Shape without the batch axis, type and device of each tensor: what an engine is built for."""
    return tuple((tuple(t.shape[1:]), str(t.dtype).removeprefix("torch."), t.device.type) for t in tensors)
