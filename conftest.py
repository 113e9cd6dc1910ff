"""Fixtures for every test of the workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    # Sums are then added in one order, whatever the machine; and parallel workers do not fight for cores.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips and weights that lie beside a checkout; tests that need them skip where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real clips and weights are not on this machine (no ../shared/data)")
    return folder
