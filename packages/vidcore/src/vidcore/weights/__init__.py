"""Published weights: finding, checking, reading, matching and reporting them."""

from vidcore.weights._convert import save_converted
from vidcore.weights._find import FoundFile, check_digest, find_weights, place_of
from vidcore.weights._load import Loadable, compare_weights, convert_weights, fits, load_weights, refusal
from vidcore.weights._read import digest, read_published, weights_file
from vidcore.weights._report import Resized, WeightsReport
from vidcore.weights._resize import adapt_channels, inflate

__all__ = [
    "FoundFile",
    "Loadable",
    "Resized",
    "WeightsReport",
    "adapt_channels",
    "check_digest",
    "compare_weights",
    "convert_weights",
    "digest",
    "find_weights",
    "fits",
    "inflate",
    "load_weights",
    "place_of",
    "read_published",
    "refusal",
    "save_converted",
    "weights_file",
]
