"""Forensic statistics of single frames: (N, 1, H, W) luma in [0, 255] -> columns of (N, K)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .variants import BANDS

_BLOCK = 8
# A tenth of a grey level: below what eight bits resolve, so that flat frames give 0 instead of noise over noise.
_FLAT = 0.1


def luma(frames: Tensor) -> Tensor:
    """RGB (N, 3, H, W) in [0, 255] -> BT.601 luma (N, 1, h, w), edges repeated up to 16 pixels a side."""
    weights = frames.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    y = (frames * weights).sum(1, keepdim=True)
    below, right = (max(2 * _BLOCK - side, 0) for side in y.shape[2:])
    return F.pad(y, (0, right, 0, below), mode="replicate") if below or right else y


def noise(y: Tensor) -> Tensor:
    """(N, 7) statistics of the residual y - median3x3(y); order as ``variants.NOISE``.

    The residual keeps what a denoiser removes, sensor noise and its absence (Chen et al. 2008, who denoise by
    wavelets; the 3x3 median is the plain form). Unevenness is the coefficient of variation of the residual's
    deviation over 16x16 tiles: a pasted region has noise of another strength.
    """
    padded = F.pad(y, (1, 1, 1, 1), mode="replicate")
    height, width = y.shape[2:]
    shifts = [padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    residual = y - torch.stack(shifts).median(0).values
    flat = residual.flatten(1)
    centred = residual - residual.mean((2, 3), keepdim=True)
    variance = centred.square().mean((1, 2, 3))
    floor = _FLAT**2
    tiles = F.avg_pool2d(centred.square(), 2 * _BLOCK).sqrt().flatten(1)
    return torch.stack(
        [
            variance.sqrt(),
            flat.abs().mean(1),
            centred.pow(3).mean((1, 2, 3)) / (variance + floor).pow(1.5),
            centred.pow(4).mean((1, 2, 3)) / (variance + floor).square(),
            (centred[:, :, 1:] * centred[:, :, :-1]).mean((1, 2, 3)) / (variance + floor),
            (centred[:, :, :, 1:] * centred[:, :, :, :-1]).mean((1, 2, 3)) / (variance + floor),
            tiles.std(1, correction=0) / (tiles.mean(1) + _FLAT),
        ],
        1,
    )


def dct_bands(y: Tensor) -> Tensor:
    """(N, 14) statistics of the orthonormal 8x8 DCT on the grid from the top left; order as ``variants.DCT``.

    ``zeros`` is the share of coefficients that would round to zero: quantisation by a codec raises it.
    """
    height, width = (side // _BLOCK * _BLOCK for side in y.shape[2:])
    blocks = y[:, 0, :height, :width].unflatten(1, (-1, _BLOCK)).unflatten(3, (-1, _BLOCK)).transpose(2, 3)
    basis = _dct_basis(y)
    coefficients = (basis @ blocks @ basis.T).flatten(1, 2)
    flat = coefficients.flatten(2)
    columns = [flat[:, :, 0].std(1, correction=0) / _BLOCK]
    energy = {}
    for band, (first, last) in BANDS.items():
        # The indices are known without reading a tensor, so that this also runs on the meta device.
        chosen = [i for i in range(_BLOCK**2) if first <= i // _BLOCK + i % _BLOCK <= last]
        part = flat[:, :, chosen].flatten(1)
        square = part.square().mean(1)
        energy[band] = square * len(chosen)
        kurtosis = part.pow(4).mean(1) / (square + _FLAT**2).square()
        columns += [part.abs().mean(1), square.sqrt(), kurtosis, (part.abs() < 0.5).to(y.dtype).mean(1)]
    columns.append(energy["high"] / (sum(energy.values()) + _FLAT**2))
    return torch.stack(columns, 1)


def sharpness(y: Tensor) -> Tensor:
    """(N, 5) focus measures (Pertuz et al. 2013); order as ``variants.SHARPNESS``.

    Variance and mean magnitude of the 4-neighbour Laplacian, mean Sobel magnitude, Tenengrad (mean squared
    Sobel magnitude), Brenner (mean squared difference two pixels apart, both directions); energies as log(1 + x).
    """
    centre = y[:, :, 1:-1, 1:-1]
    laplacian = y[:, :, :-2, 1:-1] + y[:, :, 2:, 1:-1] + y[:, :, 1:-1, :-2] + y[:, :, 1:-1, 2:] - 4 * centre
    smooth_rows = y[:, :, :-2] + 2 * y[:, :, 1:-1] + y[:, :, 2:]
    smooth_columns = y[:, :, :, :-2] + 2 * y[:, :, :, 1:-1] + y[:, :, :, 2:]
    across = smooth_rows[:, :, :, 2:] - smooth_rows[:, :, :, :-2]
    down = smooth_columns[:, :, 2:] - smooth_columns[:, :, :-2]
    squared = across.square() + down.square()
    brenner = (y[:, :, 2:] - y[:, :, :-2]).square().mean((1, 2, 3)) + (y[:, :, :, 2:] - y[:, :, :, :-2]).square().mean(
        (1, 2, 3)
    )
    return torch.stack(
        [
            laplacian.flatten(1).var(1, correction=0).log1p(),
            laplacian.abs().mean((1, 2, 3)).log1p(),
            squared.sqrt().mean((1, 2, 3)),
            squared.mean((1, 2, 3)).log1p(),
            brenner.log1p(),
        ],
        1,
    )


def block_boundaries(y: Tensor) -> Tensor:
    """(N, 5) blockiness in [-1, 1]; order as ``variants.BLOCKS``.

    With D_k the mean absolute step between neighbours across position k of an 8-pixel period, the score is
    (D_7 - I) / (D_7 + I), I the mean of the seven other positions (the contrast of Wang et al. 2000 and Fan and
    de Queiroz 2003 between boundary and inside, bounded): 1 for flat blocks, 0 for noise or flat frames.
    ``any_phase`` is the highest score of the eight grids, for frames cropped after compression. Unevenness is
    the deviation of the row and column scores over a 2x2 division of the frame.
    """
    rows, columns = _scores(y, 2), _scores(y, 3)
    tall, wide = (side // (2 * _BLOCK) * _BLOCK for side in y.shape[2:])
    parts = [y[:, :, i : i + tall, j : j + wide] for i in (0, tall) for j in (0, wide)]
    local = torch.stack([_scores(part, axis)[:, -1] for part in parts for axis in (2, 3)], 1)
    unevenness = local.unflatten(1, (4, 2)).std(1, correction=0).mean(1)
    return torch.stack([rows[:, -1], columns[:, -1], rows.amax(1), columns.amax(1), unevenness], 1)


def _scores(y: Tensor, axis: int) -> Tensor:
    """(N, 8): the score of each phase of the grid along ``axis``."""
    steps = y.diff(dim=axis).abs()
    # A part of 8 pixels has no step at its last position: the boundary is then outside, and the step 0.
    profile = steps.mean((1, 5 - axis))
    padded = F.pad(profile, (0, -profile.shape[1] % _BLOCK))
    counts = F.pad(torch.ones_like(profile), (0, -profile.shape[1] % _BLOCK))
    totals = padded.unflatten(1, (-1, _BLOCK)).sum(1) / counts.unflatten(1, (-1, _BLOCK)).sum(1).clamp(min=1)
    others = (totals.sum(1, keepdim=True) - totals) / (_BLOCK - 1)
    return (totals - others) / (totals + others + _FLAT)


def _dct_basis(like: Tensor) -> Tensor:
    """Orthonormal DCT-II, (8 frequencies, 8 samples)."""
    rows = [
        [
            math.sqrt((1 if u == 0 else 2) / _BLOCK) * math.cos(math.pi * (2 * x + 1) * u / (2 * _BLOCK))
            for x in range(_BLOCK)
        ]
        for u in range(_BLOCK)
    ]
    return torch.tensor(rows, device=like.device, dtype=like.dtype)
