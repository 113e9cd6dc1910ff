"""Running a component's suite outside a test file: what ``vidcore check`` does."""

from __future__ import annotations

import contextlib
import io
import os
import pkgutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from vidcore.catalog import HeadSpec, Kind, Registry, installed
from vidcore.errors import VidcoreError
from vidcore.testing.component import EXEMPT, ComponentConformance

_SUITES = {
    "extractor": "vidcore.testing.extractor:ExtractorConformance",
    "fusion": "vidcore.testing.fusion:FusionConformance",
    "readout": "vidcore.testing.readout:ReadoutConformance",
    "head": "vidcore.testing.head:HeadConformance",
    "fitted head": "vidcore.testing.fitted:FittedHeadConformance",
    "dataset": "vidcore.testing.dataset:DatasetConformance",
}

Outcome = Literal["passed", "failed", "exempt", "not applicable"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check; ``message`` says why it failed, or why it was left out."""

    check: str
    outcome: Outcome
    message: str = ""


def suite_of(kind: Kind, name: str, registry: Registry | None = None) -> type[ComponentConformance]:
    """The conformance class of a component, as a plugin's tests would write it.

    Raises:
        UnknownNameError, NameCollisionError: see ``Registry.find``.
    """
    spec = (registry or installed()).find(kind, name)[0].spec
    suite = "fitted head" if isinstance(spec, HeadSpec) and spec.fitted else kind
    return type("TestComponent", (pkgutil.resolve_name(_SUITES[suite]),), {"name": spec.name, "registry": registry})


def check_component(kind: Kind, name: str, registry: Registry | None = None) -> list[Verdict]:
    """Run every check of a component, through pytest, quietly.

    Raises:
        UnknownNameError, NameCollisionError: nothing, or too much, has this name.
        VidcoreError: pytest could not run the suite; the text is what it said.
    """
    return run_suite(suite_of(kind, name, registry))


def run_suite(suite: type[ComponentConformance]) -> list[Verdict]:
    """Run a conformance class; errors as ``check_component``."""
    # A name of its own: pytest keeps imported test modules by name.
    token = f"test_{uuid.uuid4().hex}"
    _waiting[token] = suite
    recorder = _Recorder()
    said = io.StringIO()
    # The caller's own pytest settings, in files or in the environment, are not the component's business.
    added = os.environ.pop("PYTEST_ADDOPTS", None)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        path = Path(folder) / f"{token}.py"
        path.write_text(f"from vidcore.testing.run import waiting\n\nTestComponent = waiting({token!r})\n")
        arguments = [str(path), f"--rootdir={folder}", f"--confcutdir={folder}", "--import-mode=importlib", "-q"]
        arguments += ["-c", str(Path(folder) / "none.ini"), "-p", "no:cacheprovider", "-p", "no:faulthandler"]
        (Path(folder) / "none.ini").write_text("[pytest]\n")
        try:
            code = pytest.main(arguments, plugins=[recorder])
        finally:
            _waiting.pop(token, None)
            if added is not None:
                os.environ["PYTEST_ADDOPTS"] = added
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not recorder.verdicts:
        raise VidcoreError(f"the suite of {suite.kind} {suite.name!r} could not run:\n{said.getvalue()}")
    return recorder.verdicts


_waiting: dict[str, type[ComponentConformance]] = {}


def waiting(token: str) -> type[ComponentConformance]:
    """The suite that a generated test module was written for."""
    return _waiting[token]


class _Recorder:
    """A pytest plugin that keeps one verdict per check."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        check = report.nodeid.rpartition("::")[2].removeprefix("test_")
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            reason = reason.removeprefix("Skipped: ")
            exempt = reason.startswith(EXEMPT)
            self.verdicts.append(Verdict(check, "exempt" if exempt else "not applicable", reason.removeprefix(EXEMPT)))
        elif report.failed:
            self.verdicts.append(Verdict(check, "failed", _message(report)))
        elif report.when == "call":
            self.verdicts.append(Verdict(check, "passed"))


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr).removeprefix("Failed: ")
