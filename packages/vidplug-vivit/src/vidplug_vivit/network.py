"""The factorised causal ViViT: attention over space, then causal attention over time."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .architecture import Architecture
from .blocks import Block, make_norm
from .positions import PositionEncoding
from .tokenizer import Tokenizer


class FactorisedViViT(nn.Module):
    """Video Transformer with a spatial encoder followed by a causal temporal encoder.

    The "factorised encoder" of ViViT (Arnab et al., arXiv:2103.15691, model 2) without pooling between the two,
    so that every grid cell keeps its own time course; with the parts that made it a model of mouse visual
    cortex in ViV1T (Li et al., third place of Sensorium 2023, github.com/bryanlimy/ViV1T, and
    doi:10.1101/2025.09.16.676524): rotary positions, SwiGLU, registers, patch dropout, stochastic depth. Unlike there,
    time is always causal, patches do not overlap, space is rotated by row and column rather than by one running
    index, and registers serve the spatial stage alone.

        tokens    (B, C, T, H, W)        ->  (B, T', P, D)      3D convolution, norm, patch dropout
        space     (B * T', R + P, D)     ->  same               R registers first, removed afterwards
        time      (B * P, T', D)         ->  same               step t sees steps 0 .. t
        output    (B, D, T', H', W')     with P = H' * W' and H', W' the clip's own rows and columns / patch

    Output step t depends on frames up to ``(t + 1) * patch_size[0] - 1`` and on none after, whatever the clip's
    length: the first steps of a long clip are those of its beginning alone.

    Args:
        architecture: the numbers; ``SMALL`` and ``BASE`` in ``architecture`` are the two published here.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        learned = a.learned_grid
        self.tokenizer = Tokenizer(a)
        self.spatial_position = PositionEncoding(
            a.spatial_position,
            width=a.width,
            head_dim=a.head_dim,
            base=a.rope_base,
            learned=learned[1:] if learned else None,
        )
        self.temporal_position = PositionEncoding(
            a.temporal_position,
            width=a.width,
            head_dim=a.head_dim,
            base=a.rope_base,
            learned=learned[:1] if learned else None,
        )
        self.registers = nn.Parameter(torch.empty(a.registers, a.width)) if a.registers else None
        self.spatial_blocks = nn.ModuleList(Block(a, causal=False) for _ in range(a.spatial_depth))
        self.temporal_blocks = nn.ModuleList(Block(a, causal=True) for _ in range(a.temporal_depth))
        self.final_norm = make_norm(a.norm, a.width) if a.final_norm else nn.Identity()
        self._initialise()

    def _initialise(self) -> None:
        # ViV1T's: linear weights of sd 0.02, no bias; the convolution keeps torch's, since a norm follows it.
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.registers is not None:
            nn.init.trunc_normal_(self.registers, std=0.02)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the maps that :meth:`forward_layers` gives, in the order of the network."""
        spatial = (f"spatial{i}" for i in range(len(self.spatial_blocks)))
        temporal = (f"temporal{i}" for i in range(len(self.temporal_blocks)))
        return ("tokens", *spatial, *temporal, "output")

    def forward(self, clip: Tensor) -> Tensor:
        """Encode a clip.

        Args:
            clip: (B, C, T, H, W) floating point, already normalised; T, H and W multiples of ``patch_size``.

        Returns:
            (B, D, T', H', W').

        Raises:
            ValueError: the clip's shape or dtype does not fit; the message says what would.
        """
        return self.forward_layers(clip, ("output",))["output"]

    def forward_layers(self, clip: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Encode a clip and keep inner layers.

        Args:
            clip: as for :meth:`forward`.
            names: of :attr:`layers`; ``tokens`` is the tokenizer's output, ``spatial3`` that of the fourth spatial
                block without registers, ``output`` that of the last temporal block after the final norm, if any.

        Returns:
            The maps asked for, each (B, D, T', H', W'), in the order of the network; what lies behind the last one
            is not run.

        Raises:
            ValueError: a name is unknown, or the clip does not fit.
        """
        wanted = set(names)
        unknown = [name for name in names if name not in self.layers]
        if unknown:
            raise ValueError(f"no layer named '{unknown[0]}'; there are {', '.join(self.layers)}")
        if not clip.is_floating_point():
            raise ValueError(f"a clip is floating point and already normalised, got {clip.dtype}")
        steps, rows, columns = self.tokenizer.grid(tuple(clip.shape))
        kept: dict[str, Tensor] = {}

        tokens = self.tokenizer(clip)
        batch, _, cells, width = tokens.shape

        def keep(name: str, tokens: Tensor) -> bool:
            """Whether that was the last layer asked for."""
            if name in names:
                kept[name] = tokens.permute(0, 3, 1, 2).reshape(batch, width, steps, rows, columns)
            return len(kept) == len(wanted)

        if keep("tokens", tokens):
            return kept

        sequences, angles = self.spatial_position(tokens.flatten(0, 1), (rows, columns))
        sequences, angles = self._add_registers(sequences, angles)
        count = 0 if self.registers is None else len(self.registers)
        for i, block in enumerate(self.spatial_blocks):
            sequences = self._run(block, sequences, angles)
            tokens = sequences[:, count:].reshape(batch, steps, cells, width)
            if keep(f"spatial{i}", tokens):
                return kept

        sequences, angles = self.temporal_position(tokens.transpose(1, 2).flatten(0, 1), (steps,))
        for i, block in enumerate(self.temporal_blocks):
            sequences = self._run(block, sequences, angles)
            tokens = sequences.reshape(batch, cells, steps, width).transpose(1, 2)
            if keep(f"temporal{i}", tokens):
                return kept
        keep("output", self.final_norm(tokens))
        return kept

    def _add_registers(self, sequences: Tensor, angles: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.registers is None:
            return sequences, angles
        registers = self.registers.to(sequences.dtype).expand(len(sequences), -1, -1)
        if angles is not None:
            # A register has no place in the grid; angle zero leaves its queries and keys as they are.
            angles = torch.cat((angles.new_zeros(len(self.registers), angles.shape[1]), angles))
        return torch.cat((registers, sequences), dim=1), angles

    def _run(self, block: nn.Module, sequences: Tensor, angles: Tensor | None) -> Tensor:
        recompute = self.architecture.gradient_checkpointing and self.training and torch.is_grad_enabled()
        args = (sequences, angles)
        encoded: Tensor = checkpoint(block, *args, use_reentrant=False) if recompute else block(*args)
        return encoded
