"""Published tensors of another shape: the three rules by which one may still fit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Class, distillation and register tokens that stand before the grid: none, CLS, CLS + distillation, CLS + 4 registers.
_PREFIX_TOKENS = (0, 1, 2, 5)
_POSITIONS = re.compile(r"(^|[._])pos(ition|itional)?_?(emb|embed|embedding|enc|encoding)s?([._]|$)")
_TIMES = re.compile(r"(^|[._])(time|temporal|frame)s?(_pos|_position)?(_?emb|_?embed|_?embedding)s?([._]|$)|_temporal$")


def resize(
    name: str,
    tensor: Tensor,
    wanted: Sequence[int],
    grid: tuple[int, ...] | None = None,
    first: bool = False,
    adapt: bool = False,
) -> tuple[Tensor, str] | None:
    """``tensor`` brought to the shape ``wanted``, and the rule in words; None where no rule applies.

    Args:
        name: of the parameter; position tables are known by it.
        tensor: as published.
        wanted: the parameter's shape.
        grid: (rows, columns) or (steps, rows, columns) of a position table, where the extractor says it.
        first: whether this is the network's first convolution.
        adapt: whether convolutions may be inflated in time, and the first one take other channels.
    """
    if _POSITIONS.search(name) or _TIMES.search(name) or grid:
        return _resize_positions(name, tensor, tuple(wanted), grid)
    return _resize_convolution(tensor, tuple(wanted), first) if adapt else None


def inflate(kernel: Tensor, steps: int) -> Tensor:
    """A 2D kernel (O, I, h, w) -> (O, I, steps, h, w): repeated in time and divided by ``steps``.

    A clip of one repeated frame then gives what the frame gave (Carreira & Zisserman 2017, arXiv:1705.07750).
    """
    return kernel.unsqueeze(2).repeat(1, 1, steps, 1, 1) / steps


def adapt_channels(kernel: Tensor, channels: int) -> Tensor:
    """A kernel (O, I, ...) -> (O, channels, ...) that answers a grey clip (all channels equal) as before.

    More channels than published: the published ones in turn, each divided by the number of its copies.
    Fewer: every channel is the sum over the published ones divided by ``channels``.
    """
    published = kernel.shape[1]
    if channels < published:
        mean = kernel.sum(1, keepdim=True) / channels
        return mean.expand(-1, channels, *kernel.shape[2:]).contiguous()
    source = torch.arange(channels, device=kernel.device) % published
    copies = torch.bincount(source, minlength=published).to(kernel.dtype)[source]
    return kernel[:, source] / copies.reshape(1, -1, *[1] * (kernel.ndim - 2))


def _resize_convolution(kernel: Tensor, wanted: tuple[int, ...], first: bool) -> tuple[Tensor, str] | None:
    rules = []
    if kernel.ndim not in (4, 5) or len(wanted) < kernel.ndim:
        return None
    if kernel.ndim == 4 and len(wanted) == 5:
        kernel = inflate(kernel, wanted[2])
        rules.append(f"2D to 3D, repeated {wanted[2]} times and divided")
    # Pixels enter as three channels; a kernel that reads one or two (grey, flow) is one of pixels where it comes first.
    pixels = kernel.shape[1] == 3 or (first and kernel.shape[1] < 3)
    if pixels and kernel.ndim == len(wanted) and kernel.shape[1] != wanted[1]:
        rules.append(f"{kernel.shape[1]} to {wanted[1]} input channels")
        kernel = adapt_channels(kernel, wanted[1])
    return (kernel, ", ".join(rules)) if rules and tuple(kernel.shape) == wanted else None


def _resize_positions(
    name: str, table: Tensor, wanted: tuple[int, ...], grid: tuple[int, ...] | None
) -> tuple[Tensor, str] | None:
    flat = table.reshape(table.shape[-2:]) if table.ndim == 2 or (table.ndim == 3 and table.shape[0] == 1) else None
    if flat is None or flat.shape[1] != wanted[-1] or math.prod(wanted[:-2]) != 1 or len(wanted) < 2:
        return None
    steps = wanted[-2]
    if grid is None and _TIMES.search(name):
        resized = _interpolate(flat, (len(flat),), (steps,))
        return resized.reshape(wanted), f"linear in time, {len(flat)} to {steps} steps"
    plan = _grids(len(flat), steps, grid)
    if plan is None:
        return None
    tokens, old, new = plan
    resized = torch.cat([flat[:tokens], _interpolate(flat[tokens:], old, new)])
    words = f"{_by(old)} to {_by(new)}, {'bicubic' if old[-2:] != new[-2:] else 'linear in time'}"
    return resized.reshape(wanted), words + (f", {tokens} leading tokens kept" if tokens else "")


def _grids(
    published: int, wanted: int, grid: tuple[int, ...] | None
) -> tuple[int, tuple[int, ...], tuple[int, ...]] | None:
    """Leading tokens, the published grid and the wanted one; square frames where nothing is declared."""
    if grid is None:
        for tokens in _PREFIX_TOKENS:
            old, new = _square(published - tokens), _square(wanted - tokens)
            if old and new:
                return tokens, (old, old), (new, new)
        return None
    tokens = wanted - math.prod(grid)
    cells = published - tokens
    if tokens < 0 or cells <= 0:
        return None
    if len(grid) == 2:
        old = _square(cells)
        return (tokens, (old, old), grid) if old else None
    # The frames change more often than the steps do; both at once cannot be told from a count.
    side = _square(cells // grid[0]) if cells % grid[0] == 0 else None
    if side:
        return tokens, (grid[0], side, side), grid
    area = grid[1] * grid[2]
    return (tokens, (cells // area, *grid[1:]), grid) if cells % area == 0 else None


def _interpolate(table: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """(prod(old), D) -> (prod(new), D): bicubic over rows and columns, linear over steps."""
    # float32: bicubic interpolation of half precision is not implemented on every device.
    grid = table.float().reshape(*old, -1).movedim(-1, 0)
    if len(old) != 2 and old[0] != new[0]:
        by_step = grid.reshape(1, -1, old[0], math.prod(old[1:])).transpose(2, 3).flatten(1, 2)
        by_step = F.interpolate(by_step, size=new[0], mode="linear", align_corners=False)
        grid = by_step.reshape(-1, *old[1:], new[0]).movedim(-1, 1)
    if len(old) > 1 and old[-2:] != new[-2:]:
        maps = grid.reshape(1, -1, *old[-2:])
        maps = F.interpolate(maps, size=new[-2:], mode="bicubic", align_corners=False, antialias=True)
        grid = maps.reshape(grid.shape[0], *new)
    return grid.movedim(0, -1).reshape(math.prod(new), -1).to(table.dtype)


def _square(cells: int) -> int | None:
    side = math.isqrt(cells) if cells > 0 else 0
    return side if side and side * side == cells else None


def _by(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))
