"""``vidcore benchmark NAME...``: what extractors cost on this device."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcore.cli._names import ComponentName
from vidcore.cli._table import echo_table
from vidcore.cli._weights import named_with_weights, weights_option
from vidcore.errors import ConfigError, DataError, VidcoreError

if TYPE_CHECKING:
    from torch import Tensor

    from vidcore.analysis.efficiency import Efficiency, Spread
    from vidcore.analysis.probe import ProbeCost
    from vidcore.data.manifest import Row
    from vidcore.extractors.base import Extractor

_CALIBRATION_VIDEOS = 32
_PROBE_VIDEOS = 100


class _Size(click.ParamType[tuple[int, int]]):
    name = "rows[xcolumns]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        found = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", str(value))
        if not found:
            self.fail(f"{value!r} is not a size; give rows and columns of the video: 224 or 256x340", param, ctx)
        return int(found[1]), int(found[2] or found[1])


@click.command()
@click.argument("names", nargs=-1, required=True, type=ComponentName("extractor"), metavar="NAME...")
@weights_option
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Clips side by side.")
@click.option("--frames", type=click.IntRange(1), help="Frames of a clip.  [default: the extractor's; any: 16]")
@click.option("--size", type=_Size(), help="Of the raw video.  [default: 256x340; extractors that take any size: 224]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--runtime", type=click.Choice(["eager", "compiled", "openvino", "auto"]),
              help="What runs the extractor.  [default: eager; int8: auto]")  # fmt: skip
@click.option("--precision", type=click.Choice(["float32", "bfloat16", "int8"]), default="float32", show_default=True)
@click.option("--calibration", type=click.Path(path_type=Path), metavar="PATH",
              help=f"For int8: a folder or manifest of videos; {_CALIBRATION_VIDEOS} are read.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1), default=20, show_default=True, help="Measurements of each figure.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as JSON.")
@click.pass_context
def benchmark(
    context: click.Context,
    /,
    names: tuple[str, ...],
    weights: str | None,
    device: str,
    calibration: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Measure extractors: parameters, FLOPs, latency, throughput, preprocessing and memory, with their spread.

    A name without weights (`slowfast`) is measured with random ones, which cost the same; one that cannot be measured
    does not stop the others, and makes the exit code 1.
    """
    words = [name for name in names if name.startswith("weights=")]
    names, _ = named_with_weights([name for name in names if name not in words], words, weights)
    if choices["precision"] == "int8" and calibration is None:
        raise ConfigError("--precision int8 needs --calibration PATH: some dozens of videos like those to come")
    choices["runtime"] = choices["runtime"] or ("auto" if choices["precision"] == "int8" else "eager")
    place = _device(device)
    found: list[Efficiency] = []
    errors: dict[str, str] = {}
    for name in names:
        if sys.stderr.isatty():
            click.echo(f"measuring {name}", err=True)
        try:
            found.append(_measure(name, place, calibration, choices))
        # What a network or an engine meets on its way (no memory left, an operator the device lacks) is a RuntimeError.
        except (VidcoreError, RuntimeError, MemoryError) as exc:
            errors[name] = str(exc) if isinstance(exc, VidcoreError) else f"{type(exc).__name__}: {exc}"
    if not as_json:
        _echo(found, errors)
    probes: dict[str, ProbeCost | str] = {}
    if choices["precision"] == "int8" and calibration is not None:
        for one in found:
            probes[one.name] = _probe_cost(one.name, place, calibration, choices)
            if not as_json:
                click.echo(f"{one.name}: {_in_words(probes[one.name])}")
    if as_json:
        measured: list[dict[str, Any]] = [one.as_dict() for one in found]
        for entry in measured:
            cost = probes.get(entry["name"])
            entry["probe"] = None if cost is None or isinstance(cost, str) else asdict(cost)
        failed = [{"name": name, "error": error} for name, error in errors.items()]
        click.echo(json.dumps({"measured": measured, "failed": failed}, indent=2))
    context.exit(1 if errors else 0)


def _measure(name: str, device: str, calibration: Path | None, choices: dict[str, Any]) -> Efficiency:
    from vidcore.analysis.efficiency import measure
    from vidcore.assemble import create

    extractor = create(name).to(device)
    clips = None if calibration is None else _videos(calibration, extractor, choices["frames"], choices["size"])
    return measure(extractor, calibration=clips, **choices)


def _videos(
    source: Path, extractor: Extractor, frames: int | None, size: tuple[int, int] | None, *, calibration: bool = True
) -> list[Tensor]:
    """The calibration videos, spread over ``source``; or others of it, to test with."""
    return [video for _, video in _rows_and_videos(source, extractor, frames, size, calibration=calibration)]


