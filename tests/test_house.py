"""The rules of the house that a machine can check: lint, types, import directions, what is committed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(root: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_lint(root):
    run(root, tool("ruff"), "check", ".")


def test_format(root):
    run(root, tool("ruff"), "format", "--check", ".")


def test_types(root):
    run(root, tool("mypy"))


def test_imports_point_one_way(root):
    run(root, tool("lint-imports"), "--no-cache")


def committed(root: Path) -> list[Path]:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def test_nothing_large_and_no_media_is_committed(root):
    files = committed(root)
    assert files
    assert [f for f in files if f.stat().st_size > 1_000_000] == []
    media = {".mp4", ".avi", ".mkv", ".webm", ".safetensors", ".pt", ".pth", ".pyth", ".ckpt"}
    assert [f for f in files if f.suffix in media] == []


def test_no_source_file_needs_a_table_of_contents(root):
    sources = [f for f in committed(root) if f.suffix == ".py" and "/src/" in f.as_posix()]
    assert [(f.name, n) for f in sources if (n := len(f.read_text().splitlines())) > 400] == []


def test_every_distribution_is_in_the_workspace(root):
    import tomllib

    workspace = tomllib.loads((root / "pyproject.toml").read_text())
    packages = {p.parent.name for p in root.glob("packages/*/pyproject.toml")}
    depended_on = {dependency.partition("[")[0] for dependency in workspace["project"]["dependencies"]}
    assert packages == depended_on == set(workspace["tool"]["uv"]["sources"])
    checked = set(workspace["tool"]["importlinter"]["root_packages"])
    assert {name.replace("-", "_") for name in packages} == checked


def test_ci_runs_the_readme_s_test_command(root):
    command = (root / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert command in (root / "README.md").read_text()
