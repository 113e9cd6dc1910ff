"""Configuration: of a run, of each component, and readable messages for both. No framework here."""

from vidcore.config.component import (
    ComponentConfig,
    DatasetConfig,
    ExtractorConfig,
    FusionConfig,
    HeadConfig,
    ReadoutConfig,
)
from vidcore.config.grid import GridConfig, parse_grid
from vidcore.config.loading import build_run_config, read_yaml, run_config
from vidcore.config.options import component_config
from vidcore.config.run import Choice, DataConfig, ExtractorChoice, RunConfig, TrainConfig
from vidcore.config.search import declared_space, parse_space, tunable, tunable_among

__all__ = [
    "Choice",
    "ComponentConfig",
    "DataConfig",
    "DatasetConfig",
    "ExtractorChoice",
    "ExtractorConfig",
    "FusionConfig",
    "GridConfig",
    "HeadConfig",
    "ReadoutConfig",
    "RunConfig",
    "TrainConfig",
    "build_run_config",
    "component_config",
    "declared_space",
    "parse_grid",
    "parse_space",
    "read_yaml",
    "run_config",
    "tunable",
    "tunable_among",
]
