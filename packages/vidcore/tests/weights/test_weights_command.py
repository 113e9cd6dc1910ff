"""``vidcore weights``."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from vidcore.assemble import create
from vidcore.catalog import ExtractorSpec, FeatureInfo, Registry, WeightsInfo, hookimpl
from vidcore.cli.weights import weights
from vidcore.errors import UnknownNameError, WeightsError
from vidcore.weights import digest

NAME = "tiny/cnn"
SOURCE = "https://files.example.org/cnn.pyth"


def registry_of(*infos: WeightsInfo) -> Registry:
    spec = ExtractorSpec(
        name=NAME,
        target="vidcore.extractors._naive_cnn:NaiveCnn",
        config="vidcore.extractors.config:NaiveCnnConfig",
        summary="a network of the tests",
        outputs={"mean": FeatureInfo(128, (None, None, None))},
        weights=infos,
    )
    plugin = types.ModuleType("tiny_plugin")
    plugin.vidcore_extractors = hookimpl(lambda: [spec])
    registry = Registry()
    registry.register(plugin)
    return registry


@pytest.fixture
def published(tmp_path):
    """An extractor of other values, and the file its authors publish."""
    torch.manual_seed(7)
    authors = create("basic/naive_cnn")
    path = tmp_path / "cnn.pyth"
    torch.save({"model_state": {**authors.state_dict(), "head.weight": torch.ones(2, 2)}}, path)
    return authors, path


@pytest.fixture
def run(monkeypatch, published):
    sha256 = digest(published[1])
    registry = registry_of(
        WeightsInfo(tag="k400", source=SOURCE, sha256=sha256, licence="MIT", trained_on="Kinetics-400", score="61 %"),
        WeightsInfo(tag="ssl", source="hf:authors/cnn/model.safetensors"),
    )
    monkeypatch.setattr("vidcore.cli.weights.installed", lambda: registry)

    def invoke(*args: object) -> str:
        return CliRunner().invoke(weights, [str(arg) for arg in args], catch_exceptions=False).output

    return invoke


@pytest.fixture
def cached(published, caches):
    path = caches["torch"] / "hub" / "checkpoints" / "cnn.pyth"
    path.parent.mkdir(parents=True)
    path.write_bytes(published[1].read_bytes())
    return path


def test_list(run, cached):
    header, k400, ssl = run("list").splitlines()
    assert header.split() == ["weights", "here", "trained", "on", "score", "licence", "source"]
    assert k400.split() == ["tiny/cnn.k400", "yes", "Kinetics-400", "61", "%", "MIT", SOURCE]
    assert ssl.split() == ["tiny/cnn.ssl", "no", "-", "-", "unknown", "hf:authors/cnn/model.safetensors"]
    assert run("list", "tiny") == run("list", NAME) == run("list")


def test_list_as_json(run, cached):
    first, second = json.loads(run("list", NAME, "--json"))
    assert (first["extractor"], first["tag"], first["file"]) == (NAME, "k400", str(cached))
    assert second["file"] is None


def test_list_of_an_unknown_name(run):
    with pytest.raises(UnknownNameError, match="no extractor named 'tony/cnn'"):
        run("list", "tony/cnn")


def test_fetch(run, monkeypatch, published, caches):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vidcore.weights._find.unreachable", lambda _: "")

    def download(url, dst, hash_prefix, progress):
        assert url == SOURCE
        Path(dst).write_bytes(published[1].read_bytes())

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    output = run("fetch", f"{NAME}.k400")
    path = caches["own"] / "weights" / "files.example.org" / "cnn.pyth"
    assert output == f"{NAME}.k400  {path}\n  sha256 {digest(path)} (as published)\n"


def test_fetch_of_a_changed_file(run, cached):
    cached.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"is not the published file of tiny/cnn.k400"):
        run("fetch", f"{NAME}.k400")


def test_fetch_offline(run):
    with pytest.raises(WeightsError, match=r"wanted: https://files.example.org/cnn.pyth"):
        run("fetch", f"{NAME}.k400")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (NAME, r"tiny/cnn has 2 sets of weights; name one of: tiny/cnn.k400, tiny/cnn.ssl"),
        (f"{NAME}.k600", r"tiny/cnn has no weights 'k600'; name one of: tiny/cnn.k400, tiny/cnn.ssl"),
    ],
)
def test_which_weights(run, name, message):
    with pytest.raises(WeightsError, match=message):
        run("fetch", name)


def test_no_weights_at_all(monkeypatch):
    monkeypatch.setattr("vidcore.cli.weights.installed", registry_of)
    with pytest.raises(WeightsError, match="tiny/cnn has no published weights"):
        CliRunner().invoke(weights, ["fetch", NAME], catch_exceptions=False)
    assert CliRunner().invoke(weights, ["list", NAME]).output == (
        "no published weights of tiny/cnn: trained from scratch\n"
    )


def test_verify_a_tag(run, cached):
    output = run("verify", f"{NAME}.k400")
    assert output.startswith("tiny/cnn: weights k400 (sha256 ")
    assert "as published): all 20 needed tensors, 1 left over" in output
    assert "left over (1)\n  head.weight" in output
    assert output.endswith("fits\n")


def test_verify_a_file_known_by_its_hash(run, published):
    output = run("verify", published[1])
    assert "all 20 needed tensors" in output
    assert output.endswith("fits\n")


def test_verify_another_file(run, published, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a.weight": torch.ones(2, 3)}, path)
    output = run("verify", path)
    assert f"sha256 {digest(path)}\n  1 tensors, 6 numbers" in output
    assert "--extractor NAME" in output
    with pytest.raises(WeightsError, match=r"(?s)does not fit tiny/cnn: 20 of the 20 tensors.*name: --json$"):
        run("verify", path, "--extractor", NAME)
    with pytest.raises(WeightsError, match="say whose it is to be: --extractor NAME"):
        run("verify", path, "--json")


@pytest.mark.usefixtures("run", "cached")
def test_verify_as_json_has_every_name(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"a.weight": torch.ones(2, 3)}, path)
    shown = CliRunner().invoke(weights, ["verify", str(path), "--extractor", NAME, "--json"])
    report = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert (report["fits"], report["matched"], report["left_over"]) == (False, [], ["a.weight"])
    assert len(report["missing"]) > 1
    shown = CliRunner().invoke(weights, ["verify", f"{NAME}.k400", "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["fits"]


def test_verify_does_not_download(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("it downloaded"))
    with pytest.raises(WeightsError, match="not on this machine, and downloading was not asked for"):
        run("verify", f"{NAME}.k400")


def test_convert(run, published, tmp_path):
    authors, path = published
    out = tmp_path / "cnn.safetensors"
    output = run("convert", path, out, "--extractor", NAME)
    assert f"{out}  {len(authors.state_dict())} tensors" in output
    extractor = create("basic/naive_cnn", weights=str(out))
    assert torch.equal(extractor.stages[0][0].weight, authors.stages[0][0].weight)
    with pytest.raises(WeightsError, match="exists; replace it with --force"):
        run("convert", path, out, "--extractor", NAME)
    run("convert", path, out, "--extractor", NAME, "--force")
    with pytest.raises(WeightsError, match=r"name it .*cnn.safetensors"):
        run("convert", path, tmp_path / "cnn.pth", "--extractor", NAME)
