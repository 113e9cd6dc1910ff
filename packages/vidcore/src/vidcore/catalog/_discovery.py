"""Finding plugins: one ``try`` per plugin, so that a broken one is reported and the others live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType

import pluggy

from vidcore.catalog._hooks import GROUP, HOOKS, Hooks
from vidcore.catalog._points import Point, installed_points
from vidcore.catalog._specs import ComponentSpec
from vidcore.errors import PluginError


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of the group ``vidcore``, loaded or not."""

    name: str
    distribution: str
    version: str
    module: str
    load_seconds: float = 0.0
    error: str | None = None
    specs: tuple[ComponentSpec, ...] = field(default=(), repr=False)


def discover() -> list[Plugin]:
    """Every installed plugin, in the order of distribution and entry point names."""
    return [load_entry_point(point) for point in installed_points(GROUP)]


def load_entry_point(point: Point) -> Plugin:
    """Load one plugin; whatever goes wrong in it is kept as its ``error``."""
    started = time.perf_counter()
    specs: tuple[ComponentSpec, ...] = ()
    error = None
    try:
        specs = read_declarations(point.load(), point.name)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001  a stranger's module may raise anything, SystemExit included
        error = _describe(exc)
    return Plugin(
        name=point.name,
        distribution=point.distribution,
        version=point.version,
        module=point.value,
        load_seconds=time.perf_counter() - started,
        error=error,
        specs=specs,
    )


def read_declarations(module: ModuleType, name: str) -> tuple[ComponentSpec, ...]:
    """Call the hooks a module answers and check what they return.

    Raises:
        PluginError: a hook is misspelt, takes arguments it should not, or returns no spec of its kind.
    """
    # A manager of its own for each plugin: pluggy's check_pending otherwise blames one for another.
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    try:
        manager.register(module, name)
        manager.check_pending()
    except pluggy.PluginValidationError as exc:
        raise PluginError(f"{exc}; the hooks are {', '.join(HOOKS)}") from exc
    if not manager.get_hookcallers(module):
        raise PluginError(
            f"module {getattr(module, '__name__', module)!r} answers no hook; mark a function named one of "
            f"{', '.join(HOOKS)} with vidcore.plugin.hookimpl"
        )
    specs: list[ComponentSpec] = []
    for hook, kind in HOOKS.items():
        for answer in getattr(manager.hook, hook)():
            specs.extend(_checked(answer, hook, kind))
    counts = Counter((spec.kind, spec.name) for spec in specs)
    for (kind, spec_name), count in counts.items():
        if count > 1:
            raise PluginError(f"{kind} {spec_name!r} is declared {count} times by this plugin")
    return tuple(specs)


def _checked(answer: object, hook: str, kind: str) -> Iterable[ComponentSpec]:
    if not isinstance(answer, (list, tuple)):
        raise PluginError(f"{hook} returned {type(answer).__name__}; expected a list of specs")
    for spec in answer:
        if not isinstance(spec, ComponentSpec) or spec.kind != kind:
            raise PluginError(f"{hook} returned {spec!r}; expected {kind} specs only")
    return answer


def _describe(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if not isinstance(exc, PluginError) else str(exc)
