"""Files that hold a network twice, as trained and averaged over training: the averaged one is taken.

Evaluation code of every project that keeps an average uses it, so it is what published scores belong to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

# Keys of a checkpoint beside its ordinary state dict: timm (state_dict_ema), ConvNeXt and DeiT (model_ema), PySlowFast
# (ema_state), mmengine (ema_state_dict), Lightning callbacks and others.
AVERAGED_WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state",
    "ema_state_dict",
    "model_state_ema",
    "model_ema_state_dict",
    "ema_model",
    "ema",
)
# The same in flat names, before a dot: an average, and what its parameters may be called in the network itself.
_AVERAGED_PREFIXES = ("model_ema.module.", "model_ema.", "ema_model.module.", "ema_model.", "ema.module.", "ema.")
_RAW_PREFIXES = ("", "model.", "module.", "network.", "net.", "backbone.")
# DINO and its like: the teacher is the average of the student.
_TEACHER, _STUDENT = "teacher.", "student."


def averaged_by_mmengine(content: Mapping[Any, Any]) -> bool:
    """Whether ``state_dict`` is the average already: mmengine's EMAHook swaps the two when it saves."""
    return "message_hub" in content and "ema_state_dict" in content


def over_raw(raw: dict[str, Tensor], averaged: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """``raw`` with every value replaced that has an average; None where these are not averages of it.

    Averages often leave out buffers, such as running statistics: those keep the raw values.
    """
    known = [name for name in averaged if name in raw and averaged[name].shape == raw[name].shape]
    if not known or 2 * len(known) < len([name for name in raw if not name.endswith("num_batches_tracked")]):
        return None
    return {**raw, **{name: averaged[name] for name in known}}


def take_averaged(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Flat tensors with averages in place of raw values, and the prefix the averages were found under.

    Open-MAGVIT2 and latent diffusion write an average's name without its dots (``model_ema.encoderconvweight``).
    """
    for prefix in (*_AVERAGED_PREFIXES, _TEACHER):
        averages = {name.removeprefix(prefix): name for name in tensors if name.startswith(prefix)}
        if not averages:
            continue
        others = [name for name in tensors if not name.startswith(prefix)]
        names = _names_of(averages, others, (_STUDENT,) if prefix == _TEACHER else _RAW_PREFIXES)
        if 2 * len(names) < len(averages):
            continue
        for average, name in names.items():
            _check_shape(average, tensors[average], name, tensors[name])
        return {**{name: tensors[name] for name in others}, **{n: tensors[a] for a, n in names.items()}}, prefix
    return tensors, ""


def _names_of(averages: Mapping[str, str], others: list[str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Average -> the raw tensor it belongs to, by the prefix that explains most of them."""
    best: dict[str, str] = {}
    known = set(others)
    for prefix in prefixes:
        dotted = {average: prefix + tail for tail, average in averages.items() if prefix + tail in known}
        by_letters: dict[str, str] = {}
        for name in others:
            letters = name.removeprefix(prefix).replace(".", "") if name.startswith(prefix) else ""
            if letters in averages and letters in by_letters:
                raise ValueError(f"{by_letters[letters]} and {name} share the average {averages[letters]}")
            if letters:
                by_letters[letters] = name
        dotless = {average: by_letters[tail] for tail, average in averages.items() if tail in by_letters}
        best = max(best, dotted, dotless, key=len)
    return best


def _check_shape(average: str, averaged: Tensor, name: str, raw: Tensor) -> None:
    if averaged.shape != raw.shape:
        raise ValueError(f"{average} has shape {tuple(averaged.shape)}, {name} {tuple(raw.shape)}")
