"""``vidcore extract``: features of many videos into a store, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcore.cli._data import layout_option
from vidcore.cli._names import ComponentName
from vidcore.cli._weights import named_with_weights, random_option, weights_option

if TYPE_CHECKING:
    from vidcore.config import RunConfig
    from vidcore.extract import ExtractReport
    from vidcore.extract.cluster import ClusterReport
    from vidcore.extractors import Extractor

FAILED_ROWS = 3
"""Exit code where everything went well but some rows have no features."""
_LISTED = 10


class _Shard(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        index, slash, count = str(value).partition("/")
        if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
            self.fail(f"{value!r} is not a shard; shards count from 0: 0/4, 1/4, 2/4, 3/4", param, ctx)
        return int(index), int(count)


@click.command()
@click.option("--extractor", "extractors", multiple=True, type=ComponentName("extractor"), metavar="NAME",
              help="family/variant[.weights or =FILE]; any number.")  # fmt: skip
@weights_option
@random_option
@click.option("--data", "source", metavar="PATH|NAME", help="A folder of videos, a CSV/JSONL manifest, a data set.")
@layout_option
@click.option("--out", type=click.Path(path_type=Path), help="The store.  [default: the one training uses]")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Extractors and data of a run's config.yaml.")
@click.option("--frames", type=click.IntRange(1), help="Frames a clip.  [default: the most an extractor eats, or 16]")
@click.option("--sampling", type=click.Choice(["uniform", "dense", "strided"]), help="[default: uniform]")
@click.option("--stride", type=click.IntRange(1), help="Frames between two frames of a clip; --sampling strided.")
@click.option("--size", type=click.IntRange(16), help="Side in pixels for extractors that take any size.")
@click.option("--keep", type=click.Choice(["map", "sequence", "pooled"]), default="map", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--runtime", type=click.Choice(["auto", "eager", "compiled", "openvino"]), default="eager",
              show_default=True, help="What runs the extractors.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), help="Clips a batch.  [default: found]")
@click.option("--workers", type=click.IntRange(1), help="Decoding processes.  [default: one per core]")
@click.option("--decoder", type=click.Choice(["cpu", "nvdec"]), default="cpu", show_default=True,
              help="nvdec: the GPU's own, for what it decodes to the same pixels.")  # fmt: skip
@click.option("--shard", type=_Shard(), help="Only rows i, i+n, i+2n, ...: for schedulers.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--devices", default="1", show_default=True, metavar="N|auto",
              help="Processes here, a GPU each, that share the work; auto: one per GPU.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(1), default=60.0, show_default=True, help="Seconds without a sign.")
@click.option("--failures", type=click.Path(path_type=Path), help="List of failed rows.  [default: STORE/failures.csv]")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="ray: actors on a cluster; see docs/scale.md.")  # fmt: skip
@click.option("--ray-workers", type=click.IntRange(1), default=2, show_default=True, help="Actors; --engine ray.")
@click.option("--ray-address", help="A running cluster.  [default: one is started on this machine]")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
def extract(
    extractors: tuple[str, ...],
    source: str | None,
    out: Path | None,
    file: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Run extractors over videos and keep the features in a store.

    Each video is decoded once for all extractors. Run it again, after a kill too, and only what is missing is done;
    start it several times, on one machine or many that share the disk, and they share the work. Options of
    extractors: extractors.0.options.size=224

    The exit code is 3 where some videos could not be used; they are listed in failures.csv.
    """
    weights, random = options.pop("weights"), options.pop("random_weights")
    if extractors or weights:
        extractors, overrides = named_with_weights(extractors, overrides, weights)
    config = _config(extractors, source, file, overrides, options)
    if not random:
        from vidcore.catalog import installed
        from vidcore.config.early import refuse_random

        refuse_random(config.extractors, installed(), frozen=True)
    path = _store_path(out)
    listed = options.pop("failures") or path / "failures.csv"
    cluster = {name: options.pop(name) for name in ("engine", "ray_workers", "ray_address")}
    devices = options.pop("devices")
    divided = [
        name for name, on in (("--shard", options["shard"]), ("--engine ray", cluster["engine"] == "ray")) if on
    ] + ["--devices"] * (devices != "1")
    if len(divided) > 1:
        raise click.UsageError(f"{' and '.join(divided)} all divide the rows; give one of them")
    report: ExtractReport | ClusterReport | None
    if cluster["engine"] == "ray":
        report = _run_on_cluster(config, path, listed, options, cluster, show=not as_json)
    else:
        report = _run_in_processes(config, path, listed, options, devices, show=not as_json)
    if report is None:
        return
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        _print(report, listed)
    if not report.ok:
        raise click.exceptions.Exit(FAILED_ROWS)


