from __future__ import annotations

import pytest
import torch
from vidplug_magvit.architecture import VIDEO_TEST
from vidplug_magvit.convert import convert
from vidplug_magvit.network import Tokenizer


def test_what_is_no_part_of_the_tokenizer_is_dropped():
    raw = Tokenizer(VIDEO_TEST).state_dict()
    noise = {"loss.discriminator.main.0.weight": torch.ones(4, 3), "quantize.zero": torch.zeros(())}
    converted = convert({**raw, **noise, "model_ema.decay": torch.tensor(0.999)})
    assert converted.keys() == {f"tokenizer.{name}" for name in raw}


def test_another_kind_of_file_is_refused():
    with pytest.raises(ValueError, match=r"expected tensors named encoder\.\* and decoder\.\*, found head, model"):
        convert({"model.blocks.0.weight": torch.ones(1), "head.bias": torch.ones(1)})
