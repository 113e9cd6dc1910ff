"""Published weights: finding, checking, reading, matching and reporting them."""

from vidcore.weights._load import load_weights
from vidcore.weights._report import Resized, WeightsReport

__all__ = ["Resized", "WeightsReport", "load_weights"]
