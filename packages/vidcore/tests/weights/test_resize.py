"""The three rules for tensors of another shape keep what they promise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from vidcore.weights import adapt_channels, inflate
from vidcore.weights._resize import resize


def test_inflated_kernel_answers_a_still_clip_as_the_frame():
    kernel, frame = torch.randn(5, 3, 3, 3), torch.randn(1, 3, 8, 8)
    still = frame.unsqueeze(2).expand(-1, -1, 4, -1, -1)
    answer = F.conv3d(still, inflate(kernel, 4))
    torch.testing.assert_close(answer[:, :, 0], F.conv2d(frame, kernel))


@pytest.mark.parametrize(("published", "channels"), [(3, 1), (3, 2), (3, 4), (3, 6), (3, 7), (1, 3), (2, 3)])
def test_adapted_channels_answer_a_grey_clip_as_before(published, channels):
    kernel, grey = torch.randn(4, published, 3, 3), torch.randn(1, 1, 6, 6)
    wanted = F.conv2d(grey.expand(-1, published, -1, -1), kernel)
    adapted = adapt_channels(kernel, channels)
    assert adapted.shape == (4, channels, 3, 3)
    torch.testing.assert_close(F.conv2d(grey.expand(-1, channels, -1, -1), adapted), wanted)


def test_more_channels_repeat_the_published_ones_in_turn():
    kernel = torch.randn(2, 3, 1, 1)
    adapted = adapt_channels(kernel, 5)
    torch.testing.assert_close(adapted[:, 3], kernel[:, 0] / 2)
    torch.testing.assert_close(adapted[:, 2], kernel[:, 2])


def test_inflation_and_channels_together():
    tensor, rule = resize("stem.weight", torch.ones(2, 3, 3, 3), (2, 1, 5, 3, 3), adapt=True)
    assert tensor.shape == (2, 1, 5, 3, 3)
    torch.testing.assert_close(tensor, torch.full_like(tensor, 3 / 5))
    assert rule == "2D to 3D, repeated 5 times and divided, 3 to 1 input channels"


def test_inner_convolutions_do_not_change_channels():
    assert resize("block.weight", torch.ones(8, 1, 3, 3), (8, 2, 3, 3), adapt=True) is None
    assert resize("stem.weight", torch.ones(8, 1, 3, 3), (8, 3, 3, 3), first=True, adapt=True) is not None
    assert resize("block.weight", torch.ones(8, 64, 3, 3), (8, 32, 3, 3), first=True, adapt=True) is None


@pytest.mark.parametrize("tokens", [0, 1, 2, 5])
@pytest.mark.parametrize("batched", [True, False])
def test_square_position_tables(tokens, batched):
    rows = torch.linspace(0, 1, 14).reshape(14, 1).expand(14, 14)
    table = torch.cat([torch.full((tokens, 1), 9.0), rows.reshape(-1, 1)])
    shape = (tokens + 28 * 28, 1)
    given, wanted = (table[None], (1, *shape)) if batched else (table, shape)
    tensor, rule = resize("vit.pos_embed", given, wanted)
    assert tensor.shape == wanted
    assert rule.startswith("14x14 to 28x28, bicubic")
    flat = tensor.reshape(shape)
    assert (flat[:tokens] == 9).all()
    grid = flat[tokens:].reshape(28, 28)
    # A ramp over rows stays one: constant along columns, and linear away from the edges.
    torch.testing.assert_close(grid, grid[:, :1].expand(28, 28))
    torch.testing.assert_close(grid[6:22, 0].diff(), torch.full((15,), 1 / 26), atol=1e-3, rtol=0)


def test_half_precision_tables():
    tensor, _ = resize("embeddings.position_embeddings", torch.randn(1, 17, 6).half(), (1, 26, 6))
    assert tensor.dtype == torch.float16


def test_time_tables_are_linear():
    table = torch.arange(8.0).reshape(1, 8, 1)
    tensor, rule = resize("timesformer.embeddings.time_embeddings", table, (1, 16, 1))
    torch.testing.assert_close(tensor[0, 1:-1, 0].diff(), torch.full((13,), 0.5))
    assert rule == "linear in time, 8 to 16 steps"


def test_declared_grid_of_steps_rows_and_columns():
    # 16 steps of 14 x 14 are 56 squared: without the grid they would be taken for one frame.
    steps = torch.arange(16.0).reshape(16, 1, 1).expand(16, 14, 14)
    table = torch.cat([torch.full((1, 1), -1.0), steps.reshape(-1, 1)])[None]
    tensor, rule = resize("position_embeddings", table, (1, 1 + 8 * 196, 1), grid=(8, 14, 14))
    by_step = tensor[0, 1:].reshape(8, 14, 14)
    torch.testing.assert_close(by_step, by_step[:, :1, :1].expand(8, 14, 14))
    torch.testing.assert_close(by_step[:, 0, 0], torch.arange(8.0) * 2 + 0.5)
    assert rule == "16x14x14 to 8x14x14, linear in time, 1 leading tokens kept"
    tensor, rule = resize("position_embeddings", table, (1, 1 + 16 * 100, 1), grid=(16, 10, 10))
    torch.testing.assert_close(tensor[0, 1:].reshape(16, 100).mean(1), torch.arange(16.0))
    assert rule == "16x14x14 to 16x10x10, bicubic, 1 leading tokens kept"


def test_declared_grid_that_is_not_square():
    tensor, rule = resize("positions.table", torch.randn(16, 4), (4 * 6, 4), grid=(4, 6))
    assert tensor.shape == (24, 4)
    assert rule == "4x4 to 4x6, bicubic"


@pytest.mark.parametrize(
    ("name", "published", "wanted"),
    [
        ("pos_embed", (1, 17, 6), (1, 26, 8)),
        ("pos_embed", (1, 18, 6), (1, 26, 6)),
        ("head.weight", (400, 16), (174, 16)),
        ("relative_position_bias_table", (169, 4), (225, 4)),
    ],
)
def test_what_no_rule_fits(name, published, wanted):
    assert resize(name, torch.ones(published), wanted) is None
