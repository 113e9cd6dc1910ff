"""Fixtures for every test of the workspace."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).resolve().parent


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Sums are then added in one order, whatever the machine; and parallel workers do not fight for cores.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Features and compiled models of tests are nobody's; and no test may pass because of what an earlier one left.
    os.environ["VIDCORE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and weights that lie beside a checkout; tests that need them skip where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real clips and weights are not on this machine (no ../shared/data)")
    return folder


def _run_console(example: Example) -> None:
    """Run the lines of a ``console`` block that begin with ``$``, in order; each must succeed."""
    commands = [line[2:] for line in example.parsed.splitlines() if line.startswith("$ ")]
    assert commands, "a console block shows commands behind '$ '"
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, check=False, env={**os.environ, "PATH": tools}
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _enter_folder(namespace: dict[str, object]) -> None:
    # What a document's blocks write goes to a folder of its own, one for the whole document.
    namespace["_folder"] = tempfile.TemporaryDirectory()
    namespace["_before"] = Path.cwd()
    os.chdir(namespace["_folder"].name)  # type: ignore[attr-defined]


def _leave_folder(namespace: dict[str, object]) -> None:
    os.chdir(namespace["_before"])  # type: ignore[arg-type]
    namespace["_folder"].cleanup()  # type: ignore[attr-defined]


# Every python and console block of the documentation runs; what is not meant to run is fenced as sh or text.
pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", _run_console)],
    patterns=["README.md", "docs/*.md"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
