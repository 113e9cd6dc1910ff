"""Names and texts to cells; no training."""

from __future__ import annotations

import pytest
from vidcore.analysis.comparison import plan
from vidcore.analysis.comparison.cells import Cell, cross, labels
from vidcore.analysis.comparison.costs import Cost, guess, together
from vidcore.analysis.comparison.plots import Point, pareto_front
from vidcore.catalog import installed
from vidcore.config import ExtractorChoice, run_config
from vidcore.errors import ConfigError, RunError


def crossed(extractors, fusions=("concat",), readouts=("mean",), heads=("classification",), **settings):
    return cross(
        plan.combinations(extractors, settings),
        *(plan.choices(list(names), "", settings) for names in (fusions, readouts, heads)),
    )


def test_single_rows_are_crossed_without_fusions_and_fused_ones_with():
    cells = crossed(["a/x", "b/y", "a/x+b/y"], ["concat", "gated"], ["mean", "attention"])
    assert [cell.title for cell in cells if cell.readout.name == "mean"] == [
        "a/x, mean, classification",
        "b/y, mean, classification",
        "a/x + b/y, concat, mean, classification",
        "a/x + b/y, gated, mean, classification",
    ]
    assert len(cells) == 8
    assert len({cell.slug for cell in cells}) == 8


def test_what_is_named_twice_is_one_row():
    assert len(crossed(["a/x", "a/x"], readouts=["mean", "mean"])) == 1


def test_a_cell_survives_its_record():
    (cell,) = crossed(["a/x+b/y"], **{"a/x": {"options": {"width": 3}, "freeze": True}})
    assert Cell.from_dict(cell.as_dict()) == cell
    assert Cell.from_dict(cell.as_dict()).slug == cell.slug
    with pytest.raises(RunError, match="no cell of a comparison"):
        Cell.from_dict({"extractors": []})


def test_options_make_another_cell_and_are_told_where_names_are_the_same():
    plain, wide = crossed(["a/x"]) + crossed(["a/x"], **{"a/x": {"options": {"width": 3}}})
    assert plain.slug != wide.slug
    assert labels([plain, wide]) == ["a/x", "a/x (width=3)"]
    assert labels([wide]) == ["a/x"]


def test_labels_name_the_parts_in_which_rows_differ():
    assert labels(crossed(["a/x", "a/x+b/y"], ["gated"])) == ["a/x", "a/x + b/y, gated"]
    assert labels(crossed(["a/x"], readouts=["mean", "attention"])) == ["a/x, mean", "a/x, attention"]


def test_overrides_of_components_and_of_all_rows():
    base, settings = plan.divide(
        ["train.epochs=3", "i3d/inception.k400.options.outputs=[mixed_5c]", "i3d/inception.freeze=true"],
        ["i3d/inception", "i3d/inception.k400", "mean"],
    )
    assert base == ["train.epochs=3"]
    assert settings == {
        "i3d/inception.k400": {"options": {"outputs": ["mixed_5c"]}},
        "i3d/inception": {"freeze": True},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("extractors.0.freeze=true", "the rows of a comparison differ in this; options of one component are given"),
        ("a/x.options.width=[", "is not valid YAML"),
    ],
)
def test_wrong_overrides(override, message):
    with pytest.raises(ConfigError, match=message):
        plan.divide([override], ["a/x"])


def test_a_plain_value_has_no_keys():
    with pytest.raises(ConfigError, match="'freeze' was given a plain value before"):
        plan.divide(["a/x.freeze=true", "a/x.freeze.b=1"], ["a/x"])


def test_wrong_names():
    with pytest.raises(ConfigError, match=r"'a/x\+' is no extractor: write A for one and A\+B"):
        plan.combinations(["a/x+"], {})
    with pytest.raises(ConfigError, match=r"unknown key 'mean\.freeze'"):
        plan.choices(["mean"], "mean", {"mean": {"freeze": True}})
    with pytest.raises(ConfigError, match=r"unknown key 'a/x\.freze'; did you mean 'a/x\.freeze'\?"):
        plan.combinations(["a/x"], {"a/x": {"freze": True}})


