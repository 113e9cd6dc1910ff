"""``vidcore weights``: what is published, what is here, and whether it fits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vidcore.catalog import ExtractorSpec, WeightsInfo, installed
from vidcore.cli._table import echo_table
from vidcore.errors import WeightsError

if TYPE_CHECKING:
    from vidcore.extractors import Extractor
    from vidcore.weights import FoundFile

# A family with more weights than this is one line, unless it is asked for.
_LONG_FAMILY = 40


@click.group()
def weights() -> None:
    """List, fetch, convert and verify published weights."""


@weights.command("list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with paths and hashes.")
def list_weights(name: str | None, as_json: bool) -> None:
    """List published weights, of every extractor or of NAME (a variant, a family, or a part of a name)."""
    rows = [(spec, info) for spec in _specs(name) for info in spec.weights]
    if as_json:
        click.echo(json.dumps([_as_dict(spec, info) for spec, info in rows], indent=2))
        return
    families = Counter(spec.family for spec, _ in rows)
    long = set() if name else {family for family, size in families.items() if size > _LONG_FAMILY}
    table = [
        [
            f"{spec.name}.{info.tag}",
            "yes" if _cached(info) else "no",
            info.trained_on or "-",
            info.score or "-",
            info.licence,
            info.source,
        ]
        for spec, info in rows
        if spec.family not in long
    ]
    if table:
        echo_table(["weights", "here", "trained on", "score", "licence", "source"], table, drop=(5,))
    for family in sorted(long):
        click.echo(f"{family}/*  {families[family]} weights; see them with: vidcore weights list {family}")
    if not rows:
        click.echo(f"no published weights{f' of {name}' if name else ''}: trained from scratch")


@weights.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download the weights NAME.TAG into this machine's cache and check their hash."""
    from vidcore.weights import check_digest, find_weights

    spec, tag = _published(name)
    found = find_weights(spec, tag)
    sha256, verified = check_digest(spec, found)
    click.echo(f"{found.name}  {found.path}")
    click.echo(f"  sha256 {sha256} ({'as published' if verified else 'none is published to compare with'})")


@weights.command()
@click.argument("source")
@click.option("--extractor", metavar="NAME", help="Whose weights a file is to hold.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: every name, also where the file does not fit.")
@click.pass_context
def verify(context: click.Context, source: str, extractor: str | None, as_json: bool) -> None:
    """Check the hash of NAME.TAG or of a file, and whether it fits its extractor.

    Nothing is downloaded; the extractor is built without memory for its parameters.
    """
    from vidcore.weights import fit_weights

    spec, found = _found(source, extractor)
    if spec is None:
        if as_json:
            raise WeightsError(f"{found.path} is no published file; say whose it is to be: --extractor NAME")
        _describe(found)
        return
    fitting = fit_weights(_on_meta(spec), found)
    if as_json:
        fits = fitting.report.fits
        click.echo(json.dumps({"fits": fits, **fitting.report.as_dict()}, indent=2))
        context.exit(0 if fits else 1)
    try:
        report = fitting.checked().report
    except WeightsError as exc:
        # Hundreds of names say no more than the first ones.
        raise WeightsError(f"{exc}\n  every name: --json") from exc
    click.echo(str(report))
    click.echo("fits")


@weights.command()
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--extractor", required=True, metavar="NAME", help="Whose weights the file holds.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def convert(source: str, out: Path, extractor: str, force: bool) -> None:
    """Rewrite a published file as safetensors under the extractor's own names.

    SOURCE is a file, a published tag, hf:owner/repo/file or an https address.
    """
    from vidcore.weights import find_weights, fit_weights, save_converted

    if out.suffix != ".safetensors":
        raise WeightsError(f"{out}: converted weights are safetensors; name it {out.with_suffix('.safetensors')}")
    if out.exists() and not force:
        raise WeightsError(f"{out} exists; replace it with --force")
    spec = _spec(extractor)[0]
    fitting = fit_weights(_on_meta(spec), find_weights(spec, source)).checked()
    save_converted(out, fitting.report, fitting.state)
    click.echo(fitting.report.summary())
    usage = f"vidcore.create({spec.name!r}, weights={str(out)!r})"
    click.echo(f"{out}  {len(fitting.state)} tensors; load it with: {usage}")


def _specs(name: str | None) -> list[ExtractorSpec]:
    specs = [e.spec for e in installed().entries("extractor") if isinstance(e.spec, ExtractorSpec)]
    if name is None:
        return specs
    for chosen in (
        [spec for spec in specs if spec.name == name],
        [spec for spec in specs if spec.family == name],
        [spec for spec in specs if name in spec.name],
    ):
        if chosen:
            return chosen
    return [_spec(name)[0]]


def _spec(name: str) -> tuple[ExtractorSpec, str | None]:
    entry, tag = installed().find("extractor", name)
    if not isinstance(entry.spec, ExtractorSpec):
        raise WeightsError(f"{name!r} is declared as {type(entry.spec).__name__}, not as an extractor")
    return entry.spec, tag


def _published(name: str) -> tuple[ExtractorSpec, str]:
    """The extractor and the tag that NAME.TAG means; the tag may be left out where there is one."""
    spec, tag = _spec(name)
    tags = [info.tag for info in spec.weights]
    if tag in tags or (tag is None and len(tags) == 1):
        return spec, tag or tags[0]
    if not tags:
        raise WeightsError(f"{spec.name} has no published weights: it is trained from scratch")
    asked = f"no weights {tag!r}" if tag else f"{len(tags)} sets of weights"
    choices = ", ".join(f"{spec.name}.{t}" for t in tags)
    raise WeightsError(f"{spec.name} has {asked}; name one of: {choices}")


def _found(source: str, extractor: str | None) -> tuple[ExtractorSpec | None, FoundFile]:
    from vidcore.weights import FoundFile, digest, find_weights, weights_file

    path = Path(source).expanduser()
    if extractor:
        spec = _spec(extractor)[0]
        return spec, find_weights(spec, source, download=False)
    if not path.exists():
        spec, tag = _published(source)
        return spec, find_weights(spec, tag, download=False)
    path = weights_file(path)
    sha256 = digest(path)
    for spec in _specs(None):
        for info in spec.weights:
            if info.sha256 and sha256.startswith(info.sha256.lower()):
                return spec, FoundFile(path, source, f"{spec.name}.{info.tag}", info.sha256)
    return None, FoundFile(path, source, source)


def _describe(found: FoundFile) -> None:
    from vidcore.weights import digest, read_published

    tensors = read_published(found.path).tensors
    numbers = sum(tensor.numel() for tensor in tensors.values())
    click.echo(f"{found.path}\n  sha256 {digest(found.path)}\n  {len(tensors)} tensors, {numbers:,} numbers")
    click.echo("  no installed extractor publishes this hash; whether it fits one: --extractor NAME")


def _on_meta(spec: ExtractorSpec) -> Extractor:
    import torch

    from vidcore.assemble import create

    with torch.device("meta"):
        return create(spec.name, registry=installed())


def _cached(info: WeightsInfo) -> Path | None:
    from vidcore.weights import place_of

    place = place_of(info.source)
    return place.cached() if place else None


def _as_dict(spec: ExtractorSpec, info: WeightsInfo) -> dict[str, Any]:
    path = _cached(info)
    return {
        "extractor": spec.name,
        "tag": info.tag,
        "source": info.source,
        "sha256": info.sha256,
        "licence": info.licence,
        "trained_on": info.trained_on,
        "score": info.score,
        "file": str(path) if path else None,
    }
