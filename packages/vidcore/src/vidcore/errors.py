"""Every deliberate exception. A message names the thing, what was expected, what was got and what to type."""

from __future__ import annotations


class VidcoreError(Exception):
    """Base of every error a person is meant to read; the command line prints its text without a traceback."""

    exit_code = 1


class UnknownNameError(VidcoreError, LookupError):
    """No installed component has this name."""


class NameCollisionError(VidcoreError):
    """Two plugins declare one name; neither is used until one of them is removed."""


class PluginError(VidcoreError):
    """A plugin failed to import, misspelt a hook or declared something that is not a spec."""


class ConfigError(VidcoreError, ValueError):
    """An option is unknown, has the wrong type or contradicts another."""


class WiringError(VidcoreError, ValueError):
    """Two parts of a composition do not fit; raised at build time and naming both."""


class ShapeError(VidcoreError, ValueError):
    """A tensor does not have the shape its contract states."""


class ManifestError(VidcoreError, ValueError):
    """A data source cannot be read as rows of videos and targets."""


class DecodeError(VidcoreError):
    """A video file cannot give the frames that were asked of it."""


class DataError(VidcoreError, ValueError):
    """Rows that can be read but not trained on: a class with one video, a split without a class."""


class WeightsError(VidcoreError):
    """Weights are absent, fail their checksum, or match too little of the model."""


class RunError(VidcoreError):
    """A run folder is missing, incomplete, or belongs to a different configuration."""


class TrainingError(VidcoreError):
    """Training cannot start or go on: nothing to train, a loss that is not a number."""


class StoreError(VidcoreError):
    """The feature store cannot be read or written as asked: not a store, a newer format, a missing key, a full disk."""


class ExtractionError(VidcoreError):
    """Extraction cannot go on: an extractor fails on every clip."""


class RuntimeEngineError(VidcoreError):
    """A runtime cannot run an extractor on this machine, or does not give its numbers."""