def test_everything_that_can_be_chosen_for_an_extractor():
    _, settings = plan.divide(["a/x.lora.rank=4", "a/x.options.deep.er=1", "a/x.freeze=false"], ["a/x"])
    ((choice,),) = plan.combinations(["a/x"], settings)
    assert (choice.lora.rank, choice.options, choice.freeze) == (4, {"deep": {"er": 1}}, False)
    plain, adapted = crossed(["a/x"]) + crossed(["a/x"], **settings)
    assert labels([plain, adapted]) == ["a/x", "a/x (deep={er: 1}, freeze=false, lora={rank: 4})"]


def test_the_base_makes_the_choices_that_rows_would_make_apart(tmp_path):
    found = plan.combinations(["basic/keypoints", "i3d/inception"], {})
    config = plan.base_config(None, plan.given("trajectories", None, None), [], None, found, installed())
    assert (config.train.folds, config.train.refit, config.data.jitter) == (5, False, False)
    assert config.train.precision is not None
    assert (config.data.sampling, config.data.frames) == ("published", None)


def test_rows_that_share_their_frames_see_as_many_as_one_of_them_takes():
    found = plan.combinations(["basic/keypoints", "slowfast/r50_8x8"], {})
    asked = plan.given("trajectories", None, {"data": {"sampling": "uniform"}})
    config = plan.base_config(None, asked, [], None, found, installed())
    assert (config.data.sampling, config.data.frames) == ("uniform", 32)


def test_the_sources_of_the_base_in_order(tmp_path):
    file = tmp_path / "base.yaml"
    file.write_text("train: {epochs: 3, folds: 4}\ndata: {frames: 8}\n")

    def made(file, given, overrides=(), before=None):
        return plan.base_config(file, given, overrides, before, (), installed())

    config = made(file, plan.given(None, None, None))
    assert (config.train.epochs, config.train.folds, config.data.frames) == (3, 4, 8)
    config = made(file, plan.given(None, 0, None), ["train.epochs=7"])
    assert (config.train.epochs, config.train.folds) == (7, None)
    before = run_config({"data": {"frames": 4, "jitter": False}, "train": {"epochs": 2, "folds": None}})
    config = made(None, plan.given(None, None, None), ["train.lr=0.5"], before)
    assert (config.train.epochs, config.train.folds, config.train.lr, config.data.frames) == (2, None, 0.5, 4)


def test_a_path_means_the_same_from_everywhere(tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    monkeypatch.chdir(tmp_path)
    config = plan.base_config(None, plan.given("videos", None, None), [], None, (), installed())
    assert config.data.source == str(tmp_path / "videos")
    assert plan.default_folder(None, plan.given("videos", None, None)).as_posix() == "comparisons/videos"


def test_cheap_extractors_come_first():
    small, large = ((ExtractorChoice(name=name),) for name in ("basic/naive_cnn", "basic/patch_transformer"))
    assert guess(small, installed()) < guess(large, installed()) < guess(small + large, installed())


def test_costs_of_fused_extractors_are_sums():
    one = Cost(100, 10.0, 0.2, 10.0, 1000, 8, "cpu")
    both = together([one, Cost(50, 5.0, 0.1, 5.0, 500, 4, "cpu")])
    assert (both.parameters, both.flops, both.peak_memory, both.width) == (150, 15.0, 1500, 12)
    assert both.latency == pytest.approx(0.3)
    # 0.1 s and 0.2 s per clip after each other.
    assert both.throughput == pytest.approx(1 / 0.3)
    assert together([one, Cost(1, None, 0.1, 1.0, None, 1, "cpu")]).flops is None


def test_the_pareto_front_by_hand():
    def point(cost, score):
        return Point(0, cost, score, None, False)

    front = pareto_front([point(3, 0.9), point(1, 0.5), point(2, 0.4), point(3, 0.8), point(9, 0.9), point(4, 0.95)])
    assert [(p.cost, p.score) for p in front] == [(1, 0.5), (3, 0.9), (4, 0.95)]
    errors = pareto_front([point(1, 0.5), point(2, 0.6), point(3, 0.4)], lower_is_better=True)
    assert [(p.cost, p.score) for p in errors] == [(1, 0.5), (3, 0.4)]
