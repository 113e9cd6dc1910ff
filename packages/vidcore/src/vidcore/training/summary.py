"""A run in words: the header before training and the table after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch.nn.modules.batchnorm import _BatchNorm

from vidcore.config import RunConfig
from vidcore.data.sampling import Sampling
from vidcore.model import VideoModel
from vidcore.training.device import device_name
from vidcore.training.one_device import OneDevice
from vidcore.weights import without_weights

if TYPE_CHECKING:
    from vidcore.training.device import Launched


NO_WEIGHTS = "no parameters"
_SHOWN_FOLDS = 10


def weights_facts(model: VideoModel) -> dict[str, Any]:
    """Per stream: where its weights came from, ``random`` or the report of what was loaded; or that it has none."""
    facts: dict[str, Any] = {}
    for stream in model.streams:
        extractor = model.extractor(stream)
        report = getattr(extractor, "weights_report", None)
        frozen = stream in model.frozen
        if report is None:
            own = "random" if any(True for _ in extractor.parameters()) else NO_WEIGHTS
            words = without_weights(extractor.spec, own != NO_WEIGHTS)
            facts[stream] = {"weights": own, "words": words, "frozen": frozen}
        else:
            loaded = _loaded(report.as_dict())
            facts[stream] = {"weights": report.source, "words": f"weights {report.words()}", "frozen": frozen, **loaded}
    return facts


def weights_in_words(facts: Mapping[str, Any]) -> str:
    """``random weights``, ``no parameters``, or what was asked for with the hash of the file."""
    if "words" in facts:
        return str(facts["words"])
    # Of a run of an older version.
    hashed = f" (sha256 {facts['sha256'][:12]})" if "sha256" in facts else ""
    return f"{facts['weights']}{hashed}"


def parameter_counts(model: VideoModel) -> dict[str, int]:
    """Parameters that are trained, and all."""
    return {
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total": sum(p.numel() for p in model.parameters()),
    }


def header(model: VideoModel, config: RunConfig, splits: str, steps: str, fabric: Launched) -> list[str]:
    """The lines printed before training; ``steps`` says how long it is."""
    lines = []
    for stream, facts in weights_facts(model).items():
        parameters = list(model.extractor(stream).parameters())
        count, trained = sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
        state = "frozen" if facts["frozen"] else "trained" if trained == count else f"{trained:,} of them trained"
        lines.append(f"extractor  {stream}: {count:,} parameters, {state}, {weights_in_words(facts)}")
    counts, data, train = parameter_counts(model), config.data, config.train
    parts = f"{config.fusion.name} + {config.readout.name} + {config.head_title}"
    lines.append(f"model      {parts}, {counts['trained']:,} of {counts['total']:,} parameters trained")
    jitter = "random in training" if data.jitter else "the same in every epoch"
    sources = dict.fromkeys(head.source or data.source for head in config.heads) or {data.source: None}
    balance = f", balanced by {data.balance}" if data.balance != "size" else ""
    lines.append(f"data       {' & '.join(sources)}: {splits}{balance}")
    rule = Sampling.asked(data)
    own = {stream: rule.of(model.extractor(stream).clip) for stream in model.streams}
    if len(set(own.values())) == 1:
        lines.append(f"clips      {next(iter(own.values())).in_words()}, {jitter}")
    else:
        lines += [f"clips      {stream}: {sampling.in_words()}, {jitter}" for stream, sampling in own.items()]
    lines.append(f"training   {steps}, seed {train.seed}, {device_name(fabric.device)}, {train.precision}"
                 f"{_processes(fabric)}")  # fmt: skip
    if fabric.world_size > 1 and has_batch_statistics(model):
        lines.append("BatchNorm is trained: each process normalises by its own clips, unlike one process")
    return lines


def has_batch_statistics(model: VideoModel) -> bool:
    """Whether a part that is trained has BatchNorm, which makes a clip depend on its neighbours in the batch."""
    return any(isinstance(module, _BatchNorm) and module.training for module in model.train().modules())


def _processes(fabric: Launched) -> str:
    if isinstance(fabric, OneDevice):
        return ""
    name = type(fabric.strategy).__name__.removesuffix("Strategy")
    return f", {fabric.world_size} processes ({name})" if fabric.world_size > 1 else ""


def result_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of the result table: score, value, 95 % interval, baseline."""
    rows = []
    for name, score in results["test"]["scores"].items():
        interval = score.get("interval95")
        baseline = score.get("baseline", {})
        rows.append(
            (
                name.replace("_", " "),
                f"{score['value']:.4f}",
                f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
                ", ".join(f"{what} {value:.4f}" for what, value in baseline.items()),
            )
        )
    return rows


def grid_rows(grid: Mapping[str, Any], most: int = 5) -> list[tuple[str, str, str, str, str]]:
    """The best combinations of a grid: rate, decay, mean validation score and its deviation, mean best epoch."""
    score = f"val_{grid['score']}"
    return [
        (
            f"{row['lr']:g}",
            f"{row['weight_decay']:g}",
            f"{row[score]:.4f}",
            "" if row[f"{score}_std"] is None else f"{row[f'{score}_std']:.4f}",
            f"{row['best_epoch']:g}",
        )
        for row in grid["combinations"][:most]
    ]


def fold_rows(results: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of the table of folds: score, mean, standard deviation, and the score of each fold."""
    folds = results["folds"]
    return [
        (
            name.replace("_", " "),
            f"{spread['mean']:.4f}",
            f"{spread['sd']:.4f}",
            " ".join(f"{fold[name]:.3f}" for fold in folds["each"][:_SHOWN_FOLDS])
            + (f" and {more} more in results.csv" if (more := len(folds["each"]) - _SHOWN_FOLDS) > 0 else ""),
        )
        for name, spread in folds["scores"].items()
    ]


def _loaded(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without its long lists of matched names, whose numbers are kept."""
    counted = ("matched", "needed")
    return {name: len(value) if name in counted else value for name, value in report.items() if name != "source"}
