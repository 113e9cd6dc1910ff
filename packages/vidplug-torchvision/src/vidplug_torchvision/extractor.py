"""torchvision's video classification models as extractors."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .config import TorchvisionConfig
from .convert import convert
from .network import build


class _Torchvision(Extractor):
    """A torchvision network under torchvision's own parameter names."""

    config: TorchvisionConfig

    def __init__(self, spec: ExtractorSpec, config: TorchvisionConfig) -> None:
        super().__init__(spec, config)
        self.network = build(spec.name)

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Top-level parts of the network, from input to output."""
        return self.network.children()

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Torchvision's files, and the same networks by PySlowFast, mmaction2 and Video Swin Transformer."""
        return convert(published, self.state_dict())


class ResNetExtractor(_Torchvision):
    """R3D, MC3 and R(2+1)D (Tran et al. 2018, arXiv:1711.11248).

    Input   (B, 3, T, 112, 112)
    Output  ``layerI`` (B, D, T', H', W'), the map after stage I; centred convolutions, so step k is
            centred on frame k * stride
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 112, 112) -> the maps asked for."""
        x = self.network.stem(clip)
        found: dict[str, FeatureMap] = {}
        for index in range(1, 1 + max(int(name[-1]) for name in self.output_names)):
            name = f"layer{index}"
            x = getattr(self.network, name)(x)
            if name in self.output_names:
                stride = self.spec.outputs[name].stride[0] or 1
                found[name] = FeatureMap(x, step_times(x.shape[2], stride, x, offset=0))
        return found


class S3dExtractor(_Torchvision):
    """S3D (Xie et al. 2018, arXiv:1712.04851).

    Input   (B, 3, T, 224, 224), T a multiple of 8 and at least 16
    Output  ``features`` (B, 1024, T/8, 7, 7). Three centred strides of two and a pool over pairs: step k
            is centred on frame 8k + 2.
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 224, 224) -> {"features": (B, 1024, T/8, 7, 7)}."""
        data = self.network.features(clip)
        return {"features": FeatureMap(data, step_times(data.shape[2], 8, data, offset=2))}


class MvitExtractor(_Torchvision):
    """MViT v1 (Fan et al. 2021, arXiv:2104.11227) and v2 (Li et al. 2022, arXiv:2112.01526).

    Input   (B, 3, 16, 224, 224)
    Output  ``features`` (B, 768, 8, 7, 7), the tokens after the final norm on their grid, and ``cls``
            (B, 768, 1, 1, 1), the class token the published classifier reads
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, 16, 224, 224) -> the maps asked for."""
        x = self.network.conv_proj(clip)
        tokens = self.network.pos_encoding(x.flatten(2).transpose(1, 2))
        grid = tuple(x.shape[2:])
        for block in self.network.blocks:
            tokens, grid = block(tokens, grid)
        tokens = self.network.norm(tokens).transpose(1, 2)
        found = {}
        if "features" in self.output_names:
            data = tokens[:, :, 1:].unflatten(2, grid)
            found["features"] = FeatureMap(data, step_times(grid[0], 2, data, offset=0))
        if "cls" in self.output_names:
            data = tokens[:, :, :1, None, None]
            found["cls"] = FeatureMap(data, step_times(1, clip.shape[2], data))
        return found


class SwinExtractor(_Torchvision):
    """Video Swin Transformer (Liu et al. 2022, arXiv:2106.13230).

    Input   (B, 3, T, 224, 224), T even
    Output  ``norm`` (B, 8 D, T/2, 7, 7), after the final norm, and ``stageI``, before the patches are merged
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 224, 224) -> the maps asked for."""
        x = self.network.pos_drop(self.network.patch_embed(clip))
        found: dict[str, FeatureMap] = {}
        last = 4 if "norm" in self.output_names else max(int(name[-1]) for name in self.output_names)
        # Stages and the mergers between them alternate in one sequence.
        for index in range(2 * last - 1):
            x = self.network.features[index](x)
            name = f"stage{index // 2 + 1}"
            if index % 2 == 0 and name in self.output_names:
                found[name] = _channels_first(x)
        if "norm" in self.output_names:
            found["norm"] = _channels_first(self.network.norm(x))
        return found


def _channels_first(x: Tensor) -> FeatureMap:
    data = x.permute(0, 4, 1, 2, 3)
    return FeatureMap(data, step_times(data.shape[2], 2, data))