def _rows_and_videos(
    source: Path, extractor: Extractor, frames: int | None, size: tuple[int, int] | None, *, calibration: bool
) -> list[tuple[Row, Tensor]]:
    from vidcore.analysis.efficiency import video_shape
    from vidcore.catalog import ClipFormat
    from vidcore.data.clips import read_clip
    from vidcore.data.manifest import read_source
    from vidcore.data.sampling import Sampling
    from vidcore.preprocess import fit_frames

    frames, size = video_shape(extractor, frames, size)
    rows = list(read_source(source, labels=False))
    taken = _spread_over(rows, _CALIBRATION_VIDEOS)
    if not calibration:
        known = {id(row) for row in taken}
        taken = _spread_over([row for row in rows if id(row) not in known], _PROBE_VIDEOS)
    # What the extractor sees of a clip, one window of it; all of one length.
    own = Sampling("published", windows=1).of(extractor.clip)
    paced = own.kind == "published" and own.frames == frames
    sampling = replace(own, shortest=frames) if paced else Sampling(frames=frames)
    clips = [(row, read_clip(row, sampling).frames) for row in taken]
    return [(row, fit_frames(video, ClipFormat(size=size))) for row, video in clips]


def _spread_over(rows: list[Row], most: int) -> list[Row]:
    """At most so many rows, from the first to the last: those of a folder are sorted by class, and all are wanted."""
    count = min(most, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _probe_cost(name: str, device: str, source: Path, choices: dict[str, Any]) -> ProbeCost | str:
    """What int8 costs a linear probe, on videos of the calibration data that were not used to calibrate; or why not."""
    from vidcore.analysis.probe import probe_cost
    from vidcore.assemble import create
    from vidcore.runtime import accelerate

    plain = create(name).to(device)
    frames, size = choices["frames"], choices["size"]
    tested = _rows_and_videos(source, plain, frames, size, calibration=False)
    labels = [row.label for row, _ in tested]
    if not tested or None in labels:
        return f"{source} has no labelled videos besides"
    calibration = _videos(source, plain, frames, size)
    quantised = accelerate(plain, choices["runtime"], precision="int8", calibration=calibration)
    videos, groups = [video for _, video in tested], [row.group for row, _ in tested]
    try:
        return probe_cost(plain, quantised, videos, [str(label) for label in labels], groups)
    except DataError as exc:
        return str(exc)


def _in_words(cost: ProbeCost | str) -> str:
    if isinstance(cost, str):
        return f"what int8 costs a probe is not measured: {cost}"
    return (
        f"a linear probe answers {cost.other:.1%} right from int8 features, {cost.reference:.1%} from float32; "
        f"{cost.changed} of {cost.clips} answers differ ({cost.folds}-fold cross-validation)"
    )


def _device(asked: str) -> str:
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", asked)
    if not found:
        raise ConfigError(f"--device is {asked!r}; use auto, cpu, cuda or cuda:1")
    if asked != "cpu" and int(found[1] or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device is {asked}, and torch sees {torch.cuda.device_count()} GPUs here; use --device cpu"
        )
    return asked


def _echo(found: list[Efficiency], errors: dict[str, str]) -> None:
    from vidcore.analysis.comparison import units

    def spread(values: Spread, words: Any) -> str:
        return f"{words(values.median)} ({words(values.p5)} to {words(values.p95)})"

    rows = [
        [
            one.name,
            f"{one.frames} x {one.size[0]}x{one.size[1]}",
            units.count(one.parameters),
            units.count(one.flops) or "-",
            spread(one.latency, units.seconds),
            spread(one.throughput, lambda clips: f"{clips:.3g}"),
            units.seconds(one.preprocess.median),
            units.size(one.peak_memory) or "-",
            "" if one.difference is None else f"{one.difference:.1e}",
            one.runtime if one.precision == "float32" else f"{one.runtime}, {one.precision}",
        ]
        for one in found
    ]
    rows += [[name, *[""] * 8, "FAILED, see below"] for name in errors]
    headers = [
        "name", "video", "parameters", "FLOPs", "latency", "clips/s", "preprocess", "memory", "error", "runtime"
    ]  # fmt: skip
    if all(one.difference is None for one in found):
        headers, *rows = [[*row[:8], *row[9:]] for row in (headers, *rows)]
    echo_table(headers, rows, right=range(2, len(headers) - 1))
    if found:
        _explain(found)
    for name, error in errors.items():
        click.echo(f"{click.style('error:', fg='red', bold=True)} {name}: {error}", err=True)


def _explain(found: list[Efficiency]) -> None:
    """What the figures are; a number without its definition compares with nothing."""
    one = found[0]
    taken = sorted({spread.count for each in found for spread in (each.latency, each.throughput, each.preprocess)})
    counts = f"{taken[0]} to {taken[-1]}" if len(taken) > 1 else str(taken[0])
    click.echo(
        f"\non {one.device}; median (5th to 95th percentile) of {counts} measurements\n"
        "FLOPs       of one clip, counted as it ran: a multiplication and an addition are two, half of it are MACs\n"
        "latency     one clip alone, preprocessed already; preprocess: from the raw video to that clip\n"
        f"clips/s     in batches of {one.batch}\n"
        f"memory      parameters and buffers, and how far {one.memory} grew while a batch ran"
        + (" and its engine was loaded" if one.runtime != "eager" else "")
    )
    if any(other.difference is not None for other in found):
        click.echo("error       of the features, relative to eager float32: ||a - b|| / ||b||")
    for other in found:
        if other.forwards > 1:
            click.echo(f"{other.name}: {other.forwards} forwards a clip")
        if other.cosine is not None:
            click.echo(
                f"{other.name}: int8 features differ from float32 by {other.difference:.2%}, mean cosine "
                f"{other.cosine:.4f}, on calibration videos held out"
            )
