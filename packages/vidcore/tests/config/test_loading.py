from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vidcore.catalog import installed
from vidcore.config import RunConfig, build_run_config, component_config, run_config
from vidcore.errors import ConfigError


def message(*overrides, **tree):
    with pytest.raises(ConfigError) as caught:
        build_run_config(None, tree, overrides)
    return str(caught.value)


def test_defaults_are_the_embedded_job():
    config = build_run_config()
    assert config.extractors[0].name == "basic/keypoints"
    assert config.data.source == "trajectories"


def test_later_sources_win(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("train: {epochs: 2, lr: 0.5}\ndata: {source: videos}\n")
    config = build_run_config(file, {"data": {"source": "other"}}, ["train.lr=0.25", "readout.options.heads=2"])
    assert (config.train.epochs, config.train.lr) == (2, 0.25)
    assert config.data.source == "other"
    assert config.readout.options == {"heads": 2}


def test_overrides_leave_the_caller_s_choices_alone():
    choices = {"extractors": [{"name": "a", "options": {"width": 1}}]}
    assert build_run_config(None, choices, ["extractors.0.options.width=2"]).extractors[0].options == {"width": 2}
    assert choices == {"extractors": [{"name": "a", "options": {"width": 1}}]}


def test_another_component_does_not_inherit_options(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("readout: {name: attention, options: {heads: 2}}\n")
    assert build_run_config(file, {"readout": {"name": "attention"}}).readout.options == {"heads": 2}
    assert build_run_config(file, {"readout": {"name": "mean"}}).readout.options == {}


def test_an_override_reaches_into_the_list_of_extractors():
    config = build_run_config(None, {"extractors": [{"name": "a"}, {"name": "b"}]}, ["extractors.1.freeze=true"])
    assert [choice.freeze for choice in config.extractors] == [None, True]
    assert build_run_config(None, {}, ["extractors.0.options.width=64"]).extractors[0].options == {"width": 64}
    assert "'2' is not an index from 0 to 1" in message("extractors.2.freeze=true", extractors=[{"name": "a"}] * 2)


def test_unknown_keys_get_a_suggestion():
    assert message("train.epoch=3") == "unknown key 'train.epoch'; did you mean 'train.epochs'?"
    assert message("trian.epochs=3") == "unknown key 'trian'; did you mean 'train'?"
    assert message(extractors=[{"name": "a", "frozen": True}]) == (
        "unknown key 'extractors.0.frozen'; did you mean 'extractors.0.freeze'?"
    )
    assert message("data.zzzzzz=1").startswith("unknown key 'data.zzzzzz'; known keys: balance, frames, ")


def test_wrong_values_name_the_key_and_what_was_got():
    assert message("train.epochs=0") == "'train.epochs': input should be greater than or equal to 1; got 0"
    assert "'data.sampling': input should be 'published', 'uniform', 'dense' or 'strided'; got 'random'" in message(
        "data.sampling=random"
    )
    assert "val_fraction + test_fraction is 1.5; must be below 1" in message(
        "data.val_fraction=0.75", "data.test_fraction=0.75"
    )
    assert "at least one extractor is needed" in message(extractors=[])


def test_each_wrong_key_has_its_own_line():
    assert len(message("train.epoch=3", "train.lr=-1", "data.x=1").splitlines()) == 3


def test_malformed_overrides_and_files(tmp_path):
    assert message("train.epochs") == "'train.epochs' is not of the form key=value, for example train.epochs=3"
    assert "is a plain value and has no keys below it" in message("out.x=1", out="runs")
    assert "is not valid YAML" in message("train.lr={")
    file = tmp_path / "run.yaml"
    file.write_text("- a list\n")
    with pytest.raises(ConfigError, match="is not a mapping of keys to values"):
        build_run_config(file)
    file.write_text("!!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        build_run_config(file)
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent\.yaml"):
        build_run_config(tmp_path / "absent.yaml")


@given(st.integers(1, 10**6), st.floats(1e-8, 10.0), st.booleans())
def test_a_dumped_configuration_reads_back(epochs, lr, freeze):
    config = build_run_config(
        None, {"train": {"epochs": epochs, "lr": lr}, "extractors": [{"name": "a/b", "freeze": freeze}]}
    )
    assert run_config(config.model_dump(mode="json")) == config
    assert isinstance(config, RunConfig)


def test_component_options_are_checked_under_the_component_s_name():
    spec = installed().find("readout", "attention")[0].spec
    with pytest.raises(ConfigError) as caught:
        component_config(spec, {"haeds": 4, "queries": 0})
    assert str(caught.value) == (
        "readout 'attention':\n"
        "  'queries': input should be greater than or equal to 1; got 0\n"
        "  unknown key 'haeds'; did you mean 'heads'?\n"
        "  its options: vidcore info attention"
    )
