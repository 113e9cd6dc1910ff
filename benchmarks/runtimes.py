"""How much faster each runtime is than PyTorch as it is, what it costs to start, and how far the machine's peak is.

CPU seconds of the runtimes and of eager PyTorch are taken in turn in one process; a ratio is the median over the turns
of eager / runtime, its spread the smallest and the largest. The peak is that of float32 matrix products on as many
threads, measured beside each model; floating point operations are counted on the model's real graph.

Run: uv run python benchmarks/runtimes.py x3d/s torchvision/r3d_18 --runs 5
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from paired import measure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from vidcore.assemble import create
from vidcore.errors import RuntimeEngineError
from vidcore.extractors import Extractor
from vidcore.preprocess import plan_windows
from vidcore.runtime import Accelerated, accelerate
from vidcore.testing.fakes import fake_video

EAGER = "eager PyTorch"


@dataclass
class Figures:
    """One runtime on one model."""

    runtime: str
    seconds: float = 0.0
    ratio: float = 1.0
    lowest: float = 1.0
    highest: float = 1.0
    peak_share: float = 0.0
    """Of the measured GEMM peak, 0 to 1."""
    difference: float | None = None
    chosen: str = ""
    first_start_seconds: float | None = None
    """CPU seconds to build, verify (and for ``auto``, time) what ran before it in the table left unbuilt."""
    second_start_seconds: float | None = None
    """CPU seconds to load it again."""
    reason: str = ""


@dataclass
class Model:
    """All runtimes on one model."""

    name: str
    clip: tuple[int, ...]
    gflops: float
    peak_gflops_per_second: float
    runtimes: list[Figures] = field(default_factory=list)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        # What an earlier run left would make the first start look quick.
        if not options.keep_cache:
            os.environ["VIDCORE_CACHE"] = folder
        models = []
        for name in options.names:
            model = compare(name, options)
            models.append(model)
            if not options.json:
                print(table(model), flush=True)
    if options.json:
        json.dump([asdict(model) for model in models], sys.stdout, indent=2)
        print()


def compare(name: str, options: argparse.Namespace) -> Model:
    """Measure one model."""
    torch.manual_seed(0)
    extractor = create(name)
    _spread_statistics(extractor)
    frames, size = _shape(extractor, options)
    window = plan_windows(frames, extractor.clip)[0]
    clip = extractor.preprocess(window.take(fake_video((options.batch, frames, 3, *size))))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        extractor(clip)
    gflops = counter.get_total_flops() / 1e9
    model = Model(name, tuple(clip.shape), gflops, gemm_peak() / 1e9)
    runs: dict[str, Callable[[], object]] = {EAGER: lambda: _eager(extractor, clip)}
    figures = {EAGER: Figures(EAGER)}
    for runtime in options.runtimes:
        figures[runtime] = Figures(runtime)
        try:
            accelerated = _start(extractor, runtime, figures[runtime], frames, size, options.batch)
        except RuntimeEngineError as exc:
            figures[runtime].reason = str(exc)
            continue
        runs[runtime] = lambda accelerated=accelerated: accelerated(clip)
    seconds = _in_turn(runs, options.runs)
    for runtime, own in seconds.items():
        ratios = [eager / ours for eager, ours in zip(seconds[EAGER], own, strict=True)]
        found = figures[runtime]
        found.seconds, found.ratio = statistics.median(own), statistics.median(ratios)
        found.lowest, found.highest = min(ratios), max(ratios)
        found.peak_share = gflops / found.seconds / model.peak_gflops_per_second
    model.runtimes = list(figures.values())
    return model


def gemm_peak() -> float:
    """FLOP per CPU second of float32 matrix products: the best of three sizes and of two libraries in five runs each.

    The libraries are PyTorch's BLAS and oneDNN, which is the faster one on some processors; convolutions use it.
    """
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (2048, 2048, 2048), (1568, 768, 3072)):
        left, right = torch.randn(rows, inner), torch.randn(columns, inner)
        products: list[Callable[[], object]] = [lambda left=left, right=right: left @ right.T]
        if torch.backends.mkldnn.is_available():
            pair = left.to_mkldnn(), right.to_mkldnn()
            products.append(lambda pair=pair: F.linear(*pair))
        for product in products:
            times = [measure(product).cpu_seconds for _ in range(6)][1:]
            best = max(best, 2.0 * rows * inner * columns / min(times))
    return best


def table(model: Model) -> str:
    """The figures as lines of text."""
    lines = [
        f"{model.name}  clip {'x'.join(map(str, model.clip))}  {model.gflops:.1f} GFLOP  "
        f"GEMM peak {model.peak_gflops_per_second:.0f} GFLOP/s"
    ]
    for found in model.runtimes:
        if found.reason:
            lines.append(f"  {found.runtime:<14} {found.reason}")
            continue
        line = (
            f"  {found.runtime:<14} {found.seconds * 1e3:9.1f} ms  x{found.ratio:5.2f} "
            f"({found.lowest:.2f} to {found.highest:.2f})  {found.peak_share:4.0%} of peak"
        )
        if found.difference is not None:
            line += (
                f"  error {found.difference:.1e}  start {found.first_start_seconds:6.1f} s,"
                f" again {found.second_start_seconds:4.1f} s  {found.chosen}"
            )
        lines.append(line)
    return "\n".join(lines)


def _start(
    extractor: Extractor, runtime: Any, figures: Figures, frames: int, size: tuple[int, int], batch: int
) -> Accelerated:
    def start() -> Accelerated:
        return accelerate(extractor, runtime, frames=frames, size=size, batch=batch)

    figures.first_start_seconds = measure(start).cpu_seconds
    before = time.process_time()
    accelerated = start()
    figures.second_start_seconds = time.process_time() - before
    figures.difference, figures.chosen = accelerated.report.difference, accelerated.report.runtime
    return accelerated


def _in_turn(runs: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(-1, turns):
        # Another one begins each time.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            cost = measure(runs[name]).cpu_seconds
            if turn >= 0:
                seconds[name].append(cost)
    return seconds


def _eager(extractor: Extractor, clip: Any) -> object:
    with torch.inference_mode():
        return extractor(clip)


def _shape(extractor: Extractor, options: argparse.Namespace) -> tuple[int, tuple[int, int]]:
    clip = extractor.clip
    frames = clip.frames or min(max(options.frames, clip.min_frames), clip.max_frames)
    return frames, clip.size or (options.size, options.size)


def _spread_statistics(extractor: Extractor) -> None:
    """Running statistics as training leaves them: with fresh ones, folding would change next to nothing."""
    for module in extractor.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="extractors, with .tag for published weights")
    parser.add_argument("--runtimes", nargs="+", default=["compiled", "openvino", "auto"])
    parser.add_argument("--runs", type=int, default=7, help="turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=16, help="for extractors of any length")
    parser.add_argument("--size", type=int, default=224, help="for extractors of any size")
    parser.add_argument("--keep-cache", action="store_true", help="use and fill vidcore's own cache")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
