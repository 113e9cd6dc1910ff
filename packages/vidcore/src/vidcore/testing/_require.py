"""The one dependency of this package that vidcore itself does without."""

from __future__ import annotations

from importlib.util import find_spec

from vidcore.errors import VidcoreError


class PytestMissingError(VidcoreError, ImportError):
    """The conformance suites run on pytest, and it is not installed."""


if find_spec("pytest") is None:
    raise PytestMissingError("vidcore.testing needs pytest; install it with: pip install 'vidcore[testing]'")
