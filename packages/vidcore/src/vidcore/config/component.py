"""Bases of every component's options. Pydantic, no framework: reading options stays quick."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ComponentConfig(BaseModel):
    """Options of one component; an option it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class ExtractorConfig(ComponentConfig):
    """Options that every extractor has."""

    outputs: tuple[str, ...] = ()
    """Outputs to give, the first being the one downstream parts read; empty: the default output."""
    weights: str | None = None
    """Published tag, path, hf:owner/repo/file or https address; empty: random weights."""
    classes: str | None = None
    """Label set of the published classifier, or a file with a class name per line; only the outputs logits and
    probabilities read it. Empty: that of the weights."""
    adapt_weights: bool = False
    """Take a weights file although its first convolution reads other channels, or its kernels are those of images:
    they are summed or repeated over channels, and repeated in time."""


class FusionConfig(ComponentConfig):
    """Options that every fusion has."""


class ReadoutConfig(ComponentConfig):
    """Options that every readout has."""


class HeadConfig(ComponentConfig):
    """Options that every head has."""


class DatasetConfig(ComponentConfig):
    """Options that every named data set has."""

    seed: int = Field(0, ge=0)
    """Seed of what is drawn at random."""
