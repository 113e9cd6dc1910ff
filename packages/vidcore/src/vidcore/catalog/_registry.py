"""Names to specs, over every installed plugin."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

from vidcore.catalog._discovery import Plugin, discover, read_declarations
from vidcore.catalog._specs import KINDS, ComponentSpec, ExtractorSpec, Kind
from vidcore.errors import NameCollisionError, UnknownNameError

S = TypeVar("S", bound=ComponentSpec)


@dataclass(frozen=True, slots=True)
class Entry:
    """A declared component and the plugin it came from."""

    spec: ComponentSpec
    plugin: Plugin


class Registry:
    """The components of a set of plugins. ``installed()`` gives the one of this environment."""

    def __init__(self, plugins: Iterable[Plugin] = ()) -> None:
        self.plugins: list[Plugin] = []
        self._entries: dict[Kind, dict[str, list[Entry]]] = {kind: {} for kind in KINDS}
        for plugin in plugins:
            self.add(plugin)

    def add(self, plugin: Plugin) -> None:
        """Add a loaded plugin; a name it shares with another is a collision from then on."""
        self.plugins.append(plugin)
        for spec in plugin.specs:
            self._entries[spec.kind].setdefault(spec.name, []).append(Entry(spec, plugin))

    def register(self, module: ModuleType, distribution: str = "(this process)") -> None:
        """Add a module that answers the hooks but is not installed: notebooks and tests."""
        specs = read_declarations(module, module.__name__)
        self.add(Plugin(module.__name__, distribution, "", module.__name__, specs=specs))

    def entries(self, kind: Kind) -> list[Entry]:
        """Every usable component of a kind, sorted by name; colliding names are left out."""
        return [owners[0] for _, owners in sorted(self._entries[kind].items()) if len(owners) == 1]

    def collisions(self) -> dict[tuple[Kind, str], list[str]]:
        """(kind, name) -> the distributions that claim it, where more than one does."""
        return {
            (kind, name): [entry.plugin.distribution for entry in owners]
            for kind in KINDS
            for name, owners in sorted(self._entries[kind].items())
            if len(owners) > 1
        }

    def find(self, kind: Kind, name: str) -> tuple[Entry, str | None]:
        """The component called ``name`` and the weights' tag in it, if any.

        ``name`` is ``family/variant``, ``family/variant.tag``, or a bare family, which means its
        default variant.

        Raises:
            UnknownNameError: nothing installed has this name; the message lists the closest names.
            NameCollisionError: more than one distribution declares it.
        """
        table = self._entries[kind]
        for candidate, tag in self._readings(kind, name):
            if candidate in table:
                return self._only(kind, candidate), tag
        raise UnknownNameError(self._unknown(kind, name))

    def get(self, spec_type: type[S], name: str) -> S:
        """The spec called ``name``, of the given spec type; see ``find``."""
        spec = self.find(spec_type.kind, name)[0].spec
        if not isinstance(spec, spec_type):
            raise UnknownNameError(f"{spec.kind} {name!r} is declared as {type(spec).__name__}")
        return spec

    def find_any(self, name: str) -> Entry:
        """The one component called ``name``, whatever its kind.

        Raises:
            UnknownNameError: nothing has this name, or components of two kinds have it.
            NameCollisionError: more than one distribution declares it.
        """
        found: list[Entry] = []
        for kind in KINDS:
            if any(candidate in self._entries[kind] for candidate, _ in self._readings(kind, name)):
                found.append(self.find(kind, name)[0])
        exact = [entry for entry in found if entry.spec.name == name] or found
        if len(exact) > 1:
            kinds = " and ".join(entry.spec.kind for entry in exact)
            raise UnknownNameError(f"{name!r} is both {kinds}; say which with --kind")
        if not exact:
            raise UnknownNameError(self._unknown(None, name))
        return exact[0]

    def _readings(self, kind: Kind, name: str) -> Iterable[tuple[str, str | None]]:
        yield name, None
        stem, dot, tag = name.partition(".")
        if dot:
            yield stem, tag
        family = self._default_variant(kind, stem)
        if family:
            yield family, tag or None

    def _default_variant(self, kind: Kind, family: str) -> str | None:
        variants = [owners[0].spec for owners in self._entries[kind].values() if owners[0].spec.family == family]
        chosen = [spec for spec in variants if isinstance(spec, ExtractorSpec) and spec.default]
        return next((spec.name for spec in chosen or variants), None)

    def _only(self, kind: Kind, name: str) -> Entry:
        owners = self._entries[kind][name]
        if len(owners) > 1:
            who = " and ".join(entry.plugin.distribution for entry in owners)
            last = owners[-1].plugin.distribution
            raise NameCollisionError(
                f"{kind} {name!r} is declared by {who}\n  neither is used; uninstall one of them: pip uninstall {last}"
            )
        return owners[0]

    def _unknown(self, kind: Kind | None, name: str) -> str:
        names = [n for k in ([kind] if kind else KINDS) for n in self._entries[k]]
        lines = [f"no {kind or 'component'} named {name!r}"]
        near = closest(name, names)
        if near:
            lines.append(f"  did you mean: {', '.join(near)}")
        for other in KINDS:
            if kind and other != kind and name in self._entries[other]:
                lines.append(f"  there is a {other} of that name")
        lines += [f"  plugin that failed to load: {p.distribution} ({p.error})" for p in self.plugins if p.error]
        option = f" --kind {kind}" if kind and kind != "extractor" else ""
        lines.append(f"  {len(names)} installed; see them with: vidcore list-models{option}")
        return "\n".join(lines)


def closest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names most like ``name``: whole, or by the part after the slash."""
    import difflib

    names = list(names)
    by_variant = {n.rpartition("/")[2]: n for n in reversed(names)}
    near = difflib.get_close_matches(name, names, count, 0.6)
    near += [by_variant[v] for v in difflib.get_close_matches(name.rpartition("/")[2], by_variant, count, 0.75)]
    return list(dict.fromkeys(near))[:count]


@functools.cache
def installed() -> Registry:
    """The registry of this environment, discovered once per process."""
    return Registry(discover())
