"""Names of the classes that published classifiers know. Cold: the files are read when names are asked for."""

from __future__ import annotations

import functools

from vidcore.catalog._specs import ExtractorSpec
from vidcore.errors import ConfigError


def label_set_of(spec: ExtractorSpec, weights: str | None, classes: str | None = None) -> str:
    """The label set of an extractor's classifier.

    Args:
        spec: of the extractor.
        weights: a published tag, or a file; a file is taken for one of the first weights that have a classifier.
        classes: the label set, where it is given.

    Raises:
        ConfigError: there is no classifier, or nothing says what its classes are.
    """
    if spec.classifier is None:
        raise ConfigError(f"extractor {spec.name!r} has no published classifier; it gives {', '.join(spec.outputs)}")
    if classes:
        return classes
    named = next((info for info in spec.weights if info.tag == weights), None)
    if named is not None and not named.classes:
        others = [f"{spec.name}.{info.tag}" for info in spec.weights if info.classes]
        hint = f"\n  weights with one: {', '.join(others)}" if others else ""
        raise ConfigError(f"the weights {spec.name}.{named.tag} have no classifier whose class names are known{hint}")
    found = named.classes if named else next((info.classes for info in spec.weights if info.classes), "")
    if not found:
        raise ConfigError(
            f"nothing says which classes the classifier of {spec.name!r} knows; name a label set or a file with a "
            "class name per line: classes=kinetics400"
        )
    return found


@functools.lru_cache(maxsize=32)
def class_names(label_set: str) -> tuple[str, ...]:
    """Class names in the order of a classifier's outputs.

    Args:
        label_set: ``kinetics400``, ``kinetics600``, ``ssv2`` or ``imagenet1k``, which come with vidcore;
            ``package:path/names.txt``, a data file of a plugin; or a file, one name a line.

    Raises:
        ConfigError: there is no such label set, or a name is there twice.
    """
    text = _text(label_set)
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None or not names:
        raise ConfigError(f"label set {label_set}: " + (f"{twice!r} is there twice" if twice else "it is empty"))
    return names


def plain_label(name: str) -> str:
    """A class name without case, and with one space where it has spaces, underscores or hyphens."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _text(label_set: str) -> str:
    # Here, because listing models reads no label set, and pathlib takes long to import.
    import pkgutil
    from pathlib import Path

    package, colon, path = label_set.partition(":")
    if not colon and not Path(label_set).suffix:
        package, path = "vidcore", f"labels/{label_set}.txt"
    try:
        if path:
            return (pkgutil.get_data(package, path) or b"").decode("utf-8")
        return Path(label_set).expanduser().read_text("utf-8")
    except (OSError, ImportError, UnicodeDecodeError) as exc:
        own = sorted(file.stem for file in Path(__file__).parents[1].joinpath("labels").glob("*.txt"))
        raise ConfigError(
            f"no label set {label_set!r}: {exc}\n  those of vidcore: {', '.join(own)}; or name a file with a class "
            "name per line"
        ) from exc
