"""The extractor: a clip in, feature maps out."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from vidcore.catalog import ExtractorSpec, FeatureInfo
from vidcore.extractors import Extractor, step_times
from vidcore.features import FeatureMap

from .config import Diff3dConfig
from .network import Diff3d
from .variants import VARIANTS


class Diff3dExtractor(Extractor):
    """3D convolutions over frames and frame differences.

    Input   (B, 3, T, 64, 64) in [-1, 1]
    Output  ``features`` (B, 4 * width, T/4, 8, 8), ``middle`` (B, 2 * width, T/2, 16, 16); T rounded up
    """

    config: Diff3dConfig

    def __init__(self, spec: ExtractorSpec, config: Diff3dConfig) -> None:
        super().__init__(spec, config)
        self.width = config.width or VARIANTS[spec.name].width
        self.network = Diff3d(self.width, config.difference, config.dropout)

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """The declared strides, with the width of the options."""
        dims = {"features": 4 * self.width, "middle": 2 * self.width}
        return {name: FeatureInfo(dims[name], self.spec.outputs[name].stride) for name in self.output_names}

    @property
    def blocks(self) -> list[nn.Module]:
        """The three stages."""
        return list(self.network.stages)

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 64, 64) -> the outputs asked for."""
        found = self.network(clip)
        maps = {}
        for name, info in self.outputs.items():
            data = found[name]
            # A padded convolution of kernel 3 and stride s is centred on frames 0, s, 2s, ...
            maps[name] = FeatureMap(data, step_times(data.shape[2], info.stride[0] or 1, data, offset=0))
        return maps
