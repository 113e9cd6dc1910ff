"""``vidcore check``: verdicts as a table and as JSON, and an exit code."""

import json
import os
import sys

import pytest
import torch
from click.testing import CliRunner
from torch import nn
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo, Plugin, Registry, installed
from vidcore.cli.check import check
from vidcore.errors import UnknownNameError
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap


class Leaky(Extractor):
    """Its declared count is wrong, and one parameter is never used."""

    def __init__(self, spec, config):
        super().__init__(spec, config)
        self.embed = nn.Conv3d(3, 4, (1, 8, 8), (1, 8, 8))
        self.unused = nn.Parameter(torch.ones(1))

    def forward(self, clip):
        data = self.embed(clip).cumsum(2)
        return {"features": FeatureMap(data, step_times(data.shape[2], 1, data))}


@pytest.fixture
def leaky(monkeypatch):
    spec = ExtractorSpec(
        name="leaky/one",
        target=f"{__name__}:Leaky",
        config="vidcore.config:ExtractorConfig",
        summary="a fake",
        outputs={"features": FeatureInfo(4, (1, 8, 8))},
        clip=ClipFormat(size_multiple=8),
        parameters=600_000_000,
        exempt={"time_order": "for the sake of the table"},
    )
    registry = Registry([*installed().plugins, Plugin("leaky", "vidplug-leaky", "1", "vidcore.builtin", specs=(spec,))])
    for module in ("vidcore.cli.check", "vidcore.testing.run", "vidcore.testing.component"):
        __import__(module)
        monkeypatch.setattr(sys.modules[module], "installed", lambda: registry)


def test_a_sound_component(monkeypatch):
    # Settings of the caller's own tests do not leak in.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing_at_all")
    done = CliRunner().invoke(check, ["mean"])
    assert done.exit_code == 0, done.output
    assert "mean  readout of vidcore" in done.output
    assert "conforms: 16 passed, 1 not applicable" in done.output
    assert "not declared causal" in done.output
    assert os.environ["PYTEST_ADDOPTS"] == "-k nothing_at_all"


def test_failures_and_exemptions_are_named_and_the_exit_code_is_one(leaky):
    done = CliRunner().invoke(check, ["leaky/one"])
    assert done.exit_code == 1
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "failed" in lines["gradients"]
    assert "no gradient reaches 1 of 3 parameters: unused" in lines["gradients"]
    assert "the spec says 600,000,000 parameters; the extractor has 773" in lines["parameters"]
    assert "exempt" in lines["time_order"]
    assert "for the sake of the table" in lines["time_order"]
    assert "does not conform:" in done.stdout
    assert "2 failed, 1 exempt" in done.stdout
    assert "600.0 M parameters and is built many times" in done.stderr


def test_json(leaky):
    done = CliRunner().invoke(check, ["leaky/one", "--json"])
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert {k: answer[k] for k in ("kind", "name", "plugin", "passed")} == {
        "kind": "extractor",
        "name": "leaky/one",
        "plugin": "vidplug-leaky",
        "passed": False,
    }
    failed = {c["check"]: c["message"] for c in answer["checks"] if c["outcome"] == "failed"}
    assert set(failed) == {"parameters", "gradients"}


def test_an_unknown_name():
    done = CliRunner().invoke(check, ["meen"])
    assert isinstance(done.exception, UnknownNameError)
    assert "mean" in str(done.exception)


def test_pytest_is_asked_for_by_name_where_it_is_missing(tmp_path):
    import subprocess

    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'pytest' else find(name, *rest)\n"
        "from vidcore.cli import main\n"
        "main(['check', 'mean'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    wanted = "vidcore check needs pytest, which is not installed: pip install 'vidcore[testing]'"
    assert done.stderr.strip() == f"error: {wanted}"
