"""Plugins that fail, in every way, next to ones that work: real distributions on a path of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

GOOD = """
from vidcore.plugin import ExtractorSpec, FeatureInfo, hookimpl

@hookimpl
def vidcore_extractors():
    return [ExtractorSpec(name="{name}", target="a.b:C", config="a.b:D", summary="s", outputs={{"m": FeatureInfo(4)}})]
"""
BROKEN = {
    "raises": "raise RuntimeError('bad day')",
    "missing": "import a_module_that_is_not_there",
    "exits": "raise SystemExit(3)",
    "syntax": "def (",
    "misspelt": GOOD.format(name="typo/x").replace("def vidcore_extractors", "def vidcore_extracters"),
    "nonsense": "from vidcore.plugin import hookimpl\n@hookimpl\ndef vidcore_extractors():\n    return 7\n",
    "bad_spec": GOOD.format(name="Not A Name"),
}


def install(folder, distribution, source):
    """A distribution as pip leaves it: a module, and metadata with the entry point."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vidcore]\n{module} = {module}\n")


def vidcore(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "vidcore.cli", *arguments],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, source in BROKEN.items():
        install(folder, f"broken-{name.replace('_', '-')}", source)
    install(folder, "good-one", GOOD.format(name="good/x"))
    install(folder, "clash-one", GOOD.format(name="clash/x"))
    install(folder, "clash-two", GOOD.format(name="clash/x"))
    return folder


def test_each_broken_plugin_is_reported_and_the_others_live(folder):
    shown = vidcore(folder, "plugins", "--json")
    assert shown.returncode == 0, shown.stderr
    data = json.loads(shown.stdout)
    errors = {p["distribution"]: p["error"] for p in data["plugins"] if p["distribution"].startswith("broken-")}
    assert errors.keys() == {f"broken-{name.replace('_', '-')}" for name in BROKEN}
    assert errors["broken-raises"] == "RuntimeError: bad day"
    assert errors["broken-missing"] == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert errors["broken-exits"] == "SystemExit: 3"
    assert errors["broken-syntax"].startswith("SyntaxError")
    assert "vidcore_extracters" in errors["broken-misspelt"]
    assert "expected a list of specs" in errors["broken-nonsense"]
    assert "'Not A Name' is not of the form" in errors["broken-bad-spec"]
    good = next(p for p in data["plugins"] if p["distribution"] == "good-one")
    assert good["components"] == [{"kind": "extractor", "name": "good/x"}]
    assert good["version"] == "1.0"


def test_a_collision_is_shown_and_refused_by_both_distributions(folder):
    shown = vidcore(folder, "plugins")
    assert "extractor 'clash/x' is declared by clash-one and clash-two" in shown.stderr
    used = vidcore(folder, "info", "clash/x")
    assert used.returncode == 1
    assert "error: extractor 'clash/x' is declared by clash-one and clash-two" in used.stderr


def test_listing_imports_no_framework(folder):
    code = (
        "import sys\n"
        "from vidcore.cli import vidcore\n"
        "vidcore.main(['list-models'], standalone_mode=False)\n"
        "hot = {'torch', 'numpy', 'pydantic', 'yaml', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {hot}' if hot else 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "good/x" in ran.stdout
    assert "broken-raises did not load: RuntimeError: bad day" in ran.stderr
