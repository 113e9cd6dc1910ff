"""Copies, folding, MViT's attention: what is done to a network before any engine sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video.mvit import MultiscaleAttention
from vidcore.errors import ShapeError
from vidcore.runtime._clip import leaves, rebuild, signature, skeleton
from vidcore.runtime._copy import replace, share
from vidcore.runtime._fold import PairFinder, fold
from vidcore.runtime._job import Job
from vidcore.runtime._network import ready
from vidcore.runtime._relative_attention import RelativeAttention, use_relative_attention


def test_clip_of_any_structure_is_flattened_and_rebuilt() -> None:
    a, b, c = torch.zeros(1, 2), torch.ones(1, 3), torch.ones(1, 4)
    clip = {"slow": a, "fast": [b, {"flow": c}]}
    flat = leaves(clip)
    assert [t.shape[1] for t in flat] == [2, 3, 4]
    again = rebuild(skeleton(clip), iter(flat))
    assert again["slow"] is a
    assert again["fast"][1]["flow"] is c
    assert signature(flat)[0] == ((2,), "float32", "cpu")


def test_clip_of_something_else_is_refused() -> None:
    with pytest.raises(ShapeError, match="a clip is a tensor, or lists and mappings of tensors; got str"):
        leaves(["frames"])


def test_a_shared_copy_has_the_tensors_and_its_own_tree() -> None:
    inner = nn.Linear(2, 2)
    root = nn.Sequential(inner, nn.Sequential(inner)).train()
    copy = share(root)
    assert copy[0] is copy[1][0]
    assert copy[0].weight is inner.weight
    assert not copy[1].training
    assert root[1].training
    replace(copy, "1.0", nn.Identity())
    assert root[1][0] is inner


class _Net(nn.Module):
    def __init__(self, between: str = "") -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.between == "in place":
            y.relu_()
        if self.between == "other module":
            y = y.abs()
        out = self.norm(y)
        return out + self.norm(self.conv(x * 2)) if self.between == "twice" else out


def _pairs(net: nn.Module) -> list[tuple[str, str]]:
    finder = PairFinder(net)
    with torch.no_grad():
        net(torch.randn(1, 3, 8, 8))
    return finder.pairs()


def test_folding_gives_the_same_numbers_without_the_norm() -> None:
    torch.manual_seed(0)
    net = _Net().eval()
    x = torch.randn(2, 3, 8, 8)
    before = net.conv.weight.clone()
    copy = share(net)
    fold(copy, _pairs(net))
    assert isinstance(copy.norm, nn.Identity)
    torch.testing.assert_close(copy(x), net(x))
    assert torch.equal(net.conv.weight, before)
    assert isinstance(net.norm, nn.BatchNorm2d)


@pytest.mark.parametrize("between", ["in place", "other module", "twice"])
def test_nothing_is_folded_across_something_else(between: str) -> None:
    assert _pairs(_Net(between).eval()) == []


def test_a_rewrite_that_changes_the_numbers_is_taken_back(make: Any, kinds: Any) -> None:
    class Reused(kinds["one"]):  # type: ignore[misc]
        """Its convolution is read by someone else too, which folding would change."""

        def forward(self, clip: Tensor) -> Any:
            raw = self.conv(clip)
            maps = super().forward(clip) if self.training else None
            assert maps is None
            fmap = self.norm(raw) + raw
            return {"map": type(self).wrap(fmap)}

        @staticmethod
        def wrap(data: Tensor) -> Any:
            from vidcore.features import FeatureMap

            return FeatureMap(data, torch.arange(data.shape[2]).float())

    extractor = make(Reused, outputs=("map",))
    network = ready(extractor, torch.randn(1, 3, 8, 16, 16))
    (note,) = network.notes
    assert note.startswith("not rewritten: relative difference")
    assert isinstance(network.flat.extractor.norm, nn.BatchNorm3d)


@pytest.mark.parametrize(
    ("kernel_q", "stride_q", "stride_kv", "class_residual", "relative"),
    [
        ([3, 3, 3], [1, 2, 2], [1, 1, 1], False, True),
        ([3, 3, 3], [1, 1, 1], [1, 2, 2], True, True),
        ([], [], [1, 2, 2], False, True),
        ([3, 3, 3], [1, 2, 2], [1, 2, 2], False, False),
    ],
)
def test_relative_attention_gives_torchvisions_numbers(
    kernel_q: list[int], stride_q: list[int], stride_kv: list[int], class_residual: bool, relative: bool
) -> None:
    torch.manual_seed(0)
    attention = MultiscaleAttention(
        [4, 8, 8], 16, 24, 2, kernel_q, [3, 3, 3], stride_q, stride_kv, relative, class_residual, relative
    ).eval()
    if relative:
        for table in (attention.rel_pos_h, attention.rel_pos_w, attention.rel_pos_t):
            nn.init.normal_(table)
    root = nn.Sequential(attention)
    copy = share(root)
    assert use_relative_attention(copy)
    assert isinstance(copy[0], RelativeAttention)
    # A smaller grid than the one it was made for: the tables of positions are interpolated.
    for grid in ((4, 8, 8), (2, 4, 6)):
        x = torch.randn(2, 1 + grid[0] * grid[1] * grid[2], 16)
        with torch.no_grad():
            expected, thw = attention(x, grid)
            found, found_thw = copy[0](x, grid)
        assert found_thw == thw
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


class _Indexed(nn.Module):
    """Picks frames by indices it computes; ``write`` changes such a value in place."""

    def __init__(self, write: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([4.0]))
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        where = torch.linspace(0, 31, 8).long()
        if self.write:
            where[0] = 3
        return x[:, where] * self.scale.sqrt()


def test_what_does_not_depend_on_the_input_is_computed_once() -> None:
    x = torch.rand(1, 32)
    net = _Indexed(write=False).eval()
    job = Job(net, [x], [net(x)], 1)
    program = job.folded_program
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert [target for target in targets if "assert" not in target] == ["aten.index.Tensor", "aten.mul.Tensor"]
    assert torch.equal(program.module()(x)[0], net(x)[0])
    assert net.scale.item() == 4.0


def test_a_graph_that_writes_into_its_constants_is_left_alone() -> None:
    x = torch.rand(1, 32)
    net = _Indexed(write=True).eval()
    job = Job(net, [x], [net(x)], 1)
    assert job.folded_program is job.program
    assert torch.equal(job.folded_program.module()(x), net(x))


class _Filled(nn.Module):
    """Writes what it computes without its input into its input; what it writes elsewhere nobody reads."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones(4)
        mask[-1] = 0
        y = x * 2
        y[:, 0] = torch.arange(3.0)[1]
        return y


def test_writes_into_what_depends_on_the_input_stay() -> None:
    x = torch.rand(2, 32)
    net = _Filled().eval()
    job = Job(net, [x], [net(x)], 1)
    program = job.folded_program
    assert program is not job.program
    assert torch.equal(program.module()(x), net(x))
    assert not any("aten.ones" in str(node.target) for node in program.graph.nodes)
