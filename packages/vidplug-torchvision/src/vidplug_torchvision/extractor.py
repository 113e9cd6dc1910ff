"""torchvision's video classification models as extractors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from vidcore.catalog import ExtractorSpec
from vidcore.extractors import Extractor, middle_time, step_times, window_averages
from vidcore.features import FeatureMap

from .config import TorchvisionConfig
from .convert import convert
from .network import CLASSIFIERS, build
from .variants import VARIANTS


class _Torchvision(Extractor):
    """A torchvision network under torchvision's own parameter names."""

    config: TorchvisionConfig

    def __init__(self, spec: ExtractorSpec, config: TorchvisionConfig) -> None:
        super().__init__(spec, config)
        self.network = build(spec.name, len(self.classes))
        self._classifier = CLASSIFIERS[VARIANTS[spec.name].family]

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Top-level parts of the network, from input to output."""
        return [child for name, child in self.network.named_children() if name != self._classifier]

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        """Torchvision's files, and the same networks by PySlowFast, mmaction2 and Video Swin Transformer."""
        return convert(published, self.state_dict())

    def _classified(self, vectors: Tensor, clip: Tensor) -> dict[str, FeatureMap]:
        """What the classifier says of the vectors that it reads, nothing where it is not asked for."""
        if not self.classes:
            return {}
        logits = self.network.get_submodule(self._classifier)(vectors)
        return self.answers(torch.flatten(logits, 1), middle_time(clip.shape[2], clip))


class ResNetExtractor(_Torchvision):
    """R3D, MC3 and R(2+1)D (Tran et al. 2018, arXiv:1711.11248).

    Input   (B, 3, T, 112, 112)
    Output  ``layerI`` (B, D, T', H', W'), the map after stage I; centred convolutions, so step k is
            centred on frame k * stride
            ``logits``, ``probabilities`` (B, 400, 1, 1, 1), as of every network here
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 112, 112) -> the maps asked for."""
        x = self.network.stem(clip)
        found: dict[str, FeatureMap] = {}
        last = 4 if self.classes else max(int(name[-1]) for name in self.feature_names)
        for index in range(1, 1 + last):
            name = f"layer{index}"
            x = getattr(self.network, name)(x)
            if name in self.output_names:
                stride = self.spec.outputs[name].stride[0] or 1
                found[name] = FeatureMap(x, step_times(x.shape[2], stride, x, offset=0))
        return found | self._classified(x.mean((2, 3, 4)), clip)


class S3dExtractor(_Torchvision):
    """S3D (Xie et al. 2018, arXiv:1712.04851).

    Input   (B, 3, T, 224, 224), T a multiple of 8 and at least 16
    Output  ``features`` (B, 1024, T/8, 7, 7). Three centred strides of two and a pool over pairs: step k
            is centred on frame 8k + 2.
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 224, 224) -> the maps asked for."""
        data = self.network.features(clip)
        # The published classifier is a convolution over averages of 2 x 7 x 7 places; its logits are averaged.
        answers = self._classified(window_averages(data, (2, 7, 7)).mean((2, 3, 4), keepdim=True), clip)
        maps = {"features": FeatureMap(data, step_times(data.shape[2], 8, data, offset=2))}
        return {name: maps[name] for name in self.feature_names} | answers


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
        return found | self._classified(tokens[:, :, 0], clip)


class SwinExtractor(_Torchvision):
    """Video Swin Transformer (Liu et al. 2022, arXiv:2106.13230).

    Input   (B, 3, T, 224, 224), T even
    Output  ``norm`` (B, 8 D, T/2, 7, 7), after the final norm, and ``stageI``, before the patches are merged
    """

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 224, 224) -> the maps asked for."""
        x = self.network.pos_drop(self.network.patch_embed(clip))
        found: dict[str, FeatureMap] = {}
        final = "norm" in self.output_names or bool(self.classes)
        last = 4 if final else max(int(name[-1]) for name in self.feature_names)
        # Stages and the mergers between them alternate in one sequence.
        for index in range(2 * last - 1):
            x = self.network.features[index](x)
            name = f"stage{index // 2 + 1}"
            if index % 2 == 0 and name in self.output_names:
                found[name] = _channels_first(x)
        if not final:
            return found
        normed = self.network.norm(x)
        if "norm" in self.output_names:
            found["norm"] = _channels_first(normed)
        return found | self._classified(normed.mean((1, 2, 3)), clip)


def _channels_first(x: Tensor) -> FeatureMap:
    data = x.permute(0, 4, 1, 2, 3)
    return FeatureMap(data, step_times(data.shape[2], 2, data))
