"""DINOv2 and DINOv3, frame by frame."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec
from vidcore.errors import ConfigError
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .config import DinoConfig, Dinov2Config
from .convert import convert_v2, convert_v3, is_original_v2
from .network import build_v2, build_v3, embed_v2
from .variants import VARIANTS

# interpolate_offset of the authors' models without registers (dinov2/hub/backbones.py of facebookresearch/dinov2).
_AUTHORS_OFFSET = 0.1


class FrameTransformer(Extractor):
    """A vision Transformer over each frame on its own; time is folded into the batch.

    Input   (B, 3, T, H, W), H and W multiples of the patch p
    Output  ``cls``        (B, D, T, 1, 1): the class token after the final norm
            ``patches``    (B, D, T, H/p, W/p): the patch tokens after the final norm
            ``registerI``  (B, D, T, 1, 1): register token I after the final norm
            ``blockI``     (B, D, T, H/p, W/p): the patch tokens block I gives, not normalised

    The default is ``cls``: the token whose k-NN and linear accuracy the papers report, and one vector
    a frame to store instead of a grid (256 times less at 224 pixels). A fusion or readout that looks at places takes
    ``patches``. Blocks after the last one asked for are not run.
    """

    config: DinoConfig

    def __init__(self, spec: ExtractorSpec, config: DinoConfig) -> None:
        super().__init__(spec, config)
        self.variant = VARIANTS[spec.name]
        sides = (config.size,) if isinstance(config.size, int) else config.size or ()
        if any(side % self.variant.patch for side in sides):
            good = " ".join(str(max(round(side / self.variant.patch), 1) * self.variant.patch) for side in sides)
            raise ConfigError(
                f"extractor {spec.name!r}: size {config.size} is not a multiple of its patch ({self.variant.patch}); "
                f"the nearest that is: {good}"
            )
        self.network = self._build()
        # Used in masked pretraining only: no feature depends on it, so it must not wait for a gradient.
        self.network.embeddings.mask_token.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_use_installed_names)

    @abstractmethod
    def _build(self) -> Any:
        """The transformers model."""

    @abstractmethod
    def _start(self, frames: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Tokens of (N, 3, H, W) frames and what every block gets beside them."""

    @abstractmethod
    def _layers(self) -> nn.ModuleList:
        """Blocks of the network."""

    @abstractmethod
    def _norm(self) -> Callable[[Tensor], Tensor]:
        """The final norm."""

    @property
    def clip(self) -> ClipFormat:
        """The declared format at the size of the options and with the statistics of the weights."""
        published = super().clip
        size = self.config.size
        if size is None:
            return replace(published, size=None, resize_short=None, size_multiple=self.variant.patch)
        sides = (size, size) if isinstance(size, int) else size
        assert published.size is not None
        short = published.resize_short
        if short is not None:
            # The published margin, 256 : 224, at any size.
            short = round(min(sides) * short / published.size[0])
        return replace(published, size=sides, resize_short=short)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Embeddings, then one module per Transformer block."""
        return [self.network.embeddings, *self._layers()]

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, H, W) -> the maps asked for, one step per frame."""
        batch, _, steps, height, width = clip.shape
        patch, registers = self.variant.patch, self.variant.registers
        grid = (height // patch, width // patch)
        inner = [int(name.removeprefix("block")) for name in self.output_names if name.startswith("block")]
        final = len(inner) < len(self.output_names)
        depth = self.variant.depth if final else max(inner) + 1
        tokens, extra = self._start(clip.transpose(1, 2).flatten(0, 1))
        found: dict[str, Tensor] = {}
        for index, layer in zip(range(depth), self._layers(), strict=False):
            tokens = layer(tokens, **extra)
            if index in inner:
                found[f"block{index}"] = tokens[:, 1 + registers :]
        if final:
            normed = self._norm()(tokens)
            found |= {f"register{i}": normed[:, 1 + i : 2 + i] for i in range(registers)}
            found |= {"cls": normed[:, :1], "patches": normed[:, 1 + registers :]}
        times = step_times(steps, 1, clip)
        return {name: FeatureMap(_as_map(found[name], batch, grid), times) for name in self.output_names}


class Dinov2Extractor(FrameTransformer):
    """DINOv2 (Oquab et al. 2023, arXiv:2304.07193), with registers Darcet et al. 2023, arXiv:2309.16588.

    Without registers, the buffer ``position_offset`` goes with the weights: it says by whose rule their position table
    is interpolated, so a trained model that is saved and loaded keeps it.
    """

    config: Dinov2Config

    def __init__(self, spec: ExtractorSpec, config: Dinov2Config) -> None:
        super().__init__(spec, config)
        # A plain number beside the buffer: traced and exported networks take no number out of a tensor.
        self._published_offset = 0.0
        if not self.variant.registers:
            self.register_buffer("position_offset", torch.tensor(0.0))
        self.register_load_state_dict_post_hook(_read_offset)

    @property
    def offset(self) -> float:
        """What is added to the grid: the option, else what the publisher of the weights adds."""
        asked = self.config.position_offset
        return self._published_offset if asked is None else asked

    def _build(self) -> Any:
        return build_v2(self.variant)

    def _start(self, frames: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return embed_v2(self.network, frames, self.offset), {}

    def _layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.network.encoder.layer
        return layers

    def _norm(self) -> Callable[[Tensor], Tensor]:
        norm: nn.LayerNorm = self.network.layernorm
        return norm

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's safetensors and the authors' ``dinov2_vit*14_pretrain.pth`` alike."""
        tensors = {name: value for name, value in published.items() if name != "position_offset"}
        found = _own(convert_v2(tensors, self.network.state_dict()))
        if not self.variant.registers:
            offset = torch.tensor(_AUTHORS_OFFSET if is_original_v2(tensors) else 0.0)
            found["position_offset"] = published.get("position_offset", offset)
        return found


class Dinov3Extractor(FrameTransformer):
    """DINOv3 (Siméoni et al. 2025, arXiv:2508.10104): rotary positions, four registers."""

    def _build(self) -> Any:
        return build_v3(self.variant)

    def _start(self, frames: Tensor) -> tuple[Tensor, dict[str, Any]]:
        return self.network.embeddings(frames), {"position_embeddings": self.network.rope_embeddings(frames)}

    def _layers(self) -> nn.ModuleList:
        layers: nn.ModuleList = self.network.model.layer
        return layers

    def _norm(self) -> Callable[[Tensor], Tensor]:
        norm: nn.LayerNorm = self.network.norm
        return norm

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """The hub's safetensors and the authors' ``dinov3_vit*16_pretrain_*.pth`` alike."""
        return _own(convert_v3(published, self.network.state_dict()))


def _use_installed_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """A state saved under another version of transformers gets this version's names before it is loaded."""
    assert isinstance(module, FrameTransformer)
    for name, buffer in module.named_buffers(recurse=False):
        # Saved before weights said by whose rule they are interpolated: by that of transformers.
        state.setdefault(prefix + name, torch.zeros_like(buffer, device="cpu"))
    saved = {name: state[name] for name in state if name.startswith(f"{prefix}network.")}
    if saved.keys() <= {f"{prefix}{name}" for name, _ in module.named_parameters()}:
        return
    for name in saved:
        del state[name]
    renamed = module.convert({name.removeprefix(prefix): value for name, value in saved.items()})
    state.update({f"{prefix}{name}": value for name, value in renamed.items() if name.startswith("network.")})


def _read_offset(module: nn.Module, _: Any) -> None:
    assert isinstance(module, Dinov2Extractor)
    buffer = getattr(module, "position_offset", None)
    if buffer is not None and not buffer.is_meta:
        # Two digits: a network that was brought to 16 bits holds 0.1001.
        module._published_offset = round(float(buffer), 2)


def _own(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": value for name, value in tensors.items()}


def _as_map(tokens: Tensor, batch: int, grid: tuple[int, int]) -> Tensor:
    """(B*T, N, D) -> (B, D, T, rows, columns); a single token is a 1x1 map."""
    if tokens.shape[1] == 1:
        grid = (1, 1)
    return tokens.unflatten(1, grid).unflatten(0, (batch, -1)).permute(0, 4, 1, 2, 3)
