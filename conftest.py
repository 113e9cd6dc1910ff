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


@pytest.fixture(autouse=True)
def _no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Some libraries set it when they start; tables would then be fitted to it in every later test of the process.
    monkeypatch.delenv("COLUMNS", raising=False)


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


# Sizes whose long side and margins round differently by the rules in use, one that is scaled down far, and a 16:9 one.
_REAL = ("v_GGSY1Qvo990.mp4", "demo.mp4", "nasa_13013.mp4", "bt709_full_range.mp4", "h264_10bits.mp4")


@pytest.fixture(params=["synthetic 320x240", "synthetic 181x333", *_REAL])
def publisher_clip(request: pytest.FixtureRequest) -> torch.Tensor:
    """Frames on which preprocessing is compared with a publisher's own transform: uint8 (2, 3, H, W)."""
    kind, _, size = request.param.partition(" ")
    if size:
        width, height = map(int, size.split("x"))
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(2, 3, height // 6, width // 6, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        sharp = torch.rand(2, 3, height, width, generator=generator) > 0.5
        return (smooth * 200 + sharp * 55).to(torch.uint8)
    from vidcore.data.decode import VideoReader

    folder: Path = request.getfixturevalue("shared_data")
    path = folder / "clips" / kind
    if not path.is_file():
        pytest.skip(f"no {kind} among the shared data")
    with VideoReader(path) as reader:
        return reader.read([0, len(reader) // 2])


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
