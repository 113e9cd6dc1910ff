"""``vidcore list-models``: what is installed. Cold from end to end."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Sequence

import click

from vidcore.catalog import KINDS, Entry, ExtractorSpec, installed, spec_as_dict
from vidcore.cli._describe import clip_in_words
from vidcore.cli._table import count, echo_table, echo_text

# A family with more variants than this is one line, unless a filter asks for it.
_LONG_FAMILY = 40


@click.command("list-models")
@click.option("--kind", type=click.Choice(KINDS), default="extractor", show_default=True, help="What to list.")
@click.option("--filter", "pattern", help="Only names that contain this, or match it as a pattern (*, ?).")
@click.option("--json", "as_json", is_flag=True, help="Everything the specs say, as JSON.")
def list_models(kind: str, pattern: str | None, as_json: bool) -> None:
    """List installed extractors, or another kind of component."""
    registry = installed()
    entries = [entry for entry in registry.entries(kind) if _matches(entry.spec.name, pattern)]  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps([_as_dict(entry) for entry in entries], indent=2))
        return
    shown = entries if pattern else [entry for entry in entries if not entry.spec.name.endswith("_test")]
    families = Counter(entry.spec.family for entry in shown)
    long = {family for family, size in families.items() if size > _LONG_FAMILY} if not pattern else set()
    rows = [_row(entry) for entry in shown if entry.spec.family not in long]
    if rows:
        headers = ["name", "plugin", "width", "parameters", "clip", "weights", "summary"]
        if kind == "extractor":
            echo_table(headers, rows, right=(2, 3), drop=(1, 4, 2))
        else:
            echo_table([headers[0], headers[1], headers[-1]], rows, drop=(1,))
    for family in sorted(long):
        echo_text(f"{family}/*  {families[family]} variants; see them with: vidcore list-models --filter {family}/")
    _footer(registry.entries(kind), shown, pattern, kind)  # type: ignore[arg-type]
    for plugin in registry.plugins:
        if plugin.error:
            click.echo(f"warning: plugin {plugin.distribution} did not load: {plugin.error}", err=True)


def _matches(name: str, pattern: str | None) -> bool:
    return pattern is None or pattern in name or fnmatch.fnmatch(name, pattern)


def _as_dict(entry: Entry) -> dict[str, object]:
    return {"plugin": entry.plugin.distribution, "version": entry.plugin.version, **spec_as_dict(entry.spec)}


def _row(entry: Entry) -> list[str]:
    spec = entry.spec
    if not isinstance(spec, ExtractorSpec):
        return [spec.name, entry.plugin.distribution, spec.summary]
    tags = [weights.tag for weights in spec.weights]
    more = f" +{len(tags) - 2}" if len(tags) > 2 else ""
    return [
        spec.name,
        entry.plugin.distribution,
        str(spec.width),
        count(spec.parameters),
        clip_in_words(spec.clip),
        (", ".join(tags[:2]) or "-") + more,
        spec.summary,
    ]


def _footer(all_entries: Sequence[Entry], shown: Sequence[Entry], pattern: str | None, kind: str) -> None:
    if not shown:
        what = f"no {kind} matches {pattern!r}" if pattern else f"no {kind} is installed"
        click.echo(f"{what}; {len(all_entries)} installed in all")
        return
    hidden = sum(entry.spec.name.endswith("_test") for entry in all_entries) if not pattern else 0
    tests = f" and {hidden} tiny test variants (--filter _test)" if hidden else ""
    click.echo("")
    echo_text(f"{len(shown)} {kind}{'s' if len(shown) != 1 else ''}{tests}; more about one: vidcore info NAME")
