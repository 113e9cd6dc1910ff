from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vidplug_magvit.architecture import VIDEO_TEST
from vidplug_magvit.convert import convert_published, published_state_dict
from vidplug_magvit.network import Tokenizer


@pytest.fixture(scope="module")
def raw() -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in Tokenizer(VIDEO_TEST).state_dict().items()}


def average_key(name: str) -> str:
    return "model_ema." + name.replace(".", "")


def lightning_file(path: Path, raw: dict[str, torch.Tensor]) -> dict:
    """Writes and reads a file with the layout of the published ones; every average is its weight plus one."""
    noise = {"loss.discriminator.main.0.weight": torch.ones(4, 3), "quantize.zero": torch.zeros(())}
    state = dict(raw) | noise
    state |= {average_key(name): tensor + 1 for name, tensor in raw.items()}
    state |= {
        "model_ema.decay": torch.tensor(0.999),
        "model_ema.num_updates": torch.tensor(7),
        "model_ema.lossdiscriminatormain0weight": torch.ones(4, 3),
    }
    torch.save({"epoch": 3, "global_step": 7, "pytorch-lightning_version": "2.4.0", "state_dict": state}, path)
    return torch.load(path, weights_only=True)


def test_moving_averages_are_preferred_and_load_strictly(tmp_path, raw):
    checkpoint = lightning_file(tmp_path / "video.ckpt", raw)
    tokenizer = Tokenizer(VIDEO_TEST)
    tokenizer.load_state_dict(published_state_dict(checkpoint), strict=True)
    for name, tensor in tokenizer.state_dict().items():
        assert torch.equal(tensor, raw[name] + 1), name


def test_what_is_no_part_of_the_tokenizer_is_dropped_and_listed(tmp_path, raw):
    conversion = convert_published(lightning_file(tmp_path / "video.ckpt", raw))
    assert conversion.dropped == (
        "loss.discriminator.main.0.weight",
        "quantize.zero",
        "model_ema.decay",
        "model_ema.num_updates",
        "model_ema.lossdiscriminatormain0weight",
    )
    assert set(conversion.averaged) == set(raw)
    assert conversion.raw == ()


def test_a_parameter_without_an_average_keeps_its_raw_value_and_is_named(raw):
    checkpoint = {"state_dict": dict(raw) | {average_key(name): tensor + 1 for name, tensor in raw.items()}}
    lonely = "encoder.conv_in.conv_1.weight"
    del checkpoint["state_dict"]["model_ema.encoderconv_inconv_1weight"]
    conversion = convert_published(checkpoint)
    assert conversion.raw == (lonely,)
    assert torch.equal(conversion.state[lonely], raw[lonely])


def test_a_bare_state_dict_is_taken_as_it_is(raw):
    conversion = convert_published(raw)
    assert conversion.state.keys() == raw.keys()
    assert conversion.averaged == ()


def test_an_average_without_its_parameter_is_dropped(raw):
    conversion = convert_published(dict(raw) | {"model_ema.encodergonebias": torch.zeros(1)})
    assert conversion.dropped == ("model_ema.encodergonebias",)


def test_another_kind_of_file_is_refused():
    with pytest.raises(ValueError, match=r"expected tensors named encoder\.\* and decoder\.\*, found head, model"):
        published_state_dict({"state_dict": {"model.blocks.0.weight": torch.ones(1), "head.bias": torch.ones(1)}})


def test_ambiguous_averages_are_refused():
    state = {"encoder.down.1.0.weight": torch.ones(1), "encoder.down.10.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"down\.1\.0\.weight and encoder\.down\.10\.weight share the moving average"):
        published_state_dict(state)


def test_an_average_of_another_shape_is_refused(raw):
    name = "encoder.conv_out.conv_1.bias"
    with pytest.raises(ValueError, match=rf"has shape \(2,\), {name} \(18,\)"):
        published_state_dict(dict(raw) | {average_key(name): torch.ones(2)})
