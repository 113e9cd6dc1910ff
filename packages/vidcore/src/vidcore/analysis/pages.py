"""Self-contained HTML pages: one way to make them all."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def pages() -> Environment:
    """Templates of this package; ``page.html.j2`` is what all pages share. Everything is escaped."""
    return Environment(
        loader=PackageLoader("vidcore.analysis", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
