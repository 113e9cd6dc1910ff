"""What commands that take data have in common."""

from __future__ import annotations

import click

layout_option = click.option(
    "--layout", metavar="NAME", help="Published layout of the data: vidcore data layouts.  [default: recognised]"
)