def _config(
    extractors: tuple[str, ...],
    source: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
    options: dict[str, Any],
) -> RunConfig:
    if not extractors and file is None:
        raise click.UsageError("name what to extract: --extractor NAME (vidcore list-models shows what there is)")
    if source is None and file is None:
        raise click.UsageError("say what to extract from: --data FOLDER, a manifest, or a data set's name")
    for override in overrides:
        if not override.startswith(("extractors.", "data.", "weights=")):
            raise click.UsageError(f"{override!r} means nothing here; only extractors.* and data.* do")
    from vidcore.config import build_run_config

    layout = options.pop("layout")
    named = {
        "source": source,
        "layout": layout,
        **{key: options[key] for key in ("frames", "sampling", "stride", "size")},
    }
    choices: dict[str, Any] = {"data": {key: value for key, value in named.items() if value is not None}}
    if extractors:
        choices["extractors"] = [{"name": name} for name in extractors]
    return build_run_config(file, choices, overrides)


def _store_path(out: Path | None) -> Path:
    from vidcore.cache import cache_dir

    return out if out is not None else cache_dir("features")


def _run_in_processes(
    config: RunConfig, path: Path, listed: Path, options: dict[str, Any], devices: str, *, show: bool
) -> ExtractReport | None:
    """The report of one process, or of several together; ``None`` in those that another one speaks for."""
    from vidcore.extract.failures import FailureFile
    from vidcore.extract.processes import team

    with team(devices, options["device"]) as here:
        if here.count == 1:
            return _run(config, path, listed, options, show=show)
        shared = {**options, "workers": options["workers"] or here.workers}
        if shared["device"] == "cuda":
            # The GPU of this process's number.
            shared["device"] = "auto"
        report = _run(config, path, listed, shared, show=show and here.number == 0)
        here.wait()
        if here.number:
            return None
        # What the others could not use is in the list that all write.
        failures = tuple(FailureFile(listed).read())
        others = len(failures) - len(report.failures)
        return replace(report, failures=failures, elsewhere=max(report.elsewhere - others, 0))


def _run(config: RunConfig, path: Path, listed: Path, options: dict[str, Any], *, show: bool) -> ExtractReport:
    from vidcore.cli._extract_progress import shown
    from vidcore.data.sampling import Sampling
    from vidcore.extract.api import extract as start
    from vidcore.extract.interruption import interrupted_by_signals
    from vidcore.extract.memory import keep_freed_memory
    from vidcore.extract.rows import open_rows
    from vidcore.extract.worker import build_extractors, frames_for
    from vidcore.store import FeatureStore

    store = FeatureStore.open(path, write=None)
    data = config.data
    found = open_rows(data.source, data.options, workers=options["workers"] or 1, layout=data.layout)
    if show:
        for note in found.notes:
            click.echo(note, err=True)
    keep_freed_memory()
    live = build_extractors([(choice.name, choice.options) for choice in config.extractors], options["device"])
    if show:
        _print_weights(live)
    sampling = Sampling(data.sampling, data.frames or frames_for(live), data.stride)
    with shown(f"{', '.join(live)} -> {path}", show=show) as told, interrupted_by_signals(path):
        return start(
            found.rows,
            live,
            store,
            sampling,
            keep=options["keep"],
            dtype=options["dtype"],
            precision=options["precision"],
            runtime=options["runtime"],
            size=data.size,
            batch_size=options["batch_size"],
            workers=options["workers"],
            decoder=options["decoder"],
            shard=options["shard"],
            total=found.total,
            on_progress=told,
            failures=listed,
            timeout_seconds=options["timeout"],
        )


