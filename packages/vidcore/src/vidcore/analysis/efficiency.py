"""What an extractor costs on this device: parameters, operations, time and memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vidcore.analysis._operations import count_flops
from vidcore.analysis._resident import PeakMemory
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError
from vidcore.extractors.base import Extractor
from vidcore.features import FeatureMap
from vidcore.preprocess import plan_windows
from vidcore.training.device import device_name

if TYPE_CHECKING:
    from vidcore.runtime import Runtime, RuntimeReport

Precision = Literal["float32", "bfloat16", "int8"]

_ANY_SIZE, _RAW_SIZE = (224, 224), (256, 340)
_WARM_UP, _FEWEST = 2, 3


@dataclass(frozen=True, slots=True)
class Spread:
    """Median of repeated measurements, and the percentiles between which nine of ten of them lie."""

    median: float
    p5: float
    p95: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of one value or more."""
        found = np.fromiter(values, float)
        low, middle, high = np.percentile(found, (5, 50, 95))
        return cls(float(middle), float(low), float(high), len(found))


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The cost of one extractor for one clip, where not stated otherwise.

    A clip is a video of ``frames`` frames; one that is longer than what a forward takes is read by several.

    Attributes:
        name: of the extractor.
        device: in words.
        runtime: what ran it: ``eager`` is the extractor as it is, else the engine that ``accelerate`` chose.
        precision: ``float32``, ``bfloat16`` (autocast) or ``int8``.
        frames: of the raw video.
        size: (rows, columns) of the raw video.
        forwards: per clip.
        batch: clips side by side for ``throughput`` and ``peak_memory``.
        width: channels of the default output.
        parameters: of the extractor.
        flops: floating-point operations, a multiplication and an addition being two; see ``count_flops``. ``None``:
            it runs none of the operators that are counted.
        latency: seconds of the forwards of one clip alone.
        throughput: clips per second, in batches.
        preprocess: seconds from one raw video on the device to the clips that the forwards take.
        peak_memory: bytes of parameters and buffers, plus how far memory grew while the engine was loaded and a batch
            ran; ``None`` where the system does not tell.
        memory: what grew.
        difference: ||engine - eager float32|| / ||eager float32||, the largest over the outputs; ``None`` for eager
            float32 itself. Of int8, on clips held out of calibration.
        cosine: mean cosine between the feature vectors of engine and eager; int8 only.
    """

    name: str
    device: str
    runtime: str
    precision: Precision
    frames: int
    size: tuple[int, int]
    forwards: int
    batch: int
    width: int
    parameters: int
    flops: int | None
    latency: Spread
    throughput: Spread
    preprocess: Spread
    peak_memory: int | None
    memory: str
    difference: float | None = None
    cosine: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)


def measure(
    extractor: Extractor,
    *,
    batch: int = 1,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    runtime: Runtime = "eager",
    precision: Precision = "float32",
    calibration: Iterable[Any] | None = None,
    repeats: int = 20,
    seconds: float = 20.0,
) -> Efficiency:
    """Measure an extractor where it is: on its device, in eval mode, with whatever weights it has.

    Args:
        extractor: Not changed.
        batch: Clips side by side for throughput and memory; latency is always that of one clip.
        frames: Of the raw video; by default those of one window at the published pace, or 16 without one.
        size: (rows, columns) of the raw video; by default 224 x 224 for extractors that take any size. For others it
            matters to ``preprocess`` only, and is 256 x 340 by default: a frame of Kinetics as it is commonly stored.
        runtime: See ``vidcore.runtime.accelerate``; ``eager`` here is the extractor as it is.
        precision: ``bfloat16`` is autocast around any runtime, ``int8`` needs ``calibration``.
        calibration: See ``vidcore.runtime.accelerate``.
        repeats: Measurements of each figure after two that do not count.
        seconds: No further measurement of a figure begins after so long, where there are three.

    Raises:
        ConfigError: a number below 1, or as ``accelerate``.
        RuntimeEngineError: the runtime cannot run this extractor.
    """
    for label, number in (
        ("batch", batch),
        ("frames", 1 if frames is None else frames),
        ("repeats", repeats),
        *_sides(size),
    ):
        if number < 1:
            raise ConfigError(f"{label} must be at least 1; got {number}")
    if precision not in get_args(Precision):
        raise ConfigError(f"precision is {precision!r}; use float32, bfloat16 or int8")
    if calibration is not None and precision != "int8":
        raise ConfigError(f"calibration clips are for precision='int8'; precision is {precision!r}")
    first = next(extractor.parameters(), None)
    device = first.device if first is not None else torch.device("cpu")
    frames, size = video_shape(extractor, frames, size)
    video = _noise(batch, frames, size).to(device)
    windows = plan_windows(frames, extractor.clip)

    def repeat(run: Callable[[], object]) -> list[float]:
        return _seconds_of(run, device, repeats, seconds)

    def preprocess(rows: int) -> list[Any]:
        return [extractor.preprocess(window.take(video[:rows])) for window in windows]

    def forwards(running: Extractor, clip: Any) -> Callable[[], object]:
        return lambda: [_forward(running, clip, precision) for _ in windows]

    with torch.no_grad():
        many, one = (extractor.preprocess(windows[0].take(part)) for part in (video, video[:1]))
        clips = None if calibration is None else list(calibration)
        # An engine is converted here and kept by the runtime; below it is only loaded, as at every later start.
        _engine(extractor, runtime, precision, clips, video)
        gc.collect()
        # Before anything else runs: what libraries allocate at the first forward counts too.
        with PeakMemory(device) as memory:
            engine, reports = _engine(extractor, runtime, precision, clips, video)
            memory.start()
            forwards(engine, many)()
    latencies = repeat(forwards(engine, one))
    batches = repeat(forwards(engine, many)) if batch > 1 else latencies
    preparing = repeat(lambda: preprocess(1))
    flops = count_flops(lambda: _forward(extractor, one)) * len(windows)
    difference = reports[0].difference if reports else None
    if precision == "bfloat16":
        difference = _difference(_forward(engine, one, precision), _forward(extractor, one))
    return Efficiency(
        name=extractor.spec.name,
        device=device_name(device),
        runtime=_named(reports),
        precision=precision,
        frames=frames,
        size=size,
        forwards=len(windows),
        batch=batch,
        width=next(iter(extractor.outputs.values())).dim,
        parameters=sum(parameter.numel() for parameter in extractor.parameters()),
        flops=flops or None,
        latency=Spread.of(latencies),
        throughput=Spread.of(batch / passed for passed in batches),
        preprocess=Spread.of(preparing),
        peak_memory=None if memory.bytes is None else _bytes(extractor) + memory.bytes,
        memory="memory PyTorch allocated" if device.type == "cuda" else "resident memory of the process",
        difference=difference,
        cosine=reports[0].cosine if reports else None,
    )


def video_shape(
    extractor: Extractor, frames: int | None = None, size: tuple[int, int] | None = None
) -> tuple[int, tuple[int, int]]:
    """Frames and (rows, columns) of the raw video that ``measure`` takes where they are not given."""
    fitting = frames or Sampling("published").of(extractor.clip).frames
    return fitting, size or (_RAW_SIZE if extractor.clip.size else _ANY_SIZE)


def _sides(size: tuple[int, int] | None) -> list[tuple[str, int]]:
    return [] if size is None else list(zip(("rows of size", "columns of size"), size, strict=True))


def _noise(batch: int, frames: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, frames, 3, *size), dtype=torch.uint8, generator=generator)


def _engine(
    extractor: Extractor, runtime: Runtime, precision: Precision, calibration: list[Any] | None, video: Tensor
) -> tuple[Extractor, tuple[RuntimeReport, ...]]:
    """What runs, and the reports of its engines: that for batches, and that for single clips where it is another."""
    if runtime == "eager" and precision != "int8":
        return extractor, ()
    # Here: it imports compilers.
    from vidcore.runtime import accelerate

    batch, frames, _, *size = video.shape
    running = accelerate(
        extractor,
        runtime,
        precision="int8" if precision == "int8" else "float32",
        calibration=calibration,
        frames=frames,
        size=(size[0], size[1]),
        batch=batch,
    )
    if batch > 1:
        running.prepare(extractor.preprocess(plan_windows(frames, extractor.clip)[0].take(video[:1])))
    return running, running.reports


def _named(reports: tuple[RuntimeReport, ...]) -> str:
    names = list(dict.fromkeys(report.runtime for report in reports)) or ["eager"]
    return names[0] if len(names) == 1 else f"{names[0]} ({names[-1]} for one clip)"


def _forward(extractor: Extractor, clip: Any, precision: Precision = "float32") -> dict[str, FeatureMap]:
    device = next(leaf.device.type for leaf in _leaves(clip))
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        maps: dict[str, FeatureMap] = extractor(clip)
    return maps


def _leaves(clip: Any) -> Iterator[Tensor]:
    if isinstance(clip, Tensor):
        yield clip
    else:
        for part in clip.values() if isinstance(clip, Mapping) else clip:
            yield from _leaves(part)


def _seconds_of(run: Callable[[], object], device: torch.device, repeats: int, seconds: float) -> list[float]:
    """Wall-clock seconds of each run, after two that do not count."""
    passed: list[float] = []
    for _ in range(_WARM_UP):
        run()
    began = time.perf_counter()
    while len(passed) < repeats and (len(passed) < _FEWEST or time.perf_counter() - began < seconds):
        _wait(device)
        before = time.perf_counter()
        run()
        _wait(device)
        passed.append(time.perf_counter() - before)
    return passed


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _difference(found: dict[str, FeatureMap], exact: dict[str, FeatureMap]) -> float:
    """Largest ||found - exact|| / ||exact|| over the outputs."""
    pairs = [(found[name].data.double(), exact[name].data.double()) for name in exact]
    return max(float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in pairs)


def _bytes(extractor: Extractor) -> int:
    return sum(tensor.nbytes for tensor in (*extractor.parameters(), *extractor.buffers()))
