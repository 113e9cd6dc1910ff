"""What can be refused of a run before any framework is imported: names, tags, options, the run's name, the source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from vidcore.catalog import ExtractorSpec, FusionSpec, HeadSpec, ReadoutSpec, Registry
from vidcore.config.classifier import with_classifier
from vidcore.config.options import component_config
from vidcore.config.run import Choice, ExtractorChoice, RunConfig
from vidcore.errors import ConfigError, ManifestError, RunError, WeightsError

_SCHEMES = ("hf:", "https:", "timm:", "torchvision:")
_SOURCE_HINT = "give a folder with one subfolder per class, or a manifest: video,label"
_OPTIONAL_TRACKERS = ("wandb", "mlflow")


def check_run(config: RunConfig, registry: Registry) -> None:
    """Refuse what needs neither a framework nor the data to be refused.

    Raises:
        UnknownNameError, NameCollisionError, ConfigError, WeightsError: naming the part.
        RunError: the run's folder exists, or its name is not one.
        ManifestError: the source is neither a data set nor a path that exists.
    """
    check_parts(config, registry)
    check_trackers(config)
    check_run_name(config)
    for source in _sources(config):
        check_source(source, registry)


def check_parts(config: RunConfig, registry: Registry) -> None:
    """Refuse unknown names, tags and options of all parts of a run."""
    config = with_classifier(config, registry)
    check_extractors(config.extractors, registry)
    check_choices(FusionSpec, [config.fusion], registry)
    own = [head.readout for head in config.heads if head.readout is not None]
    check_choices(ReadoutSpec, [config.readout, *own], registry)
    check_choices(HeadSpec, config.heads or [config.head], registry)


def check_extractors(choices: Iterable[ExtractorChoice], registry: Registry) -> None:
    """Refuse extractors, options and weights that do not exist."""
    for choice in choices:
        entry, tag = registry.find("extractor", choice.name)
        options = component_config(entry.spec, choice.options)
        asked = tag or getattr(options, "weights", None)
        if isinstance(entry.spec, ExtractorSpec) and asked:
            check_weights(entry.spec, asked)


def refuse_random(choices: Iterable[ExtractorChoice], registry: Registry, *, frozen: bool = False) -> None:
    """Refuse frozen extractors that have published weights and would be given random ones.

    Features of such a network say little about a video, and nobody wants them by accident.

    Args:
        choices: extractors of a run.
        registry: their specs.
        frozen: whether all of them are frozen; otherwise those whose choice says so.

    Raises:
        WeightsError: naming the published weights, and the option that allows random ones.
    """
    for choice in choices:
        entry, tag = registry.find("extractor", choice.name)
        spec = entry.spec
        if not isinstance(spec, ExtractorSpec) or not spec.weights or tag or choice.options.get("weights"):
            continue
        if frozen or choice.freeze:
            raise WeightsError(
                f"{spec.name} would have random weights, and it is frozen: its features would say little\n"
                f"  published ones: --extractor {spec.name}.{spec.weights[0].tag}\n"
                f"  a file: --extractor {spec.name}=FILE\n"
                "  random ones all the same: --random-weights"
            )


def check_choices(
    kind: type[FusionSpec | ReadoutSpec | HeadSpec], choices: Iterable[Choice], registry: Registry
) -> None:
    """Refuse components of one kind, and options, that do not exist."""
    for choice in choices:
        spec = registry.get(kind, choice.name)
        if isinstance(spec, HeadSpec) and spec.published and "classes" not in choice.options:
            # Filled in from an extractor, which is not known here.
            continue
        component_config(spec, choice.options)


def check_names(
    registry: Registry,
    *,
    extractors: Iterable[str] = (),
    fusions: Iterable[str] = (),
    readouts: Iterable[str] = (),
    heads: Iterable[str] = (),
    source: str | None = None,
) -> None:
    """Refuse names and weights' tags that do not exist, and a source that does not."""
    check_extractors([ExtractorChoice(name=name) for name in extractors], registry)
    kinds = ((FusionSpec, fusions), (ReadoutSpec, readouts), (HeadSpec, heads))
    for kind, names in kinds:
        check_choices(kind, [Choice(name=name) for name in names], registry)
    if source is not None:
        check_source(source, registry)


def check_weights(spec: ExtractorSpec, source: str) -> None:
    """Refuse weights that are neither a published tag, nor an address, nor a path that exists.

    Raises:
        WeightsError: naming the published tags.
    """
    path = Path(source).expanduser()
    if any(info.tag == source for info in spec.weights) or source.startswith(_SCHEMES) or path.exists():
        return
    tags = ", ".join(info.tag for info in spec.weights)
    lines = [f"{spec.name} has no weights {source!r}, and there is no such file ({path.absolute()})"]
    lines.append(f"  published tags: {tags}" if tags else f"  {spec.name} has no published weights")
    lines.append("  or name a file, hf:owner/repo/file or an https address: weights=PATH")
    raise WeightsError("\n".join(lines))


def require(module: str, command: str, extra: str) -> None:
    """Refuse to begin a command whose extra is not installed.

    Raises:
        ConfigError: naming what to install.
    """
    if find_spec(module) is None:
        raise ConfigError(f"{command} needs {module}, which is not installed: pip install 'vidcore[{extra}]'")


def check_trackers(config: RunConfig) -> None:
    """Refuse trackers that are not installed.

    Raises:
        ConfigError: naming what to install.
    """
    for name in config.train.trackers:
        if name in _OPTIONAL_TRACKERS and find_spec(name) is None:
            raise ConfigError(f"train.trackers names {name!r}, which is not installed: pip install {name}")


def check_run_name(config: RunConfig) -> None:
    """Refuse a name that is no folder's name, or whose folder exists.

    Raises:
        RunError: saying what to type.
    """
    if config.name is None:
        return
    if config.name in ("", ".", "..") or Path(config.name).name != config.name:
        raise RunError(f"the name of a run is the name of its folder, without separators; got {config.name!r}")
    refuse_existing(config.out / config.name)


def refuse_existing(root: Path) -> None:
    """Refuse a run folder that exists.

    Raises:
        RunError: saying how to resume the run in it.
    """
    if root.exists():
        resumable = (root / "config.yaml").exists()
        what = f"resume it with: vidcore train --resume {root}" if resumable else "it holds other files"
        raise RunError(f"{root} exists; {what}; or give another --name")


def check_source(source: str, registry: Registry) -> None:
    """Refuse a source that is neither the name of a data set nor a path that exists.

    Raises:
        ManifestError: naming the data sets.
    """
    declared = {entry.spec.name for entry in registry.entries("dataset")}
    if source in declared:
        return
    names = ", ".join(sorted(declared)) or "none is installed"
    if Path(source).exists():
        return
    if os.sep in source or "/" in source or Path(source).suffix:
        raise ManifestError(f"{source}: there is no such folder or manifest; {_SOURCE_HINT}")
    raise ManifestError(f"no data set, folder or manifest named {source!r}; data sets: {names}\n  or {_SOURCE_HINT}")


def _sources(config: RunConfig) -> Iterable[str]:
    heads = config.heads
    if not heads or any(head.source is None for head in heads):
        yield config.data.source
    yield from (head.source for head in heads if head.source is not None)
