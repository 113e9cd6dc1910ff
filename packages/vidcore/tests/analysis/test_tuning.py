"""A search: its space, its trials, going on after a stop, and the models that are kept."""

from __future__ import annotations

import csv

import pytest
from vidcore.analysis.tuning import study as study_module
from vidcore.analysis.tuning import tune
from vidcore.analysis.tuning.space import search_space, with_values
from vidcore.catalog import installed
from vidcore.config import Choice, GridConfig
from vidcore.config.search import Choices, Interval
from vidcore.errors import ConfigError, DataError
from vidcore.training import RunInterruptedError, open_run

pytest.importorskip("optuna")


@pytest.fixture
def config(tiny_config, tmp_path):
    """A frozen tiny extractor, so that trials are cheap, with a store of the test's own."""
    made = tiny_config(train={"epochs": 2})
    extractors = tuple(choice.model_copy(update={"freeze": True}) for choice in made.extractors)
    store = made.data.model_copy(update={"store": tmp_path / "store"})
    return made.model_copy(update={"extractors": extractors, "data": store})


def test_the_space_is_what_the_parts_declare_less_what_is_set(config):
    space = search_space(config, installed(), [])
    assert isinstance(space["train.lr"], Interval)
    assert "head.options.label_smoothing" in space
    fixed = config.model_copy(update={"head": config.head.model_copy(update={"options": {"label_smoothing": 0.0}})})
    assert "head.options.label_smoothing" not in search_space(fixed, installed(), [])
    assert search_space(config, installed(), ["train.warmup=0.0..0.3"]) == {"train.warmup": Interval(0.0, 0.3)}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("train.speed=1..2", "speed"),
        ("nothing.lr=1..2", "there is no 'nothing'"),
        ("train.epochs=-3..5", "epochs"),
    ],
)
def test_a_space_that_the_configuration_does_not_take(config, stated, message):
    with pytest.raises(ConfigError, match=message):
        search_space(config, installed(), [stated])


def test_values_reach_lists(config):
    assert with_values(config, {"extractors.0.options.width": 8}).extractors[0].options["width"] == 8


def test_a_study_searches_keeps_and_goes_on(config, tmp_path, monkeypatch):
    said: list[str] = []
    space = ["train.lr=1e-4..1e-1:log", "head.options.dropout=0.0,0.1"]
    out = tmp_path / "study"

    trained = study_module.train
    calls = []

    def interrupted(*args, **more):
        calls.append(args)
        if len(calls) == 3:
            raise RunInterruptedError("stopped")
        return trained(*args, **more)

    monkeypatch.setattr(study_module, "train", interrupted)
    with pytest.raises(RunInterruptedError, match="the same command goes on"):
        tune(config, out, trials=4, search=space, top=1, said=said.append)
    assert len([line for line in said if line.startswith("trial")]) == 2

    found = tune(config, out, trials=4, search=space, top=1, said=said.append)
    states = [trial["state"] for trial in found.trials]
    assert states.count("stopped") == 1
    assert len([state for state in states if state in ("complete", "pruned")]) == 4
    stopped, again = (next(t for t in found.trials if t["trial"] == n) for n in (2, 3))
    assert stopped["values"] == again["values"], "the values of the stopped trial are tried again"
    assert found.metric == "loss"
    (kept,) = found.kept
    assert kept.run.name == f"trial-{kept.trial:04}"
    assert kept.search_score == min(t["score"] for t in found.trials if t["state"] == "complete")
    assert (out / "study.db").exists()
    test = open_run(kept.run).read_results()["test"]["scores"]["accuracy"]
    assert (kept.test["value"], kept.test["interval95"]) == (test["value"], test.get("interval95"))
    page = (out / "tuning.html").read_text()
    assert f"test accuracy of trial {kept.trial + 1}: {test['value']:.4f}" in page
    assert "<svg" in page
    assert 'src="' not in page, "the page needs no other file"
    with (out / "search.csv").open() as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"train", "val"}, "trials see no test row"
    with pytest.raises(ConfigError, match="another space or sampler"):
        tune(config, out, trials=4, search=["train.lr=1e-3..1e-1:log"])
    with pytest.raises(DataError, match="another share"):
        tune(config, out, trials=4, search=space, share=0.5)


def test_a_grid_tries_every_point(config, tmp_path):
    found = tune(config, tmp_path / "grid", trials=50, sampler="grid", search=["head.options.dropout=0.0,0.2"], top=0)
    assert sorted(trial["values"]["head.options.dropout"] for trial in found.trials) == [0.0, 0.2]
    assert Choices((0.0, 0.2)).grid(4) == [0.0, 0.2]


def test_trials_may_see_a_share_of_the_training_rows(config, tmp_path):
    tune(config, tmp_path / "share", trials=1, search=["train.lr=1e-3..1e-1:log"], share=0.5, top=0)
    with (tmp_path / "share" / "search.csv").open() as file:
        few = [row["label"] for row in csv.DictReader(file) if row["split"] == "train"]
    with (tmp_path / "share" / "full.csv").open() as file:
        all_of_them = [row["label"] for row in csv.DictReader(file) if row["split"] == "train"]
    for label in set(all_of_them):
        assert 0 < few.count(label) < all_of_them.count(label)


def test_folds_and_searches_do_not_mix(config, tmp_path):
    folds = config.model_copy(update={"train": config.train.model_copy(update={"folds": 3})})
    with pytest.raises(ConfigError, match=r"leave train\.folds away"):
        tune(folds, tmp_path / "study")
    grid = config.train.model_copy(update={"grid": GridConfig(lr=(0.1, 0.2))})
    with pytest.raises(ConfigError, match=r"leave train\.grid away"):
        tune(config.model_copy(update={"train": grid}), tmp_path / "study")


def test_a_fitted_head_is_searched_by_its_own_options(config):
    pytest.importorskip("vidplug_handcrafted")
    fitted = config.model_copy(update={"head": Choice(name="linear_svm")})
    assert search_space(fitted, installed(), []).keys() == {"head.options.inverse_regularisation"}
