"""``vidcore check NAME``: the conformance suite of a component, and its verdict."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from vidcore.catalog import KINDS, ComponentSpec, ExtractorSpec, Kind, installed
from vidcore.cli._names import ComponentName
from vidcore.cli._table import count, echo_table
from vidcore.config.early import require

if TYPE_CHECKING:
    from vidcore.testing.run import Verdict

# A network of this size takes about 2 GB in float32, and the suite builds it some twenty times.
LARGE = 500_000_000


@click.command()
@click.argument("name", type=ComponentName())
@click.option("--kind", type=click.Choice(KINDS), help="Where two kinds share a name.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def check(context: click.Context, name: str, kind: Kind | None, as_json: bool) -> None:
    """Run the conformance suite of the component NAME; exit code 1 where a check fails.

    Weights are not part of it: the component is built with random ones.
    """
    require("pytest", "vidcore check", "testing")
    registry = installed()
    entry = registry.find(kind, name)[0] if kind else registry.find_any(name)
    spec = entry.spec
    _warn(spec, name)
    from vidcore.testing.run import check_component

    verdicts = check_component(spec.kind, spec.name)
    passed = all(verdict.outcome != "failed" for verdict in verdicts)
    if as_json:
        result = {"kind": spec.kind, "name": spec.name, "plugin": entry.plugin.distribution, "passed": passed}
        click.echo(json.dumps({**result, "checks": [asdict(verdict) for verdict in verdicts]}, indent=2))
    else:
        click.echo(f"{click.style(spec.name, bold=True)}  {spec.kind} of {entry.plugin.distribution}\n")
        echo_table(["check", "verdict", "why"], [[v.check, v.outcome, _first_line(v)] for v in verdicts])
        for verdict in verdicts:
            if verdict.outcome == "failed" and "\n" in verdict.message:
                click.echo(f"\n{verdict.check}:\n{verdict.message}")
        click.echo(f"\n{_summary(verdicts)}")
    context.exit(0 if passed else 1)


def _warn(spec: ComponentSpec, name: str) -> None:
    if name not in (spec.name, spec.family):
        click.echo(f"note: checking {spec.name} with random weights", err=True)
    if isinstance(spec, ExtractorSpec) and (spec.parameters or 0) > LARGE:
        smaller = [
            other.spec.name
            for other in installed().entries("extractor")
            if other.spec.family == spec.family and other.spec.name.endswith("_test")
        ]
        hint = f"; the same code in small: vidcore check {smaller[0]}" if smaller else ""
        click.echo(
            f"note: {spec.name} has {count(spec.parameters)} parameters and is built many times; "
            f"this takes minutes and twice its memory{hint}",
            err=True,
        )


def _first_line(verdict: Verdict) -> str:
    return verdict.message.splitlines()[0] if verdict.message else ""


def _summary(verdicts: list[Verdict]) -> str:
    counts = {
        outcome: sum(verdict.outcome == outcome for verdict in verdicts)
        for outcome in ("passed", "failed", "exempt", "not applicable")
    }
    text = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number)
    failed = counts["failed"]
    return click.style(("does not conform: " if failed else "conforms: ") + text, fg="red" if failed else "green")
