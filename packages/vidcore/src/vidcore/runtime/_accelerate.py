"""The door to the runtimes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor
from vidcore.runtime._candidates import RUNTIMES, Runtime
from vidcore.runtime._openvino import require_openvino
from vidcore.runtime._prepare import Precision, Request
from vidcore.runtime._quantised import collect
from vidcore.runtime._sample import made_clip
from vidcore.runtime.accelerated import Accelerated


def accelerate(
    extractor: Extractor,
    runtime: Runtime = "auto",
    *,
    precision: Precision = "float32",
    calibration: Iterable[Any] | None = None,
    frames: int | None = None,
    size: int | tuple[int, int] | None = None,
    batch: int = 1,
    threads: int | None = None,
) -> Accelerated:
    """The same extractor, run by a faster engine whose output was compared with eager PyTorch.

    ``eager``     PyTorch with batch normalisations folded into convolutions and the memory layout that is faster here
    ``compiled``  TorchInductor with frozen weights, compiled ahead of time (needs a C++ compiler)
    ``openvino``  OpenVINO, CPU only (``pip install 'vidcore[openvino]'``)
    ``auto``      the fastest of them all on this machine for this model and clip shape, timed once and remembered

    An engine is used only where the largest relative difference of its outputs from eager float32 is at most 1e-3.
    Choices and compiled networks are kept in ``cache_dir("runtimes")`` under everything they depend on, the values of
    the weights included. Where the clip's shape is known from the extractor or from ``frames`` and ``size``, the
    engine is built now, otherwise at the first clip.

    Args:
        extractor: On its device, with its weights. It is not changed.
        runtime: See above.
        precision: ``int8`` quantises weights and activations (OpenVINO); the report holds the measured error.
        calibration: For int8: raw videos uint8 (T, C, H, W) or (B, T, C, H, W), or preprocessed clips; at most 300
            are read.
        frames: Frames of the videos to come, where the extractor takes any number.
        size: Rows and columns of the videos to come, where the extractor takes any.
        batch: Rows of the clips to come.
        threads: CPU threads of an engine; ``None``: those PyTorch uses.

    Raises:
        ConfigError: unknown runtime or precision, int8 without calibration clips, a library that is not installed.
        RuntimeEngineError: the engine asked for cannot run this extractor, or differs too much.
    """
    _check_choice("runtime", runtime, tuple(RUNTIMES))
    _check_choice("precision", precision, get_args(Precision))
    if batch < 1:
        raise ConfigError(f"batch must be at least 1; got {batch}")
    if runtime == "openvino" or precision == "int8":
        require_openvino()
    clips = None
    if precision == "int8":
        if runtime not in ("auto", "openvino"):
            raise ConfigError(f"precision='int8' runs on OpenVINO; use runtime='openvino' or 'auto', not {runtime!r}")
        require_openvino("nncf")
        clips = collect(calibration)
    elif calibration is not None:
        raise ConfigError("calibration clips are for precision='int8'; precision is 'float32'")
    if isinstance(extractor, Accelerated):
        extractor = extractor.eager
    accelerated = Accelerated(extractor, Request(runtime, precision, clips, threads))
    clip = made_clip(extractor, frames, (size, size) if isinstance(size, int) else size, batch)
    if clip is not None:
        accelerated.prepare(clip)
    return accelerated


def _check_choice(label: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        close = difflib.get_close_matches(given, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown {label} {given!r}{hint} {label} is one of: {', '.join(known)}")
