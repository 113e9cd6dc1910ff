"""Published weights: finding, checking, reading, matching and reporting them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.weights._convert import save_converted
    from vidcore.weights._files import digest, weights_file
    from vidcore.weights._find import FoundFile, check_digest, find_weights, place_of
    from vidcore.weights._load import Fitting, Loadable, fit_weights, load_weights
    from vidcore.weights._read import read_published
    from vidcore.weights._report import Resized, Unfit, WeightsReport, file_in_words, without_weights
    from vidcore.weights._resize import adapt_channels, inflate

# Finding and fetching a file needs no framework, reading one does.
_HOMES = {
    "_convert": ("save_converted",),
    "_files": ("digest", "weights_file"),
    "_find": ("FoundFile", "check_digest", "find_weights", "place_of"),
    "_load": ("Fitting", "Loadable", "fit_weights", "load_weights"),
    "_read": ("read_published",),
    "_report": ("Resized", "Unfit", "WeightsReport", "file_in_words", "without_weights"),
    "_resize": ("adapt_channels", "inflate"),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

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
    "file_in_words",
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


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"vidcore.weights.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
