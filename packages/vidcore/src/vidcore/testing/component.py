"""What is checked of a component of any kind."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, NoReturn, TypeVar

import pytest
import torch

from vidcore.catalog import ComponentSpec, Entry, Kind, Registry, installed, load_config, load_target
from vidcore.config import ComponentConfig, component_config
from vidcore.errors import ConfigError, VidcoreError
from vidcore.testing._cold import NotImportableError, warm_imports
from vidcore.testing._options import option_names, required_options

EXEMPT = "exempt: "

T = TypeVar("T")

_memory: dict[str, Any] = {}


def fail(message: str) -> NoReturn:
    """End the check with a one-line verdict."""
    pytest.fail(message, pytrace=False)


class ComponentConformance:
    """Base of the suites. A subclass names a component; ``options`` are those it is built with.

    A check is a ``test_*`` method. It is left out only where the component's spec says so:
    ``exempt={"time_order": "frames are seen one by one"}``; the reason is the reason of the skip.
    ``options.width`` exempts a single option of the check ``options``.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    registry: ClassVar[Registry | None] = None
    """Where the name is looked up; by default among the installed plugins."""
    kind: ClassVar[Kind]
    base: ClassVar[str] = ""
    """Dotted path of the class that a target derives from; empty where any callable will do."""

    @classmethod
    def entry(cls) -> Entry:
        """The component under test and the plugin it came from."""
        if not hasattr(cls, "name"):
            raise TypeError(f"{cls.__name__} names no component; write: name = 'family/variant'")
        return (cls.registry or installed()).find(cls.kind, cls.name)[0]

    @classmethod
    def config_type(cls) -> type[ComponentConfig]:
        """Class of the component's options."""
        found: type[ComponentConfig] = load_config(cls.entry().spec)
        return found

    @classmethod
    def base_options(cls) -> dict[str, Any]:
        """The options given, and examples for those that have no default."""
        return {**required_options(cls.config_type()), **cls.options}

    @classmethod
    def checks(cls) -> list[str]:
        """Names of the checks, which are also the keys of ``spec.exempt``."""
        return [name.removeprefix("test_") for name in dir(cls) if name.startswith("test_")]

    @property
    def spec(self) -> Any:
        """The declaration under test."""
        return self.entry().spec

    def config(self, **options: Any) -> Any:
        """Validated options: those of the class, changed by ``options``."""
        return component_config(self.spec, {**self.base_options(), **options})

    def construct(self, config: Any) -> Any:
        """The component with validated options."""
        raise TypeError(f"{type(self).__name__} does not say how its component is constructed")

    def build(self, **options: Any) -> Any:
        """The component with the class's options changed by ``options``; random weights of seed 0."""
        torch.manual_seed(0)
        return self.construct(self.config(**options))

    def remembered(self, what: str, make: Callable[[], T]) -> T:
        """``make()``, made once for all checks of this class; forgotten when another class begins."""
        if _memory.get("owner") is not type(self):
            _memory.clear()
            _memory["owner"] = type(self)
        if what not in _memory:
            _memory[what] = make()
        found: T = _memory[what]
        return found

    @pytest.fixture(autouse=True)
    def _leave_out_what_is_exempt(self, request: pytest.FixtureRequest) -> None:
        check = getattr(request.node, "originalname", request.node.name).removeprefix("test_")
        reason = self.spec.exempt.get(check)
        if reason:
            pytest.skip(EXEMPT + reason)

    def test_declaration(self) -> None:
        """The spec's target, options class and exemptions are what they should be."""
        spec: ComponentSpec = self.spec
        target = load_target(spec)
        if not callable(target):
            fail(f"{spec.target} is a {type(target).__name__} and cannot be called")
        if self.base and not (isinstance(target, type) and issubclass(target, pkgutil.resolve_name(self.base))):
            fail(f"{spec.target} does not derive from {self.base}")
        abstract = sorted(getattr(target, "__abstractmethods__", ()))
        if abstract:
            fail(f"{spec.target} does not define {', '.join(abstract)}")
        component_config(spec, self.base_options())
        if not spec.summary.strip() or "\n" in spec.summary:
            fail(f"the summary is one line; got {spec.summary!r}")
        known = self.checks()
        for check, reason in spec.exempt.items():
            name, _, option = check.partition(".")
            if name not in known:
                fail(f"exempt names no check: {check!r}; the checks are: {', '.join(known)}")
            if option and (name != "options" or option not in option_names(self.config_type())):
                fail(
                    f"exempt names no option: {check!r}; the options are: {', '.join(self.config_type().model_fields)}"
                )
            if not reason.strip():
                fail(f"exempt[{check!r}] gives no reason")

    def test_cold_declaration(self) -> None:
        """Importing the declaring module imports no framework."""
        module = self.entry().plugin.module.partition(":")[0]
        if not _importable(module):
            pytest.skip(f"{module} is declared in this process, not in a module that others can import")
        try:
            warm = warm_imports(module)
        except NotImportableError as exc:
            fail(f"{module} cannot be imported in a fresh interpreter: {exc}")
        if warm:
            fail(f"importing {module} also imports {', '.join(warm)}; a declaring module imports vidcore.plugin only")

    def test_unknown_option(self) -> None:
        """A misspelt option is refused, and the right one suggested."""
        names = option_names(self.config_type())
        wrong = f"{names[0]}_" if names else "an_option_that_is_not_there"
        try:
            component_config(self.spec, {**self.base_options(), wrong: 1})
        except ConfigError as exc:
            expected = [wrong] if not names else [wrong, f"did you mean '{names[0]}'"]
            missing = [text for text in expected if text not in str(exc)]
            if missing:
                fail(f"the refusal of the option {wrong!r} does not say {missing[0]!r}: {exc}")
            return
        fail(
            f"the unknown option {wrong!r} is accepted; its config forbids extra keys (vidcore.config.ComponentConfig)"
        )


def options_of(cls: type[ComponentConformance]) -> Iterable[str]:
    """The component's options at collection; a component that cannot be found fails in its checks instead."""
    try:
        return option_names(cls.config_type())
    except (VidcoreError, TypeError):
        return []


def _importable(module: str) -> bool:
    try:
        return module != "__main__" and find_spec(module) is not None
    except (ImportError, ValueError):
        return False
