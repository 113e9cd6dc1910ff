"""Published formats load as they are; broken and hostile files are refused in words."""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vidcore.errors import WeightsError
from vidcore.weights import digest, read_published, weights_file

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.tensor([1.0, -2.0])}


def assert_is_tensors(path):
    found = read_published(path).tensors
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def prefixed(prefix):
    return {prefix + name: tensor for name, tensor in TENSORS.items()}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(dict(TENSORS), id="flat, as rgb_imagenet.pt"),
        pytest.param(collections.OrderedDict(TENSORS), id="ordered dict"),
        pytest.param(
            {"epoch": 196, "model_state": dict(TENSORS), "optimizer_state": {"state": {0: {"m": torch.ones(3)}}}},
            id="PySlowFast",
        ),
        pytest.param({"state_dict": dict(TENSORS), "global_step": 3, "callbacks": {}}, id="Lightning"),
        pytest.param({"model": dict(TENSORS), "args": argparse.Namespace(lr=0.1, out=None)}, id="MAE with its args"),
        pytest.param({"module": prefixed("module."), "best": np.float64(0.7)}, id="DeepSpeed with a NumPy score"),
        pytest.param({"model": {"state_dict": prefixed("module._orig_mod.")}}, id="nested, parallel, compiled"),
        pytest.param({"state_dict": prefixed("_orig_mod.module.")}, id="compiled, parallel"),
        pytest.param({n: torch.nn.Parameter(t) for n, t in TENSORS.items()}, id="parameters"),
        pytest.param(
            {"state_dict": dict(TENSORS), "log": collections.defaultdict(list, a=[1]), "at": pathlib.Path("a/b")},
            id="a default dict and a path",
        ),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints(tmp_path, content, zipped):
    path = tmp_path / "published.pyth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_is_tensors(path)


def test_nested_networks_get_dotted_names(tmp_path):
    path = tmp_path / "vjepa.pt"
    torch.save({"encoder": prefixed("module."), "target_encoder": dict(TENSORS), "epoch": 3}, path)
    assert set(read_published(path).tensors) == {
        "encoder.module.conv.weight",
        "encoder.module.conv.bias",
        "target_encoder.conv.weight",
        "target_encoder.conv.bias",
    }


AVERAGES = {name: tensor + 10 for name, tensor in TENSORS.items()}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        pytest.param({"state_dict": TENSORS, "state_dict_ema": AVERAGES}, "state_dict_ema", id="timm"),
        pytest.param({"model": TENSORS, "model_ema": AVERAGES, "epoch": 3}, "model_ema", id="ConvNeXt"),
        pytest.param({"model_state": TENSORS, "ema_state": AVERAGES}, "ema_state", id="PySlowFast"),
        pytest.param(
            {
                "model": TENSORS,
                "model_ema": {**{f"module.{n}": t for n, t in AVERAGES.items()}, "n_averaged": torch.tensor(3)},
            },
            "model_ema",
            id="torchvision",
        ),
        pytest.param({"ema": AVERAGES}, "ema", id="the average alone"),
        pytest.param(
            {"state_dict": {**TENSORS, **{f"ema_model.{n}": t for n, t in AVERAGES.items()}}},
            "ema_model",
            id="Lightning",
        ),
        pytest.param(
            {"state_dict": {**TENSORS, **{f"model_ema.{n.replace('.', '')}": t for n, t in AVERAGES.items()}}},
            "model_ema",
            id="Open-MAGVIT2",
        ),
        pytest.param(
            {"state_dict": AVERAGES, "ema_state_dict": prefixed("module."), "message_hub": {}},
            "state_dict, as mmengine saves it",
            id="mmengine",
        ),
    ],
)
def test_averaged_weights_are_taken(tmp_path, content, where):
    path = tmp_path / "published.pth"
    torch.save(content, path)
    found = read_published(path)
    assert found.averaged == where
    assert {name: tensor.tolist() for name, tensor in found.tensors.items() if name in TENSORS} == {
        name: tensor.tolist() for name, tensor in AVERAGES.items()
    }


def test_averages_of_a_teacher(tmp_path):
    path = tmp_path / "dino.pth"
    torch.save({"student": prefixed("backbone."), "teacher": {f"backbone.{n}": t for n, t in AVERAGES.items()}}, path)
    found = read_published(path)
    assert found.averaged == "teacher"
    assert torch.equal(found.tensors["student.backbone.conv.bias"], AVERAGES["conv.bias"])


def test_what_has_no_average_keeps_its_value(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"model": {**TENSORS, "bn.running_mean": torch.ones(2)}, "ema": AVERAGES}, path)
    found = read_published(path).tensors
    assert torch.equal(found["bn.running_mean"], torch.ones(2))
    assert torch.equal(found["conv.bias"], AVERAGES["conv.bias"])


