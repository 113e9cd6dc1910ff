"""``vidcore plugins``: distributions, versions, load times and errors."""

from __future__ import annotations

import json
from collections import Counter

import click

from vidcore.catalog import Plugin, installed
from vidcore.cli._table import echo_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def plugins(as_json: bool) -> None:
    """Show installed plugins: version, load time, what each offers, and why one failed."""
    registry = installed()
    collisions = registry.collisions()
    if as_json:
        data = {
            "plugins": [_as_dict(plugin) for plugin in registry.plugins],
            "collisions": [{"kind": k, "name": n, "distributions": d} for (k, n), d in collisions.items()],
        }
        click.echo(json.dumps(data, indent=2))
        return
    rows = [
        [plugin.distribution, plugin.version, f"{plugin.load_seconds * 1000:.1f} ms", _offer(plugin)]
        for plugin in registry.plugins
    ]
    echo_table(["distribution", "version", "load", "offers"], rows, right=(2,))
    for plugin in registry.plugins:
        if plugin.error:
            click.echo(f"\n{plugin.distribution} ({plugin.module}) did not load:\n  {plugin.error}", err=True)
    for (kind, name), distributions in collisions.items():
        click.echo(
            f"\nwarning: {kind} {name!r} is declared by {' and '.join(distributions)}; using it is an error "
            "until one of them is uninstalled",
            err=True,
        )


def _offer(plugin: Plugin) -> str:
    if plugin.error:
        return "FAILED, see below"
    counts = Counter(spec.kind for spec in plugin.specs)
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()) or "nothing"


def _as_dict(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "load_seconds": plugin.load_seconds,
        "error": plugin.error,
        "components": [{"kind": spec.kind, "name": spec.name} for spec in plugin.specs],
    }
