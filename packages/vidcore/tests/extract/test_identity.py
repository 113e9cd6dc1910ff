"""What the identity of a collection depends on, and what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from vidcore.assemble import create
from vidcore.extract import extractor_identity
from vidcore.extract.identity import state_digest
from vidcore.extractors import Extractor


@pytest.fixture
def cnn() -> Extractor:
    torch.manual_seed(0)
    return create("basic/naive_cnn", width=16)


def test_it_is_plain_data_that_names_the_extractor(cnn: Extractor) -> None:
    identity = extractor_identity(cnn)
    assert json.loads(json.dumps(identity)) == identity
    assert identity["name"] == "basic/naive_cnn"
    assert identity["options"] == {"width": 16, "frames": 8}
    assert identity["plugin"] == "vidcore"


def test_weights_count_by_their_values_not_by_their_file(cnn: Extractor, tmp_path: Any) -> None:
    path = tmp_path / "copy.safetensors"
    save_file(cnn.state_dict(), path)
    same = create("basic/naive_cnn", width=16, weights=str(path))
    assert extractor_identity(same) == extractor_identity(cnn)
    with torch.no_grad():
        next(same.parameters()).flatten()[0] += 1e-3
    assert extractor_identity(same) != extractor_identity(cnn)


@pytest.mark.parametrize("change", [{"keep": "pooled"}, {"dtype": "float16"}, {"precision": "bfloat16"}])
def test_whatever_changes_values_changes_it(change: Any, cnn: Extractor) -> None:
    assert extractor_identity(cnn, **change) != extractor_identity(cnn)


def test_options_and_numerics_revision_change_it(cnn: Extractor) -> None:
    from dataclasses import replace

    other = create("basic/naive_cnn", width=16, frames=4)
    other.load_state_dict(cnn.state_dict())
    assert extractor_identity(other) != extractor_identity(cnn)
    before = extractor_identity(cnn)
    cnn.spec = replace(cnn.spec, numerics_revision=2)
    assert extractor_identity(cnn) != before


def test_the_digest_sees_names_types_and_buffers() -> None:
    class Two(torch.nn.Module):
        def __init__(self, name: str, value: torch.Tensor) -> None:
            super().__init__()
            self.register_buffer(name, value)

    digests = [
        state_digest(Two("a", torch.zeros(2))),
        state_digest(Two("b", torch.zeros(2))),
        state_digest(Two("a", torch.zeros(2, dtype=torch.float64))),
        state_digest(Two("a", torch.zeros(1, 2))),
        state_digest(Two("a", torch.zeros(()))),
        state_digest(Two("a", torch.zeros(0))),
    ]
    assert len(set(digests)) == 6
    assert state_digest(Two("a", torch.zeros(2, dtype=torch.bfloat16))) not in digests
