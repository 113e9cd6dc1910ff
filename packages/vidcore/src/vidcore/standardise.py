"""Standardisation of the streams before they meet: part of the model, fitted on the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vidcore.features import FeatureMap

_CONSTANT = 1e-6
"""A channel whose clips differ by less than this share of its mean magnitude is constant up to rounding."""
_FLATTEST = 0.1
"""Where clip means differ less than this share of what single tokens do, the tokens set the scale."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """Float64 statistics of one stream over some clips.

    mean         (D,) mean over clips of each clip's mean over its real steps and cells
    clip_std     (D,) standard deviation of the clip means (over n, as scikit-learn's ``StandardScaler``)
    token_std    (D,) standard deviation of single tokens about ``mean``, each clip counting alike
    """

    mean: Tensor
    clip_std: Tensor
    token_std: Tensor

    def gain(self) -> Tensor:
        """(D,) what centred features are multiplied by: one over the clips' standard deviation.

        A channel that is constant in the training rows gets 0: what differs from it later was never seen. A channel
        whose clip means hardly differ beside its tokens is scaled by a tenth of the tokens' deviation instead, so
        that readouts that look at single tokens are not given huge ones.
        """
        scale = torch.maximum(self.clip_std, _FLATTEST * self.token_std)
        size = torch.maximum(self.mean.abs(), self.token_std)
        alive = (self.token_std > _CONSTANT * self.mean.abs()) & (scale > _CONSTANT * size) & (scale > 0)
        return torch.where(alive, 1 / torch.where(alive, scale, torch.ones_like(scale)), torch.zeros_like(scale))


class Standardise(nn.Module):
    """Per stream and channel ``(x - mean) * gain``; the identity until ``set_statistics``.

    mean and gain are buffers: saved, loaded, exported and averaged over folds like every other tensor of the model.
    Streams without statistics (those of extractors that are trained) pass unchanged.

    Input   {s: (B, D_s, T_s, H_s, W_s)}
    Output  the same shapes

    Args:
        dims: channels D_s of every stream that is standardised.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.streams = tuple(dims)
        self._places = {name: str(place) for place, name in enumerate(dims)}
        for name, dim in dims.items():
            self.register_buffer(f"mean_{self._places[name]}", torch.zeros(dim))
            self.register_buffer(f"gain_{self._places[name]}", torch.ones(dim))

    def mean(self, stream: str) -> Tensor:
        """(D,) what is subtracted."""
        return self.get_buffer(f"mean_{self._places[stream]}")

    def gain(self, stream: str) -> Tensor:
        """(D,) what the rest is multiplied by."""
        return self.get_buffer(f"gain_{self._places[stream]}")

    @torch.no_grad()
    def set_statistics(self, found: Mapping[str, ChannelStatistics]) -> None:
        """Take the training rows' statistics of every stream."""
        for stream in self.streams:
            self.mean(stream).copy_(found[stream].mean)
            self.gain(stream).copy_(found[stream].gain())

    def forward(self, features: Mapping[str, FeatureMap]) -> dict[str, FeatureMap]:
        """{s: (B, D_s, T_s, H_s, W_s)} -> the same, standardised."""
        found = dict(features)
        for stream in self.streams:
            fmap = found[stream]
            mean, gain = (part[:, None, None, None] for part in (self.mean(stream), self.gain(stream)))
            found[stream] = replace(fmap, data=(fmap.data - mean) * gain)
        return found


def standardised(features: Mapping[str, FeatureMap], units: Sequence[Standardise]) -> dict[str, FeatureMap]:
    """Maps of U equally large sets of clips, one after the other, each set standardised by the module of its own."""
    found = dict(features)
    for stream in units[0].streams:
        fmap = found[stream]
        each = len(fmap.data) // len(units)
        mean = torch.stack([unit.mean(stream) for unit in units]).repeat_interleave(each, 0)[..., None, None, None]
        gain = torch.stack([unit.gain(stream) for unit in units]).repeat_interleave(each, 0)[..., None, None, None]
        found[stream] = replace(fmap, data=(fmap.data - mean) * gain)
    return found


class RunningStatistics:
    """``ChannelStatistics`` of a stream from clips that come in batches.

    Sums of squares are taken about the mean of the first batch, which keeps them exact where the mean is large.
    """

    def __init__(self) -> None:
        self.clips = 0
        self._origin = self._sum = self._clip_squares = self._token_squares = torch.zeros(0)

    def update(self, fmap: FeatureMap) -> None:
        """Add the clips of a map."""
        data = fmap.data.double()
        weight = torch.ones(len(data), fmap.steps, dtype=data.dtype, device=data.device)
        if (real := fmap.readable()) is not None:
            weight = real.to(data.dtype)
        weight = weight / weight.sum(1, keepdim=True)
        if not self.clips:
            self._origin = torch.einsum("bdthw,bt->d", data, weight) / (data[0, 0, 0].numel() * len(data))
            self._sum, self._clip_squares, self._token_squares = torch.zeros(3, *self._origin.shape).to(self._origin)
        centred = data - self._origin[:, None, None, None]
        means = torch.einsum("bdt,bt->bd", centred.mean((3, 4)), weight)
        self._sum += means.sum(0)
        self._clip_squares += means.square().sum(0)
        self._token_squares += torch.einsum("bdt,bt->d", centred.square().mean((3, 4)), weight)
        self.clips += len(data)

    def found(self) -> ChannelStatistics:
        """Of all clips so far."""
        shift = self._sum / self.clips
        clip, token = (
            (squares / self.clips - shift.square()).clamp(min=0).sqrt()
            for squares in (self._clip_squares, self._token_squares)
        )
        return ChannelStatistics(self._origin + shift, clip, token)
