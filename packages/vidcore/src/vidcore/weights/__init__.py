"""Published weights: finding, checking, reading, matching and reporting them."""

from vidcore.weights._convert import save_converted
from vidcore.weights._find import FoundFile, check_digest, find_weights, place_of
from vidcore.weights._load import Fitting, Loadable, fit_weights, load_weights
from vidcore.weights._read import digest, read_published, weights_file
from vidcore.weights._report import Resized, Unfit, WeightsReport, without_weights
from vidcore.weights._resize import adapt_channels, inflate

__all__ = [
    "Fitting",
    "FoundFile",
    "Loadable",
    "Resized",
    "Unfit",
    "WeightsReport",
    "adapt_channels",
    "check_digest",
    "digest",
    "find_weights",
    "fit_weights",
    "inflate",
    "load_weights",
    "place_of",
    "read_published",
    "save_converted",
    "weights_file",
    "without_weights",
]
