"""Recurrent networks over the steps."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts._steps import declared, held, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import RecurrentConfig


class Recurrent(Readout):
    """A recurrent network reads the steps, each averaged over space and normalised, in their order.

    Per clip the result is the state after the last real step; with ``bidirectional``, beside it, the state of
    the network that reads backwards after the first one. With ``causal`` or ``per_step`` it is the state at
    every step. Padded steps are skipped, wherever they are.

    Input   (B, D, T', H', W')
    Output  (B, width) or (B, T', width); 2 width with ``bidirectional``
    """

    config: RecurrentConfig

    def __init__(self, spec: ReadoutSpec, config: RecurrentConfig, features: FeatureInfo) -> None:
        per_step = config.causal or config.per_step
        super().__init__(declared(spec, per_step and not config.bidirectional), config, features)
        self.per_step = per_step
        self.norm = nn.LayerNorm(features.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.network = self._network()

    @abstractmethod
    def _network(self) -> nn.RNNBase:
        """The recurrent network, batch first."""

    @property
    def spatial(self) -> bool:
        """No: it reads the spatial mean."""
        return False

    @property
    def output(self) -> ReadoutInfo:
        """The width of the state."""
        return ReadoutInfo(self.config.width * (2 if self.config.bidirectional else 1), self.per_step)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, K) or (B, T', K)."""
        ordered = real_first(features)
        steps = self.dropout(self.norm(ordered.sequence()))
        states = held(self._read(steps, ordered.mask), features)
        if self.per_step:
            return states
        if not self.config.bidirectional:
            return states[:, -1]
        width = self.config.width
        return torch.cat([states[:, -1, :width], states[:, 0, width:]], 1)

    def _read(self, steps: Tensor, real: Tensor | None) -> Tensor:
        # Forwards, what comes after the last real step reaches no earlier one; backwards it would come first.
        if real is None or not self.config.bidirectional:
            states: Tensor = self.network(steps)[0]
            return states
        packed = pack_padded_sequence(steps, real.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.network(packed)[0], batch_first=True, total_length=steps.shape[1])[0]


class Gru(Recurrent):
    """A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078); see ``Recurrent``."""

    def _network(self) -> nn.RNNBase:
        c = self.config
        between = c.dropout if c.layers > 1 else 0.0
        return nn.GRU(
            self.features.dim, c.width, c.layers, batch_first=True, dropout=between, bidirectional=c.bidirectional
        )


class Lstm(Recurrent):
    """A long short-term memory (Hochreiter & Schmidhuber 1997; the hidden state is read); see ``Recurrent``."""

    def _network(self) -> nn.RNNBase:
        c = self.config
        between = c.dropout if c.layers > 1 else 0.0
        return nn.LSTM(
            self.features.dim, c.width, c.layers, batch_first=True, dropout=between, bidirectional=c.bidirectional
        )
