"""``vidcore info NAME``: everything a spec says, and its options."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

import click

from vidcore.catalog import KINDS, ComponentSpec, ExtractorSpec, Kind, installed, spec_as_dict
from vidcore.cli._describe import clip_in_words, output_in_words, pace_of, resize_in_words
from vidcore.cli._names import ComponentName
from vidcore.cli._table import count


@click.command()
@click.argument("name", type=ComponentName())
@click.option("--kind", type=click.Choice(KINDS), help="Where two kinds share a name.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, options as JSON Schema.")
def info(name: str, kind: Kind | None, as_json: bool) -> None:
    """Show what NAME is, the clip it takes, its outputs, options, paper and weights."""
    from vidcore.catalog import load_config

    entry = installed().find(kind, name)[0] if kind else installed().find_any(name)
    spec = entry.spec
    config = load_config(spec)
    if as_json:
        plugin = {"plugin": entry.plugin.distribution, "version": entry.plugin.version}
        click.echo(json.dumps({**plugin, **spec_as_dict(spec), "options": config.model_json_schema()}, indent=2))
        return
    click.echo(
        f"{click.style(spec.name, bold=True)}  {spec.kind} of {entry.plugin.distribution} {entry.plugin.version}"
    )
    click.echo(f"  {spec.summary}")
    _facts(spec)
    _options(config)
    if isinstance(spec, ExtractorSpec):
        _weights(spec)
    if spec.exempt:
        click.echo("\nexempt from conformance checks")
        for check, reason in spec.exempt.items():
            click.echo(f"  {check}: {reason}")


def _facts(spec: ComponentSpec) -> None:
    facts: list[tuple[str, str]] = [("paper", spec.reference), ("licence", spec.licence)]
    if isinstance(spec, ExtractorSpec):
        clip = spec.clip
        facts += [
            ("parameters", f"{spec.parameters:,}  ({count(spec.parameters)})" if spec.parameters else ""),
            ("clip", clip_in_words(clip)),
            ("pace", pace_of(clip)),
            ("resize", resize_in_words(clip)),
            ("pixels", f"{clip.channels} in [{clip.value_range[0]:g}, {clip.value_range[1]:g}]"),
            ("mean, std", f"{_numbers(clip.mean)}; {_numbers(clip.std)}"),
            ("causal", "yes" if spec.causal else ""),
        ]
    for label, value in facts:
        if value:
            click.echo(f"  {label:<11}{value}")
    if isinstance(spec, ExtractorSpec):
        click.echo("\noutputs (the first is the default)")
        names = list(spec.outputs)
        shown = names if len(names) <= 8 else [*names[:3], *names[-3:]]
        column = max(map(len, shown)) + 2
        for name in shown:
            click.echo(f"  {name:<{column}}{output_in_words(spec.outputs[name])}")
        if len(names) > 8:
            click.echo(f"  all {len(names)}: {', '.join(names)}")
        if spec.classifier:
            click.echo(
                f"  logits, probabilities: of the published classifier, where it is asked for; a video's answer is the "
                f"mean of its {spec.classifier.averages}"
            )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _options(config: Any) -> None:
    properties = config.model_json_schema().get("properties", {})
    click.echo("\noptions" if properties else "\nno options")
    for name, field in config.model_fields.items():
        default = json.dumps(field.get_default(call_default_factory=True), default=str)
        click.echo(f"  {name}: {_type_name(field.annotation)} = {default}")
        if field.description:
            click.echo(click.style(f"      {' '.join(field.description.split())}", dim=True))


def _type_name(annotation: Any) -> str:
    """A type as one would write it: ``int | tuple[int, int] | None``, without what pydantic hangs on it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " | ".join(_type_name(argument) for argument in arguments)
    if origin is typing.Literal:
        return " | ".join(repr(argument) for argument in arguments)
    if annotation in (None, types.NoneType):
        return "None"
    if annotation is Ellipsis:
        return "..."
    name = str(getattr(origin or annotation, "__name__", annotation))
    return f"{name}[{', '.join(_type_name(argument) for argument in arguments)}]" if arguments else name


def _weights(spec: ExtractorSpec) -> None:
    if not spec.weights:
        click.echo("\nno published weights: trained from scratch")
        return
    click.echo("\npublished weights")
    for weights in spec.weights:
        click.echo(f"  {click.style(spec.name + '.' + weights.tag, bold=True)}")
        for label, value in (
            ("trained on", weights.trained_on),
            ("classes", weights.classes or ("none that are known" if spec.classifier else "")),
            ("score", weights.score),
            ("note", weights.note),
            ("licence", weights.licence),
            ("from", weights.source),
            ("sha256", weights.sha256 or "not published"),
        ):
            if value:
                click.echo(f"      {label:<11}{value}")
    click.echo(f"  get them: vidcore weights fetch {spec.name}.{spec.weights[0].tag}")
    known = next((info.tag for info in spec.weights if info.classes), None)
    if known:
        click.echo(f"  ask their classifier: vidcore predict {spec.name}.{known} VIDEO...")
    click.echo(f"  or name a file: weights=PATH, for example vidcore.create({spec.name!r}, weights='file.safetensors')")
