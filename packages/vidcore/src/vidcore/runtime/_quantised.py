"""8-bit integers on OpenVINO: post-training quantisation with calibration clips, and what it costs in accuracy."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor
from vidcore.preprocess import plan_windows
from vidcore.runtime import _openvino
from vidcore.runtime._candidates import Candidate
from vidcore.runtime._choose import Choice, Chooser
from vidcore.runtime._clip import leaves, signature
from vidcore.runtime._identity import tensors_digest
from vidcore.runtime._job import CONVERSION_ERRORS, CannotRunError, Engine, Job, first_line
from vidcore.runtime._measure import cosine, difference
from vidcore.runtime._memory import Memory

MOST_CLIPS = 300
"""Calibration clips looked at; nncf's own default."""

_NAME = "openvino_int8"

# Features of which nothing is left are not features; smaller errors are the caller's to judge.
_TOLERANCE = 1.0


def collect(calibration: Iterable[Any] | None) -> tuple[Any, ...]:
    """The clips to calibrate with.

    Raises:
        ConfigError: there are none.
    """
    clips = () if calibration is None else tuple(islice(calibration, MOST_CLIPS))
    if not clips:
        raise ConfigError(
            "precision='int8' needs calibration clips: give calibration= raw videos (uint8, (T, C, H, W)) or "
            "preprocessed clips like those that will come, some dozens of them"
        )
    return clips


def choose_quantised(
    extractor: Extractor, job: Job, identity: dict[str, Any], calibration: tuple[Any, ...]
) -> tuple[Choice | None, float | None, Memory, str]:
    """The quantised engine, its mean cosine to float32, the cache folder, and why there is none where there is none.

    One clip in eight, at least one, is held out and the error measured on it (a single clip serves both).

    Raises:
        ConfigError: no calibration clip has the shape the engine is built for.
    """
    batches = _batches(extractor, job, calibration)
    held = max(len(batches) // 8, 1) if len(batches) > 1 else 0
    used, judged = batches[: len(batches) - held], batches[len(batches) - held :] or batches
    with torch.no_grad():
        expected = [list(job.network(*tensors)) for tensors in judged]
    memory = Memory({**identity, "calibration": tensors_digest(tensor for batch in batches for tensor in batch)})
    candidate = Candidate(lambda job, path: _build(job, path, used), _openvino.load, f"{_NAME}.blob")
    judge = replace(job, inputs=judged[0], reference=expected[0])
    chooser = Chooser("int8", {_NAME: candidate}, judge, memory, _TOLERANCE)
    choice = chooser.choose()
    if choice is None:
        return None, None, memory, chooser.refusals()
    found = [choice.engine(tensors) for tensors in judged]
    ours, theirs = ([torch.cat(column) for column in zip(*parts, strict=True)] for parts in (found, expected))
    return replace(choice, difference=difference(ours, theirs)), cosine(ours, theirs), memory, ""


def _build(job: Job, path: Path, batches: list[list[Tensor]]) -> Engine:
    model = _openvino.convert(job)
    import nncf

    nncf.set_log_level(logging.WARNING)
    # It makes Cores of its own, which must end before the one that is there to stay.
    _openvino.core()
    items = [tuple(tensor.numpy() for tensor in tensors) for tensors in batches]
    # Attention has patterns of its own that nncf leaves in floating point when told so.
    attention = any(op.get_type_name() in {"Softmax", "ScaledDotProductAttention"} for op in model.get_ops())
    try:
        # Its progress bars would stand among what a command prints, JSON for instance.
        with redirect_stdout(sys.stderr):
            quantised = nncf.quantize(
                model,
                nncf.Dataset(items if len(job.inputs) > 1 else [arrays[0] for arrays in items]),
                subset_size=len(items),
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
            )
    except CONVERSION_ERRORS as exc:
        raise CannotRunError(f"nncf cannot quantise it: {first_line(exc)}") from exc
    return _openvino.compile_model(quantised, job, path)


def _batches(extractor: Extractor, job: Job, calibration: tuple[Any, ...]) -> list[list[Tensor]]:
    """Calibration clips of the job's shape, in batches of its size."""
    wanted, size = signature(job.inputs), job.inputs[0].shape[0]
    clips = [tensors for item in calibration for tensors in _clips(extractor, item, job.inputs[0].device)]
    fitting = [tensors for tensors in clips if signature(tensors) == wanted]
    if not fitting:
        shapes = sorted({str([tuple(t.shape[1:]) for t in tensors]) for tensors in clips})
        raise ConfigError(
            f"no calibration clip has the shape {[shape for shape, *_ in wanted]} the engine is built for; "
            f"their shapes are: {', '.join(shapes)}"
        )
    rows = [torch.cat(column) for column in zip(*fitting, strict=True)]
    count = -(-rows[0].shape[0] // size)
    # The last batch is filled up with the first rows.
    filled = [row[torch.arange(count * size) % row.shape[0]] for row in rows]
    return [list(part) for part in zip(*(tensor.split(size) for tensor in filled), strict=True)]


def _clips(extractor: Extractor, item: Any, device: torch.device) -> list[list[Tensor]]:
    """One raw video as the clips of its windows; a preprocessed clip as it is."""
    if not isinstance(item, Tensor) or item.dtype != torch.uint8:
        return [leaves(item)]
    video = item if item.dim() == 5 else item[None]
    windows = plan_windows(video.shape[1], extractor.clip)
    return [leaves(extractor.preprocess(window.take(video).to(device))) for window in windows]
