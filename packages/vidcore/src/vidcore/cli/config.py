"""``vidcore config``: every field of the run configuration."""

from __future__ import annotations

import click

from vidcore.cli._table import echo_table


@click.command()
@click.argument("pattern", required=False)
@click.option("--markdown", is_flag=True, help="As the page docs/configuration.md.")
def config(pattern: str | None, markdown: bool) -> None:
    """List the fields of a run with type, default and meaning; with PATTERN those whose key contains it.

    Every field can be given to train, compare and tune as KEY=VALUE, or in a YAML file with --config.
    """
    from vidcore.config.fields import field_rows

    rows = [row for row in field_rows() if pattern is None or pattern in row.key]
    if not rows:
        raise click.UsageError(f"no key contains {pattern!r}; all of them: vidcore config")
    if markdown:
        click.echo(_page([(row.key, row.type, row.default, row.about) for row in rows]), nl=False)
        return
    echo_table(["key", "type", "default", "meaning"], [[row.key, row.type, row.default, row.about] for row in rows])


def _page(rows: list[tuple[str, str, str, str]]) -> str:
    lines = [
        "# Configuration",
        "",
        "Every field of a run. Give it as `KEY=VALUE` to `vidcore train`, `compare` and `tune`, or in a YAML file with",
        "`--config`. This page is made by `vidcore config --markdown`.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, kind, default, about in rows:
        shown = f"`{default}`" if default else ""
        # A bar ends a cell.
        cells = [cell.replace("|", "\\|") for cell in (f"`{key}`", kind, shown, about)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