def test_what_is_no_average_of_the_network(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"model": TENSORS, "ema": {"loss.weight": torch.ones(2)}}, path)
    found = read_published(path)
    assert found.averaged == ""
    assert torch.equal(found.tensors["conv.bias"], TENSORS["conv.bias"])


def test_averages_that_cannot_be_told_apart(tmp_path):
    path = tmp_path / "w.pth"
    state = {"a.bc": torch.ones(1), "ab.c": torch.ones(1), "model_ema.abc": torch.ones(1)}
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"a\.bc and ab\.c share the average model_ema\.abc"):
        read_published(path)


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "other.index.json", "sub/model.pkl"])
def test_an_index_that_names_an_index(tmp_path, name):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(WeightsError, match=r"as one of its files; expected files that end in .safetensors or"):
        read_published(index)
    with pytest.raises(WeightsError, match=r"as one of its files"):
        digest(index)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_is_refused_without_bad_advice(tmp_path, protocol):
    path = tmp_path / "SLOWFAST_8x8_R50.pkl"
    path.write_bytes(pickle.dumps({"blobs": {"conv1_w": np.ones(3)}}, protocol=protocol))
    with pytest.raises(WeightsError) as caught:
        read_published(path)
    assert "weights_only" not in str(caught.value)
    assert "pickle" in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_safetensors_whatever_the_suffix(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    save_file(prefixed("module."), path, {"format": "pt"})
    assert_is_tensors(path)
    assert read_published(path).metadata == {"format": "pt"}


def test_sharded_files(tmp_path):
    (weight_name, weight), (bias_name, bias) = TENSORS.items()
    save_file({weight_name: weight}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({bias_name: bias}, tmp_path / "model-00002-of-00002.safetensors")
    names = {weight_name: "model-00001-of-00002.safetensors", bias_name: "model-00002-of-00002.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    assert weights_file(tmp_path) == index
    assert_is_tensors(index)
    before = digest(index)
    save_file({bias_name: bias + 1}, tmp_path / "model-00002-of-00002.safetensors")
    assert digest(index) != before
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"not beside it: model-00002-of-00002.safetensors"):
        read_published(index)


def test_folder_of_transformers(tmp_path):
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    assert_is_tensors(weights_file(tmp_path))
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError, match=r"holds none of: model.safetensors"):
        weights_file(tmp_path)


def fake_class(monkeypatch, module, name, base=object):
    """A class of a library that only the authors of the file have."""
    parent, _, _ = module.partition(".")
    for part in (parent, module):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    made = type(name, (base,), {"__module__": module})
    setattr(sys.modules[module], name, made)
    return made


def test_options_of_the_training_run_are_never_imported(tmp_path, monkeypatch):
    path = tmp_path / "lightning.ckpt"
    with monkeypatch.context() as authors:
        options = fake_class(authors, "omegaconf.dictconfig", "DictConfig")()
        options.learning_rate = 0.1
        attributes = fake_class(authors, "pytorch_lightning.utilities.parsing", "AttributeDict", dict)(depth=3)
        callback = fake_class(authors, "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
        content = {"state_dict": TENSORS, "cfg": options, "hyper_parameters": attributes, "callbacks": {callback: {}}}
        torch.save(content, path)
    assert_is_tensors(path)
    assert "omegaconf" not in sys.modules


def test_other_classes_are_refused_by_name(tmp_path):
    path = tmp_path / "whole_module.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear while it is read.*refused"):
        read_published(path)


class _Runs:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_does_not_run(tmp_path, zipped):
    path, marker = tmp_path / "hostile.pt", tmp_path / "ran"
    torch.save({"state_dict": TENSORS, "extra": _Runs(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"asks for \S*exec while it is read"):
        read_published(path)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_named(tmp_path):
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(path)
    with pytest.raises(WeightsError, match="is a TorchScript program, not a weights file"):
        read_published(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page, not weights"),
        (b"\n<html>quota exceeded</html>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"nothing of the kind, only text " * 20, "is not a whole weights file"),
        (bytes(range(256)) * 8, "is not a whole weights file"),
    ],
)
def test_what_is_no_weights_file(tmp_path, content, message):
    path = tmp_path / "download.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated_files(tmp_path, kind, share):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    tensors = {f"layer{i}.weight": torch.ones(40, 40) for i in range(4)}
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match="is not a whole"):
        read_published(path)


def test_files_without_tensors(tmp_path):
    path = tmp_path / "nothing.pth"
    torch.save({"state_dict": {}, "epoch": 1}, path)
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_published(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="holds no tensors"):
        read_published(path)


def test_absent_index_map(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    with pytest.raises(WeightsError, match="no 'weight_map'"):
        read_published(path)
