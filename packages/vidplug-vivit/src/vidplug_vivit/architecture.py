"""The numbers that define a factorised ViViT, checked once. No torch here, so a cold module may read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Position = Literal["rope", "learned", "sinusoidal"]
Norm = Literal["layer_norm", "rms_norm"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Hyper-parameters of :class:`~vidplug_vivit.network.FactorisedViViT`.

    Args:
        in_channels: channels of the clip: 3 for RGB; 1, plus one per behaviour signal, for neural data.
        width: D, channels of a token and of the output.
        spatial_depth: blocks that attend among the tokens of one time step.
        temporal_depth: blocks that attend, causally, among the time steps of one grid cell.
        heads: attention heads of every block.
        head_dim: channels of one head; ``heads * head_dim`` need not equal ``width``.
        feedforward_width: channels between the two linear maps of the SwiGLU, after the gate.
        patch_size: (frames, rows, columns) one token covers; kernel and stride of the tokenizer.
        norm: of tokens and blocks.
        spatial_position: how a token learns its row and column.
        temporal_position: how a token learns its time step.
        rope_base: base of the rotary and sinusoidal frequencies; 10,000 in RoFormer and ViV1T.
        learned_grid: (T', H', W') of the learned tables; wanted by ``learned`` and by nothing else.
        registers: tokens added to every time step during the spatial blocks only; 4 is what
            Darcet et al. (arXiv:2309.16588) recommend.
        patch_dropout: share of tokens zeroed during training, before positions are added.
        attention_dropout: of the attention's output, as ViV1T does; dropping attention *weights* would forfeit
            the memory the fused kernels save.
        feedforward_dropout: of the SwiGLU's hidden and output channels.
        stochastic_depth: share of residual branches skipped during training, the same in every block as in ViV1T.
        final_norm: normalise the output; ViV1T does not.
        gradient_checkpointing: recompute each block in the backward pass instead of keeping its activations.

    Raises:
        ValueError: a number is out of its range or contradicts another; the message names it.
    """

    in_channels: int = 3
    width: int = 192
    spatial_depth: int = 4
    temporal_depth: int = 4
    heads: int = 4
    head_dim: int = 48
    feedforward_width: int = 768
    patch_size: tuple[int, int, int] = (8, 8, 8)
    norm: Norm = "layer_norm"
    spatial_position: Position = "rope"
    temporal_position: Position = "rope"
    rope_base: float = 10_000.0
    learned_grid: tuple[int, int, int] | None = None
    registers: int = 0
    patch_dropout: float = 0.0
    attention_dropout: float = 0.0
    feedforward_dropout: float = 0.0
    stochastic_depth: float = 0.0
    final_norm: bool = False
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        for name in ("in_channels", "width", "spatial_depth", "temporal_depth", "heads", "head_dim"):
            self._at_least(name, getattr(self, name), 1)
        self._at_least("feedforward_width", self.feedforward_width, 1)
        self._at_least("registers", self.registers, 0)
        self._three("patch_size", self.patch_size)
        for name in ("patch_dropout", "attention_dropout", "feedforward_dropout", "stochastic_depth"):
            rate = getattr(self, name)
            if not 0 <= rate < 1:
                raise ValueError(f"{name} is a rate in [0, 1), got {rate}")
        if self.rope_base <= 1:
            raise ValueError(f"rope_base must exceed 1, got {self.rope_base}")
        self._one_of("norm", self.norm, get_args(Norm))
        self._one_of("spatial_position", self.spatial_position, get_args(Position))
        self._one_of("temporal_position", self.temporal_position, get_args(Position))
        self._check_positions()

    def _check_positions(self) -> None:
        # A rotary pair takes two channels, and space shares them between rows and columns; sinusoids likewise.
        wanted = {
            "rope": ("head_dim", self.head_dim),
            "sinusoidal": ("width", self.width),
        }
        for axes, kind in ((2, self.spatial_position), (1, self.temporal_position)):
            if kind in wanted:
                name, channels = wanted[kind]
                if channels % (2 * axes):
                    what = "spatial" if axes == 2 else "temporal"
                    raise ValueError(
                        f"{what}_position '{kind}' wants {name} to be a multiple of {2 * axes}, got {channels}"
                    )
        learned = "learned" in (self.spatial_position, self.temporal_position)
        if learned and self.learned_grid is None:
            raise ValueError(
                "a learned position wants learned_grid=(T', H', W'), the tokens of the clip it is trained on, got None"
            )
        if not learned and self.learned_grid is not None:
            raise ValueError(
                f"learned_grid={self.learned_grid} would be ignored: neither spatial_position nor temporal_position "
                "is 'learned'"
            )
        if self.learned_grid is not None:
            self._three("learned_grid", self.learned_grid)

    @staticmethod
    def _at_least(name: str, value: int, least: int) -> None:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")

    @staticmethod
    def _three(name: str, value: tuple[int, ...]) -> None:
        if len(value) != 3 or min(value) < 1:
            raise ValueError(f"{name} is three positive numbers (time, rows, columns), got {value}")

    @staticmethod
    def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
        if value not in allowed:
            raise ValueError(f"{name} is one of {', '.join(allowed)}, got '{value}'")


SMALL = Architecture()
BASE = Architecture(
    width=384,
    spatial_depth=6,
    temporal_depth=6,
    heads=6,
    head_dim=64,
    feedforward_width=1536,
    patch_size=(4, 4, 4),
)
