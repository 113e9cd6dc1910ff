"""A stranger's plugin: installed as a distribution of its own it is there, conforms and trains; removed it is gone."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Two builds and a training in other processes, each of which imports torch.
pytestmark = pytest.mark.timeout(600)


def run(*command: str, path: Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a Python module with ``path`` searched first, as if it were a folder of installed distributions."""
    environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )
    assert done.returncode == code, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def install(source: Path, target: Path) -> None:
    """Build a distribution and install it into a folder, with what is here and no network."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--python", sys.executable, "--offline"]
    elif importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "install", "--no-index"]
    else:
        pytest.skip("neither uv nor pip is there to install a distribution with")
    command += ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def plugin(root, tmp_path_factory) -> tuple[Path, Path]:
    """A copy of the template, and the folder that it is installed in."""
    folder = tmp_path_factory.mktemp("template")
    copy, site = folder / "vidplug-template", folder / "site"
    shutil.copytree(root / "templates" / "vidplug-template", copy)
    install(copy, site)
    return copy, site


def listed(path: Path, cwd: Path) -> dict[str, str]:
    """Name -> distribution of every extractor that ``vidcore list-models`` shows."""
    answer = json.loads(run("vidcore.cli", "list-models", "--json", path=path, cwd=cwd).stdout)
    return {row["name"]: row["plugin"] for row in answer}


def test_installed_it_is_listed_and_removed_it_is_gone(plugin, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(plugin[1], site)
    there = listed(site, tmp_path)
    assert there["template/diff3d"] == "vidplug-template"
    assert there["basic/naive_cnn"] == "vidcore"
    shutil.rmtree(site)
    assert {name for name in there if name.startswith("template/")} == set(there) - set(listed(site, tmp_path))


def test_its_own_tests_pass(plugin):
    copy, site = plugin
    done = run("pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "tests", path=site, cwd=copy)
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout


def test_it_trains(plugin, tmp_path):
    command = ["train", "--extractor", "template/diff3d_test", "--data", "trajectories", "--name", "run"]
    command += ["data.options.n=32", "data.options.size=32", "data.frames=8", "train.epochs=1", "data.workers=0"]
    run("vidcore.cli", *command, path=plugin[1], cwd=tmp_path)
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert "template/diff3d_test" in json.dumps(results)
    assert (tmp_path / "runs" / "run" / "model.safetensors").is_file()


def test_renamed_as_its_readme_says_it_is_another_plugin(root, tmp_path):
    shutil.copytree(root / "templates" / "vidplug-template", tmp_path / "templates" / "vidplug-template")
    block = re.search(r"```sh\n(.*?)```", (root / "templates/vidplug-template/README.md").read_text(), re.DOTALL)
    assert block
    renaming = [line for line in block[1].splitlines() if not re.match(r"pip |vidcore |pytest", line)]
    assert 2 <= len(renaming) < len(block[1].splitlines())
    subprocess.run("\n".join(["set -e", *renaming]), shell=True, check=True, cwd=tmp_path)
    copy = tmp_path / "vidplug-mine"
    assert [f for f in copy.rglob("*") if f.is_file() and re.search(r"vidplug.template", f.read_text())] == []
    install(copy, tmp_path / "site")
    assert listed(tmp_path / "site", tmp_path)["mine/diff3d"] == "vidplug-mine"
    code = "import vidcore; print(vidcore.create('mine/diff3d_test').output_names)"
    (tmp_path / "make_it.py").write_text(code)
    assert "features" in run("make_it", path=tmp_path / "site", cwd=tmp_path).stdout


DECLARES = """
from vidcore.plugin import ExtractorSpec, FeatureInfo, hookimpl

@hookimpl
def vidcore_extractors():
    return [
        ExtractorSpec(name=name, target="a.b:C", config="vidcore.config:ExtractorConfig", summary="a fake",
                      outputs={{"features": FeatureInfo(1)}})
        for name in {names}
    ]
"""


def fake(site: Path, distribution: str, module: str, source: str) -> None:
    """A distribution with one entry point, as an installer would leave it."""
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(source)
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vidcore]\n{module} = {module}\n")


def test_two_plugins_with_one_name(tmp_path):
    site = tmp_path / "site"
    fake(site, "vidplug-first", "first_plugin", DECLARES.format(names=["twice/same", "first/own"]))
    fake(site, "vidplug-second", "second_plugin", DECLARES.format(names=["twice/same", "second/own"]))
    names = listed(site, tmp_path)
    assert "twice/same" not in names
    assert {names["first/own"], names["second/own"]} == {"vidplug-first", "vidplug-second"}
    used = run("vidcore.cli", "info", "twice/same", path=site, cwd=tmp_path, code=1)
    assert "extractor 'twice/same' is declared by vidplug-first and vidplug-second" in used.stderr
    assert "pip uninstall vidplug-second" in used.stderr
    shown = run("vidcore.cli", "plugins", path=site, cwd=tmp_path)
    assert "warning: extractor 'twice/same' is declared by vidplug-first and vidplug-second" in shown.stderr


def test_a_plugin_that_fails_on_import_is_shown_and_the_rest_works(tmp_path):
    site = tmp_path / "site"
    fake(site, "vidplug-broken", "broken_plugin", "import a_module_that_is_not_there\n")
    fake(site, "vidplug-misspelt", "misspelt_plugin", DECLARES.format(names=["x/y"]).replace("extractors", "extractor"))
    fake(site, "vidplug-sound", "sound_plugin", DECLARES.format(names=["sound/one"]))
    assert listed(site, tmp_path)["sound/one"] == "vidplug-sound"
    shown = run("vidcore.cli", "plugins", "--json", path=site, cwd=tmp_path)
    errors = {plugin["distribution"]: plugin["error"] for plugin in json.loads(shown.stdout)["plugins"]}
    assert errors["vidplug-broken"] == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"
    assert "vidcore_extractor" in errors["vidplug-misspelt"]
    assert "the hooks are vidcore_extractors" in errors["vidplug-misspelt"]
    assert errors["vidplug-sound"] is None
    unknown = run("vidcore.cli", "info", "broken/one", path=site, cwd=tmp_path, code=1)
    assert "plugin that failed to load: vidplug-broken (ModuleNotFoundError" in unknown.stderr


def test_the_tutorial_s_first_script_runs_and_its_verdict_is_true(root, tmp_path):
    blocks = re.findall(r"```py\n(.*?)```", (root / "docs" / "write-a-plugin.md").read_text(), re.DOTALL)
    plugin, check = blocks[:2]
    assert len([line for line in plugin.splitlines() if line.strip()]) == 15
    (tmp_path / "brightness.py").write_text(plugin + check)
    said = run("brightness", path=tmp_path, cwd=tmp_path).stdout
    assert "torch.Size([2, 16, 3])" in said
    assert re.search(r"time_order +failed +blind to the order of frames", said)
    assert said.count("failed") == 1
