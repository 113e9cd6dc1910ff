"""Names of components as arguments, completed by the shell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from vidcore.catalog import KINDS, ExtractorSpec, Kind, installed

if TYPE_CHECKING:
    from vidcore.catalog import Registry


class ComponentName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3 only
    """The name of a component of one kind, or of any; what is typed is not changed.

    Args:
        kind: of the component; ``None``: any.
        several: whether ``A+B`` names two.
    """

    name = "name"

    def __init__(self, kind: Kind | None = None, *, several: bool = False) -> None:
        self._kind = kind
        self._several = several

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin with what was typed; behind the dot the tags of published weights."""
        before, plus, typed = incomplete.rpartition("+") if self._several else ("", "", incomplete)
        names = _names(installed(), [self._kind] if self._kind else list(KINDS), with_tags="." in typed)
        return [CompletionItem(f"{before}{plus}{name}") for name in names if name.startswith(typed)]


def _names(registry: Registry, kinds: list[Kind], *, with_tags: bool) -> Iterator[str]:
    for kind in kinds:
        for entry in registry.entries(kind):
            spec = entry.spec
            if spec.name.endswith("_test"):
                continue
            yield spec.name
            if with_tags and isinstance(spec, ExtractorSpec):
                yield from (f"{spec.name}.{weights.tag}" for weights in spec.weights)