def _run_on_cluster(
    config: RunConfig, path: Path, listed: Path, options: dict[str, Any], cluster: dict[str, Any], *, show: bool
) -> ClusterReport:
    from vidcore.data.manifest import SUFFIXES
    from vidcore.data.sampling import Sampling
    from vidcore.extract.cluster import extract_on_cluster
    from vidcore.extract.rows import open_rows
    from vidcore.extract.worker import ExtractionJob, build_extractors, frames_for

    data = config.data
    extractors = tuple((choice.name, choice.options) for choice in config.extractors)
    # Wrong names, options and weights are refused here, before any machine is asked.
    live = build_extractors(extractors, "cpu")
    if show:
        _print_weights(live)
    frames = data.frames or frames_for(live)
    same = ("keep", "dtype", "precision", "runtime", "batch_size", "workers", "decoder", "device")
    job = ExtractionJob(
        extractors,
        path.absolute(),
        Sampling(data.sampling, frames, data.stride),
        size=data.size,
        timeout_seconds=options["timeout"],
        **{name: options[name] for name in same},
    )
    manifest = Path(data.source)
    published = data.layout is not None or data.options or manifest.suffix.lower() not in SUFFIXES
    rows = open_rows(data.source, data.options, layout=data.layout) if published else manifest
    seen = 0

    def told(process: int, count: int) -> None:
        nonlocal seen
        seen += count
        if show:
            click.echo(f"{seen} clips, the last {count} by process {process}", err=True)

    return extract_on_cluster(
        rows, job, workers=cluster["ray_workers"], address=cluster["ray_address"], on_task=told, failures=listed
    )


def _print_weights(live: Mapping[str, Extractor]) -> None:
    for extractor in live.values():
        click.echo(extractor.weights_line, err=True)


def _print(report: ExtractReport | ClusterReport, listed: Path) -> None:
    counts = [f"{report.done} clips done", f"{report.present} were there"]
    if elsewhere := getattr(report, "elsewhere", 0):
        counts.append(f"{elsewhere} done by other processes")
    counts.append(click.style(f"{len(report.failures)} failed", fg="red" if report.failures else None))
    click.echo(f"{', '.join(counts)}, in {report.seconds:.1f} s")
    _print_rates(report)
    from vidcore.extract.hashing import readable

    for failure in report.failures[:_LISTED]:
        click.echo(f"failed: row {failure.row}: {readable(failure.path)}: {failure.stage}: {failure.reason}", err=True)
    if len(report.failures) > _LISTED:
        click.echo(f"and {len(report.failures) - _LISTED} more", err=True)
    if report.failures:
        click.echo(
            f"{len(report.failures)} of {report.rows} rows have no features: see {listed}\n"
            "run the same command again after mending them: only what is missing is done",
            err=True,
        )


def _print_rates(report: ExtractReport | ClusterReport) -> None:
    from vidcore.extract import ExtractReport as Local

    if not isinstance(report, Local):
        click.echo(f"{report.processes} processes of the cluster answered")
        return
    if report.done:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in report.shares().items())
        sizes = ", ".join(f"{name} {size}" for name, size in report.batch_sizes.items())
        click.echo(
            f"{report.clips_per_second:.2f} clips/s; time: {shares}; the model was busy {report.model_busy:.0%} of it; "
            f"clips a batch: {sizes}"
        )
    if report.on_gpu:
        click.echo(f"{report.on_gpu} clips were decoded by the GPU")
    for note in report.notes:
        click.echo(f"note: {note}")
