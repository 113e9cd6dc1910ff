"""Options of the torchvision extractors: those every extractor has."""

from vidcore.config import ExtractorConfig


class TorchvisionConfig(ExtractorConfig):
    """Options of ``torchvision/*``."""
