from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from vidcore.catalog import ExtractorSpec, FeatureInfo, WeightsInfo


class TinyNet(nn.Module):
    """A convolution, a batch norm and a projection; ``published`` gives what its authors would publish."""

    def __init__(self, *weights: WeightsInfo, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.spec = ExtractorSpec(
            name="tiny/net",
            target="nowhere.tiny:TinyNet",
            config="nowhere.tiny:Config",
            summary="a network of the tests",
            outputs={"out": FeatureInfo(4)},
            weights=weights,
        )
        self.conv = nn.Conv3d(3, 4, (3, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(4)
        self.proj = nn.Linear(4, 8)
        nn.init.uniform_(self.norm.running_mean)

    def convert(self, published: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name.removeprefix("backbone."): tensor for name, tensor in published.items()}

    def published(self) -> dict[str, Tensor]:
        state = {f"backbone.{name}": tensor.clone() for name, tensor in self.state_dict().items()}
        return {**state, "head.weight": torch.ones(5, 8), "head.bias": torch.zeros(5)}


@pytest.fixture
def make_net() -> Callable[..., TinyNet]:
    return TinyNet


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Empty caches of vidcore, the hub and torch hub, and no network."""
    places = {"own": tmp_path / "own", "hub": tmp_path / "hf" / "hub", "torch": tmp_path / "torch"}
    monkeypatch.setenv("VIDCORE_CACHE", str(places["own"]))
    monkeypatch.setenv("TORCH_HOME", str(places["torch"]))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(places["hub"]))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return places
