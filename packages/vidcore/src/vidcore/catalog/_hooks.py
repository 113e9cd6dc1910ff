"""The hooks a plugin's declaring module may answer."""

from __future__ import annotations

import pluggy

from vidcore.catalog._specs import DatasetSpec, ExtractorSpec, FusionSpec, HeadSpec, Kind, ReadoutSpec

GROUP = "vidcore"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """Each hook returns the list of specs that the plugin offers of one kind."""

    @hookspec
    def vidcore_extractors(self) -> list[ExtractorSpec]:
        """Extractors of this plugin."""
        raise TypeError("a hook specification is never called")

    @hookspec
    def vidcore_fusions(self) -> list[FusionSpec]:
        """Fusions of this plugin."""
        raise TypeError("a hook specification is never called")

    @hookspec
    def vidcore_readouts(self) -> list[ReadoutSpec]:
        """Readouts of this plugin."""
        raise TypeError("a hook specification is never called")

    @hookspec
    def vidcore_heads(self) -> list[HeadSpec]:
        """Heads of this plugin."""
        raise TypeError("a hook specification is never called")

    @hookspec
    def vidcore_datasets(self) -> list[DatasetSpec]:
        """Data sets of this plugin."""
        raise TypeError("a hook specification is never called")


HOOKS: dict[str, Kind] = {
    "vidcore_extractors": "extractor",
    "vidcore_fusions": "fusion",
    "vidcore_readouts": "readout",
    "vidcore_heads": "head",
    "vidcore_datasets": "dataset",
}
