"""Small extractors that have what engines stumble over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from vidcore.catalog import ClipFormat, ExtractorSpec, FeatureInfo
from vidcore.config import ExtractorConfig
from vidcore.extractors import Extractor
from vidcore.extractors.base import step_times
from vidcore.features import FeatureMap


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that no other test has filled."""
    monkeypatch.setenv("VIDCORE_CACHE", str(tmp_path))
    return tmp_path


class OnePathway(Extractor):
    """Convolution, normalisation, ReLU; a second output with a time per row and a mask."""

    def __init__(self, spec: ExtractorSpec, config: ExtractorConfig) -> None:
        super().__init__(spec, config)
        self.conv = nn.Conv3d(3, 8, 3, (2, 2, 2), 1, bias=False)
        self.norm = nn.BatchNorm3d(8)
        self.mix = nn.Linear(8, 6)

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        x = torch.relu(self.norm(self.conv(clip)))
        batch, _, steps, _, _ = x.shape
        pooled = self.mix(x.mean((3, 4)).transpose(1, 2)).transpose(1, 2)[..., None, None]
        times = step_times(steps, 2, x, offset=0)
        mask = torch.ones(batch, steps, dtype=torch.bool)
        mask[:, -1] = False
        found = {"map": FeatureMap(x, times), "pooled": FeatureMap(pooled, times.expand(batch, -1), mask)}
        return {name: found[name] for name in self.output_names}


class TwoPathways(OnePathway):
    """Takes a mapping of two clips."""

    def preprocess(self, video: Tensor) -> dict[str, Tensor]:
        clip = super().preprocess(video)
        return {"slow": clip[:, :, ::2], "fast": clip}

    def forward(self, clip: dict[str, Tensor]) -> dict[str, FeatureMap]:
        return super().forward(torch.cat([clip["slow"], clip["fast"]], 2))


class Untraceable(OnePathway):
    """Decides by the values of the clip, which no exporter follows."""

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        return super().forward(clip * 2 if float(clip.mean()) > 100 else clip)


MakeExtractor = Callable[..., Any]


@pytest.fixture
def make() -> MakeExtractor:
    """``make(TwoPathways, seed=1, outputs=("map",), frames=8)`` -> that extractor, its normalisation as if trained."""

    def build(
        kind: type[Extractor] = OnePathway, seed: int = 0, outputs: tuple[str, ...] = ("map", "pooled"), **clip: Any
    ) -> Any:
        spec = ExtractorSpec(
            name=f"test/{kind.__name__.lower()}",
            target=f"{__name__.replace('/', '.')}:{kind.__name__}",
            config="vidcore.config:ExtractorConfig",
            summary="test",
            outputs={"map": FeatureInfo(8, (2, 2, 2)), "pooled": FeatureInfo(6, (2, None, None))},
            clip=ClipFormat(**{"size": (16, 16), "frames": 8, **clip}),
        )
        torch.manual_seed(seed)
        extractor = kind(spec, ExtractorConfig(outputs=outputs))
        if isinstance(extractor, OnePathway):
            extractor.norm.running_mean.normal_()
            extractor.norm.running_var.uniform_(0.5, 2)
        return extractor.eval()

    return build


@pytest.fixture
def kinds() -> dict[str, type[Extractor]]:
    """The extractor classes by name."""
    return {"one": OnePathway, "two": TwoPathways, "untraceable": Untraceable}
