from __future__ import annotations

import pytest
import torch
from vidcore.assemble import assemble, create
from vidcore.config import build_run_config
from vidcore.errors import ConfigError, UnknownNameError, WiringError
from vidcore.heads import TargetInfo

TARGETS = TargetInfo("class", ("left", "right"), (4, 4))
TINY = {"width": 16, "depth": 1, "heads": 2}


def model(*overrides, **tree):
    tree.setdefault("extractors", [{"name": "basic/patch_transformer", "options": TINY}])
    torch.manual_seed(0)
    return assemble(build_run_config(None, tree, overrides), TARGETS)


def video(batch=2):
    return torch.randint(0, 256, (batch, 8, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_composition_from_names_gives_logits():
    outputs = model("fusion.name=gated", "fusion.options.width=16", "readout.name=attention")(video())
    assert outputs["logits"].shape == (2, 2)


def test_two_extractors_are_two_streams_even_of_one_name():
    both = model(extractors=[{"name": "basic/patch_transformer", "options": TINY}] * 2)
    assert both.streams == ("basic/patch_transformer", "basic/patch_transformer#2")
    assert both.fusion.output.dim == 32


def test_encode_then_decide_is_forward():
    whole = model().eval()
    with torch.no_grad():
        assert torch.equal(whole.decide(whole.encode(video()))["logits"], whole(video())["logits"])


def test_each_stream_may_get_its_own_view():
    whole = model(
        extractors=[{"name": "basic/patch_transformer", "options": TINY}, {"name": "basic/naive_cnn"}],
    ).eval()
    views = {name: video() for name in whole.streams}
    with torch.no_grad():
        assert torch.equal(whole(views)["logits"], whole(video())["logits"])


def test_a_frozen_extractor_takes_no_gradient_and_stays_in_eval():
    frozen = model(extractors=[{"name": "basic/naive_cnn", "freeze": True}])
    extractor = frozen.extractor("basic/naive_cnn")
    before = {name: value.clone() for name, value in extractor.state_dict().items()}
    frozen.train()
    assert not extractor.training
    assert frozen.head.training
    frozen(video())["logits"].sum().backward()
    assert all(p.grad is None for p in extractor.parameters())
    assert all(p.grad is not None for p in frozen.head.parameters())
    assert all(torch.equal(before[name], value) for name, value in extractor.state_dict().items())


def test_padding_frames_do_not_change_the_answer():
    whole = model().eval()
    padded = torch.cat([video(), video()[:, -1:].expand(-1, 8, -1, -1, -1)], 1)
    mask = torch.arange(16).expand(2, -1) < 8
    with torch.no_grad():
        maps = whole.encode(padded, mask)
    assert maps["basic/patch_transformer"].mask.sum(1).tolist() == [4, 4]


def test_wiring_errors_come_before_any_forward():
    with pytest.raises(UnknownNameError, match="no readout named 'atention'\n  did you mean: attention"):
        model("readout.name=atention")
    with pytest.raises(ConfigError, match="unknown key 'widht'; did you mean 'width'"):
        model("extractors.0.options.widht=16")
    with pytest.raises(WiringError, match="reference 'x' is not a stream"):
        model("fusion.options.reference=x")


def test_create_gives_an_extractor_in_eval_mode():
    extractor = create("basic/patch_transformer", **TINY)
    assert not extractor.training
    assert extractor.extract(video()).shape == (2, 8, 16)
    with pytest.raises(ConfigError, match="names weights 'a', and options name 'b'"):
        create("basic/patch_transformer.a", weights="b")


def test_the_transformer_tells_a_clip_from_its_reverse_and_the_cnn_does_not():
    clip = video(1)
    for name, sees_order in (("basic/patch_transformer", True), ("basic/naive_cnn", False)):
        torch.manual_seed(0)
        extractor = create(name, **({} if name == "basic/naive_cnn" else TINY))
        with torch.no_grad():
            forward, backward = extractor.extract(clip).mean(1), extractor.extract(clip.flip(1)).mean(1)
        assert torch.allclose(forward, backward, atol=1e-5) is not sees_order
