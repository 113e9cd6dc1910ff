"""Loading: what matches by name, what is resized, what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from vidcore.assemble import create
from vidcore.catalog import WeightsInfo
from vidcore.errors import WeightsError
from vidcore.weights import digest, find_weights, fit_weights, load_weights, save_converted


@pytest.fixture
def published(make_net, tmp_path):
    """A net of other values and the file its authors publish."""
    authors = make_net(seed=7)
    path = tmp_path / "published.pyth"
    torch.save({"model_state": authors.published(), "epoch": 5}, path)
    return authors, path


def assert_same(module, other):
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], tensor)


def test_load(make_net, published):
    authors, path = published
    module = make_net()
    report = load_weights(module, str(path))
    assert_same(module, authors)
    assert module.weights_report is report
    assert report.matched_fraction == 1.0
    assert report.left_over == ("head.weight", "head.bias")
    assert (report.missing, report.resized, report.mismatched) == ((), (), ())
    assert report.sha256 == digest(path)
    assert report.file == str(path) == report.source
    assert json.loads(json.dumps(report.as_dict()))["left_over"] == ["head.weight", "head.bias"]
    assert report.summary() == (
        f"tiny/net: weights published.pyth (sha256 {report.sha256[:12]}): all 7 needed tensors, 2 left over"
    )
    assert "left over (2)\n  head.weight\n  head.bias" in str(report)


def test_tag_with_its_digest(make_net, published, caches):
    authors, path = published
    cached = caches["torch"] / "hub" / "checkpoints" / "net.pyth"
    cached.parent.mkdir(parents=True)
    path.rename(cached)
    info = WeightsInfo(tag="k400", source="https://files.example.org/net.pyth", sha256=digest(cached)[:8])
    module = make_net(info)
    report = load_weights(module, "k400")
    assert_same(module, authors)
    assert report.verified
    assert report.source == "k400"
    cached.write_bytes(cached.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"is not the published file of tiny/net.k400"):
        load_weights(make_net(info), "k400")


def test_half_precision_file(make_net, tmp_path):
    authors = make_net(seed=7)
    path = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in authors.published().items()}, path)
    module = make_net()
    report = load_weights(module, str(path))
    assert module.conv.weight.dtype == torch.float32
    assert report.converted == ("float16",)
    assert "float16 converted" in report.line()
    torch.testing.assert_close(module.conv.weight, authors.conv.weight.half().float())


def test_too_little_is_an_error_and_changes_nothing(make_net, tmp_path):
    authors, module, untouched = make_net(seed=7), make_net(), make_net()
    state = authors.published()
    del state["backbone.conv.weight"]
    path = tmp_path / "partial.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(module, str(path))
    assert str(caught.value).splitlines() == [
        f"{path} does not fit tiny/net: 1 of the 7 tensors that its outputs need are missing or wrong",
        "  missing (1): conv.weight",
        "  left over (2): head.weight, head.bias",
    ]
    assert_same(module, untouched)
    assert not hasattr(module, "weights_report")


@pytest.mark.parametrize("name", ["proj.bias", "norm.weight", "norm.running_var", "conv.weight"])
def test_every_needed_tensor_must_be_there(make_net, tmp_path, name):
    state = make_net(seed=7).published()
    del state[f"backbone.{name}"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"1 of the 7 tensors .*\n  missing \(1\): {name}\n"):
        load_weights(make_net(), str(tmp_path / "w.pth"))


def test_what_no_output_reads_may_be_missing(make_net, tmp_path):
    state = make_net(seed=7).published()
    del state["backbone.proj.bias"], state["backbone.proj.weight"]
    torch.save(state, tmp_path / "w.pth")
    module = make_net()
    module.required_tensors = lambda: frozenset(name for name in module.state_dict() if "proj" not in name)
    report = load_weights(module, str(tmp_path / "w.pth"))
    assert (report.missing, report.spare, report.fits) == ((), ("proj.weight", "proj.bias"), True)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("conv.weight", lambda t: t.fill_(float("nan")), r"conv.weight \(324 of 324 values are not finite\)"),
        ("norm.running_mean", lambda t: t.fill_(float("inf")), r"norm.running_mean \(4 of 4 values are not finite"),
        ("proj.weight", lambda t: t.to(torch.int32), r"proj.weight \(int32, expected floating point\)"),
        ("proj.weight", lambda t: t.to(torch.int8), r"proj.weight \(int8, expected floating point\)"),
        ("proj.weight", lambda t: t.to(torch.float8_e4m3fn), r"proj.weight \(float8_e4m3fn, expected floating point\)"),
        ("conv.weight", lambda t: t.zero_(), r"conv.weight \(all zeros\)"),
        ("proj.weight", lambda t: t.zero_(), r"proj.weight \(all zeros\)"),
        ("norm.running_var", lambda t: t.zero_(), r"norm.running_var \(all zeros\)"),
        ("norm.running_var", lambda t: t.sub_(2), r"norm.running_var \(a variance below zero\)"),
        ("norm.weight", lambda t: t.zero_(), r"norm.weight \(all zeros, as every other gain\)"),
        ("conv.weight", lambda t: t.double().fill_(1e300), r"conv.weight \(324 of 324 values are not finite\)"),
    ],
)
def test_values_no_trained_network_has(make_net, tmp_path, name, change, message):
    state = make_net(seed=7).published()
    state[f"backbone.{name}"] = change(state[f"backbone.{name}"])
    torch.save(state, tmp_path / "w.pth")
    module, untouched = make_net(), make_net()
    with pytest.raises(WeightsError, match=rf"unfit \(1\): {message}"):
        load_weights(module, str(tmp_path / "w.pth"))
    assert_same(module, untouched)


@pytest.mark.parametrize("name", ["norm.bias", "proj.bias", "norm.running_mean", "second.weight", "scale"])
def test_where_training_starts_at_zero(make_net, tmp_path, name):
    class Residual(type(make_net())):
        def __init__(self, seed=0):
            super().__init__(seed=seed)
            self.second = nn.BatchNorm3d(4)
            self.scale = nn.Parameter(torch.full((1, 4, 1, 1, 1), 1e-5))

    authors = Residual(7)
    authors.state_dict()[name].zero_()
    torch.save(authors.published(), tmp_path / "w.pth")
    assert load_weights(Residual(), str(tmp_path / "w.pth")).fits


def test_a_table_that_the_network_itself_starts_at_zero(make_net, tmp_path):
    class Timed(type(make_net())):
        def __init__(self, seed=0):
            super().__init__(seed=seed)
            self.time_embed = nn.Parameter(torch.zeros(1, 8, 4))

    torch.save(Timed(7).published(), tmp_path / "w.pth")
    assert load_weights(Timed(), str(tmp_path / "w.pth")).fits


def test_batch_counters_may_be_missing(make_net, tmp_path):
    state = {name: tensor for name, tensor in make_net(seed=7).published().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pth")
    assert load_weights(make_net(), str(tmp_path / "w.pth")).missing == ()


@pytest.mark.parametrize(
    "prefix", ["model.", "module.model.", "teacher.", "network.module._orig_mod.", "encoder.", "module.ema_model."]
)
def test_usual_prefixes(make_net, tmp_path, prefix):
    authors, module = make_net(seed=7), make_net()
    torch.save({f"{prefix}{name}": t for name, t in authors.published().items()}, tmp_path / "w.pth")
    report = load_weights(module, str(tmp_path / "w.pth"))
    assert_same(module, authors)
    assert report.left_over == ("head.weight", "head.bias")


def test_a_classifier_beside_the_backbone_is_left_over(make_net, tmp_path):
    authors, module = make_net(seed=7), make_net()
    module.convert = dict
    torch.save(authors.published(), tmp_path / "w.pth")
    fitting = fit_weights(module, find_weights(module.spec, str(tmp_path / "w.pth"))).checked()
    assert fitting.report.prefix == "backbone."
    assert fitting.left_over.keys() == {"head.weight", "head.bias"}
    assert torch.equal(fitting.left_over["head.weight"], torch.ones(5, 8))


def test_hint_of_a_prefix(make_net, tmp_path):
    torch.save({f"x.y.{name}": tensor for name, tensor in make_net(seed=7).published().items()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"hint: the file's names begin with 'x.y.backbone.': without it 7 of the 7"):
        load_weights(make_net(), str(tmp_path / "w.pth"))


def test_an_unknown_layout_is_named(make_net, tmp_path):
    state = {f"backbone.layer1.0.conv{i}.conv.weight": torch.ones(2, 2) for i in range(4)}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_weights(make_net(), str(tmp_path / "w.pth"))
    assert (
        "hint: the file looks like mmaction2: its names begin with 'backbone.layer1.0.', and tiny/net has 'norm.'"
    ) in str(caught.value)


def test_hint_of_a_prefix_that_is_ours(make_net, tmp_path):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = make_net()
            self.spec = self.network.spec

        def convert(self, published):
            return self.network.convert(published)

    torch.save(make_net().published(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"hint: the file's names lack 'network\.' in front: with it 7 of the 7"):
        load_weights(Wrapped(), str(tmp_path / "w.pth"))


def test_a_flow_network_is_refused_for_pixels(make_net, tmp_path):
    state = make_net(seed=7).published()
    state["backbone.conv.weight"] = state["backbone.conv.weight"][:, :2]
    torch.save(state, tmp_path / "flow.pth")
    with pytest.raises(WeightsError) as caught:
        load_weights(make_net(), str(tmp_path / "flow.pth"))
    assert "of another shape (1): conv.weight: 4x2x3x3x3, expected 4x3x3x3x3" in str(caught.value)
    assert "conv.weight reads 2 channels in the file and 3 here" in str(caught.value)
    assert "adapt_weights=true" in str(caught.value)


def test_first_convolution_is_resized(make_net, tmp_path):
    authors, module = make_net(seed=7), make_net()
    state = authors.published()
    kernel = state["backbone.conv.weight"][:, :, 1]
    state["backbone.conv.weight"] = kernel
    torch.save(state, tmp_path / "image.pth")
    module.conv = nn.Conv3d(1, 4, 3, bias=False)
    with pytest.raises(WeightsError, match=r"repeated in time: adapt_weights=true"):
        load_weights(module, str(tmp_path / "image.pth"))
    module.config = SimpleNamespace(adapt_weights=True)
    report = load_weights(module, str(tmp_path / "image.pth"))
    torch.testing.assert_close(module.conv.weight[:, 0, 2], kernel.sum(1) / 3)
    assert [str(entry) for entry in report.resized] == [
        "conv.weight: 4x3x3x3 -> 4x1x3x3x3 (2D to 3D, repeated 3 times and divided, 3 to 1 input channels)"
    ]
    assert "1 resized" in report.summary()
    assert "resized (1)\n  conv.weight: 4x3x3x3" in str(report)


def test_other_shapes_are_named(make_net, tmp_path):
    state = make_net(seed=7).published()
    state["backbone.conv.weight"] = torch.ones(4, 8, 3, 3, 3)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"of another shape \(1\): conv.weight: 4x8x3x3x3, expected 4x3x3x3x3"):
        load_weights(make_net(), str(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("name", "shape"), [("proj.weight", (8, 4, 1, 1, 1)), ("norm.weight", (1, 4)), ("proj.bias", (8, 1, 1))]
)
def test_the_same_numbers_in_another_shape(make_net, tmp_path, name, shape):
    authors, module = make_net(seed=7), make_net()
    state = authors.published()
    state[f"backbone.{name}"] = state[f"backbone.{name}"].reshape(shape)
    torch.save(state, tmp_path / "w.pth")
    load_weights(module, str(tmp_path / "w.pth"))
    assert_same(module, authors)


def test_declared_grid_of_positions(make_net, tmp_path):
    class WithPositions(type(make_net())):
        def __init__(self, steps):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(1, steps * 4, 2))
            self.position_grids = {"table": (steps, 2, 2)}

    authors = WithPositions(4)
    authors.table.data += torch.arange(4.0).repeat_interleave(4)[None, :, None]
    torch.save(authors.published(), tmp_path / "w.pth")
    module = WithPositions(2)
    report = load_weights(module, str(tmp_path / "w.pth"))
    torch.testing.assert_close(module.table[0, ::4, 0].detach(), torch.tensor([0.5, 2.5]))
    assert report.resized[0].rule == "4x2x2 to 2x2x2, linear in time"


def test_shared_parameters_need_one_name(make_net, tmp_path):
    class Tied(type(make_net())):
        def __init__(self, seed=0):
            super().__init__(seed=seed)
            self.twin = nn.Linear(4, 8)
            self.twin.weight = self.proj.weight

    authors = Tied(7)
    state = authors.published()
    del state["backbone.twin.weight"]
    torch.save(state, tmp_path / "w.pth")
    module = Tied()
    report = load_weights(module, str(tmp_path / "w.pth"))
    assert report.missing == ()
    torch.testing.assert_close(module.twin.weight, authors.proj.weight)


def test_a_file_that_convert_does_not_know(make_net, tmp_path):
    class Strict(type(make_net())):
        def convert(self, published):
            return {"conv.weight": published["stem.kernel"]}

    torch.save({"other.weight": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"does not hold the published weights of tiny/net: it has no 'stem.kernel'"):
        load_weights(Strict(), str(tmp_path / "w.pth"))


def test_converted_file_loads_without_another_conversion(make_net, published, tmp_path):
    authors, path = published

    class Once(type(authors)):
        def convert(self, published):
            converted = super().convert(published)
            return {**converted, "proj.weight": converted["proj.weight"] * 2}

    module = Once()
    fitting = fit_weights(module, find_weights(module.spec, str(path))).checked()
    out = tmp_path / "folder" / "converted.safetensors"
    save_converted(out, fitting.report, fitting.state)
    assert [file.name for file in out.parent.iterdir()] == ["converted.safetensors"]
    report = load_weights(module, str(out))
    torch.testing.assert_close(module.proj.weight, authors.proj.weight * 2)
    assert report.left_over == ()


def test_saved_state_of_an_extractor_loads(make_net, tmp_path):
    authors, module = make_net(seed=7), make_net()
    module.convert = lambda _: pytest.fail("names that are ours already were converted")
    save_file(authors.state_dict(), tmp_path / "own.safetensors")
    load_weights(module, str(tmp_path / "own.safetensors"))
    assert_same(module, authors)


def test_meta_device(make_net, published):
    _, path = published
    with torch.device("meta"):
        module = make_net()
    assert fit_weights(module, find_weights(module.spec, str(path))).report.fits
    with pytest.raises(WeightsError, match="on the meta device"):
        load_weights(module, str(path))


def test_create_with_weights(tmp_path):
    options = {"width": 16, "depth": 1, "heads": 2}
    authors = create("basic/patch_transformer", **options)
    torch.save({"state_dict": {f"module.{n}": t for n, t in authors.state_dict().items()}}, tmp_path / "w.ckpt")
    extractor = create("basic/patch_transformer", weights=str(tmp_path / "w.ckpt"), **options)
    assert_same(extractor, authors)
    assert extractor.weights_report.matched_fraction == 1.0
    with pytest.raises(WeightsError, match=r"does not fit basic/naive_cnn: 20 of the 20 tensors"):
        create("basic/naive_cnn", weights=str(tmp_path / "w.ckpt"))
