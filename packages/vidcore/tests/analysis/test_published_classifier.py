"""A published classifier from the command line and from Python: predict, evaluate, train, compare."""

from __future__ import annotations

import json

import pytest
import torch
import vidcore
from click.testing import CliRunner
from safetensors.torch import save_file
from vidcore.analysis import compare, evaluate
from vidcore.cli import vidcore as command
from vidcore.config import Choice, ExtractorChoice, RunConfig
from vidcore.data.manifest import read_source
from vidcore.errors import ConfigError
from vidcore.training import train

pytest.importorskip("vidplug_x3d")
NAME = "x3d/s_test"
NAMES = ("Bright", "very dark", "middle", "zebra")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Weights and class names as an author would publish them."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    extractor = vidcore.create(NAME, outputs=("logits",), classes=str(folder / "names.txt"))
    with torch.no_grad():
        extractor.network.blocks[5]["proj"].weight.mul_(50)
    save_file(extractor.state_dict(), folder / "x3d.safetensors")
    (folder / "map.yaml").write_text("dark: [very dark, zebra]\n")
    return folder


@pytest.fixture
def options(published):
    return {"weights": str(published / "x3d.safetensors"), "classes": str(published / "names.txt")}


def test_load_names_the_classes_of_the_published_head(options, brightness):
    model = vidcore.load(NAME, **options, device="cpu")
    assert model.classes == NAMES
    row = read_source(brightness)[0]
    (said,) = model.predict(row.video, top_k=4)
    extractor = vidcore.create(NAME, outputs=("probabilities",), **options)
    assert sum(chance for _, chance in said.top) == pytest.approx(1, abs=1e-5)
    assert {name for name, _ in said.top} == set(NAMES)
    assert model.model.extractor(NAME).output_names == extractor.output_names


def test_predict_and_evaluate_from_the_command_line(options, published, brightness):
    chosen = ["--weights", options["weights"], "--classes", options["classes"], "--device", "cpu"]
    video = str(read_source(brightness)[0].video)
    done = CliRunner().invoke(command, ["predict", NAME, video, *chosen, "--top-k", "2"])
    assert done.exit_code == 0, done.output
    assert any(name in done.output for name in NAMES)
    done = CliRunner().invoke(
        command,
        ["evaluate", NAME, *chosen, "--data", str(brightness), "--label-map", str(published / "map.yaml"), "--json"],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["clips"] == 36
    labels = {row.label for row in read_source(brightness)}
    lost = sum(row.label not in ("bright", "dark", "middle") for row in read_source(brightness))
    assert "dark = very dark or zebra" in found["notes"][0]
    assert (len(found["notes"]) == 2) == bool(lost), labels


def test_a_run_and_its_evaluation_give_the_same_answers_untrained(options, published, brightness, tmp_path):
    config = RunConfig(
        extractors=(ExtractorChoice(name=NAME, options=options),),
        head=Choice(name="published", options={"label_map": str(published / "map.yaml")}),
        out=tmp_path,
        name="r",
    )
    config = config.model_copy(
        update={
            "data": config.data.model_copy(
                update={"source": str(brightness), "frames": 13, "workers": 0, "store": tmp_path / "store"}
            ),
            "train": config.train.model_copy(update={"device": "cpu"}),
        }
    )
    run = train(config)
    stored = json.loads((run.root / "model.json").read_text())
    assert stored["head"]["options"]["averages"] == "probabilities"
    own = evaluate(run.root, workers=0).judged["scores"]["accuracy"]["value"]
    assert own == pytest.approx(run.read_results()["test"]["scores"]["accuracy"]["value"])
    assert any(
        note.startswith("published classes: bright = Bright") for note in json.loads(run.data.read_text())["notes"]
    )


def test_rows_of_a_comparison_without_a_classifier_are_left_out_and_said(options, published, brightness, tmp_path):
    told = []
    overrides = [f"{NAME}.options.{key}={value}" for key, value in options.items()]
    found = compare(
        [NAME, "basic/naive_cnn"],
        data=str(brightness),
        heads=["published"],
        folds=0,
        out=tmp_path / "c",
        choices={"data": {"frames": 13, "workers": 0, "size": 32, "store": str(tmp_path / "store")}},
        overrides=[*overrides, f"published.options.label_map={published / 'map.yaml'}", "train.device=cpu"],
        told=told.append,
    )
    assert [row.cell.head.name for row in found.rows] == ["published"]
    assert "no row basic/naive_cnn, published: it has no published classifier" in told
    assert any("published classes: bright = Bright" in note for note in found.footnotes())
    with pytest.raises(ConfigError, match=r"reads the published classifier of one extractor, and basic/naive_cnn has"):
        compare(["basic/naive_cnn"], data=str(brightness), heads=["published"], out=tmp_path / "d")


def test_a_run_takes_no_weights_and_an_extractor_needs_data(options):
    with pytest.raises(ConfigError, match="has no data of its own"):
        evaluate(NAME, **options)
    with pytest.raises(ConfigError, match="needs published weights"):
        vidcore.load(NAME, classes=options["classes"])
