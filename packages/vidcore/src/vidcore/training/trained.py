"""A trained model on disk, and back in memory without its training data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, load_model, save_file, save_model

from vidcore.assemble import assemble
from vidcore.catalog import ClipFormat, Registry, installed
from vidcore.config import RunConfig, run_config
from vidcore.config.classifier import names_extractor
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.data.streams import StreamReader
from vidcore.errors import DecodeError, RunError, UnknownNameError
from vidcore.heads.base import TargetInfo
from vidcore.heads.several import shares
from vidcore.model import VideoModel
from vidcore.training.checkpoints import trained_state
from vidcore.training.device import chosen_device
from vidcore.training.environment import missing_plugins
from vidcore.training.files import read_json, replacing, write_json
from vidcore.training.run import open_run
from vidcore.training.sharding import like
from vidcore.training.summary import weights_in_words

_FORMAT = 1

Video = str | os.PathLike[str] | Row
"""A path, or a row with a segment."""
_MODEL_PARTS = ("extractors", "fusion", "readout", "head", "heads")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says about one video: the most probable classes, the best first; or why it could not say.

    A head that predicts numbers gives ``values`` instead, shaped as its targets: (columns,) or (horizons, coordinates).
    A model with several heads gives ``heads``: what each says.
    """

    video: Path
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None
    values: tuple[Any, ...] | None = None
    heads: Mapping[str, Prediction] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The most probable class."""
        return self.top[0][0] if self.top else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        if self.error is not None:
            return {"video": str(self.video), "error": self.error}
        if self.values is not None:
            return {"video": str(self.video), "values": self.values}
        if self.heads:
            said = {label: head.as_dict() for label, head in self.heads.items()}
            for one in said.values():
                one.pop("video")
            return {"video": str(self.video), "heads": said}
        return {"video": str(self.video), "top": [{"label": name, "probability": p} for name, p in self.top]}


class TrainedModel:
    """A model with all it needs to answer about videos: its weights, class names and way of cutting clips.

    Attributes:
        model: the ``VideoModel``, in eval mode.
        config: the configuration of its run.
        targets: classes and their training frequency.
        facts: everything ``model.json`` says: weights, scores, versions.
    """

    def __init__(self, model: VideoModel, config: RunConfig, targets: TargetInfo, facts: dict[str, Any]) -> None:
        self.model = model
        self.config = config
        self.targets = targets
        self.facts = facts

    def __repr__(self) -> str:
        streams = " + ".join(self.model.streams)
        parts = f"{type(self.model.fusion).__name__}, {type(self.model.readout).__name__}, {self.config.head_title}"
        classes = f", {len(self.classes)} classes" if self.classes else ""
        return f"TrainedModel({streams} -> {parts}{classes}, {self.device})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs."""
        return self.targets.classes

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        # What was fitted instead of trained lies in buffers.
        return next(chain(self.model.parameters(), self.model.buffers())).device

    @property
    def sampling(self) -> Sampling:
        """How clips are cut from videos; ``.of`` a stream's clip is what this stream sees."""
        return sampling_of(self.config)

    @property
    def streams(self) -> dict[str, ClipFormat]:
        """The clip each stream takes."""
        return {name: self.model.extractor(name).clip for name in self.model.streams}

    def weights_lines(self) -> list[str]:
        """One line per extractor: where its weights came from before training, and whether they were trained."""
        found = self.facts.get("weights")
        recorded = found if isinstance(found, dict) else {}
        return [
            f"{stream}: {weights_in_words(facts)}{'' if facts.get('frozen') else ', trained since'}"
            for stream, facts in recorded.items()
            if isinstance(facts, dict) and facts.get("weights")
        ]

    def predict(
        self,
        videos: Video | Iterable[Video],
        top_k: int = 5,
        *,
        on_error: Literal["raise", "keep"] = "raise",
    ) -> list[Prediction]:
        """The most probable classes of each video, or its numbers.

        Args:
            videos: paths, or rows with segments; one or several.
            top_k: classes to name.
            on_error: ``keep`` gives a ``Prediction`` with ``error`` for a video that cannot be read.

        Raises:
            VideoError: a video cannot be read, with ``on_error="raise"``.
        """
        return list(self.predict_each(videos, top_k, on_error=on_error))

    def predict_each(
        self,
        videos: Video | Iterable[Video],
        top_k: int = 5,
        *,
        on_error: Literal["raise", "keep"] = "raise",
    ) -> Iterator[Prediction]:
        """As ``predict``, one by one."""
        for video in [videos] if isinstance(videos, (str, os.PathLike, Row)) else videos:
            row = video if isinstance(video, Row) else Row(Path(video))
            try:
                said = self.answer(row).cpu()
            except DecodeError as exc:
                if on_error == "raise":
                    raise
                yield Prediction(row.video, error=str(exc))
                continue
            if not self.targets.parts:
                yield _prediction(row.video, said[0], self.classes, top_k)
                continue
            heads = {
                share.label: _prediction(row.video, share.said(said)[0], share.info.classes, top_k)
                for share in shares(self.targets)
            }
            yield Prediction(row.video, heads=heads)

    @torch.inference_mode()
    def answer(self, row: Row) -> torch.Tensor:
        """What the head predicts for one video, (1, ...)."""
        reader = StreamReader(self.sampling, self.streams, size=self.config.data.size)
        (kinds,) = reader.read(row)
        outputs = self.model({name: view.to(self.device) for name, view in reader.named(kinds).items()})
        return self.model.head.predictions(outputs)


def _prediction(video: Path, said: torch.Tensor, classes: Sequence[str], top_k: int) -> Prediction:
    if not classes:
        return Prediction(video, values=tuple(said.tolist()))
    best = said.topk(min(top_k, len(classes)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Prediction(video, tuple((classes[index], chance) for index, chance in pairs))


def sampling_of(config: RunConfig) -> Sampling:
    """The sampling rule of a resolved configuration; ``.of`` an extractor's clip format is that extractor's own."""
    return Sampling.asked(config.data)


def save_trained(
    folder: Path,
    model: VideoModel,
    config: RunConfig,
    targets: TargetInfo,
    facts: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write ``model.safetensors`` and ``model.json`` to ``folder``.

    Args:
        folder: a run folder.
        model: whole on this process; ``tensors`` are its tensors where it is not.
        config: resolved.
        targets: what the head was told.
        facts: what else ``model.json`` says.
        tensors: all tensors of a model that several processes hold.

    Raises:
        RunError: the disk is full.
    """
    with replacing(folder / "model.safetensors", durable=True) as temporary:
        if tensors is None:
            save_model(model, str(temporary))
        else:
            save_file({name: tensor.clone() for name, tensor in tensors.items()}, str(temporary))
    _save_recipe(folder, config, targets, facts)


def save_part(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    config: RunConfig,
    targets: TargetInfo,
    facts: Mapping[str, Any],
    *,
    whole: Path,
) -> None:
    """As ``save_trained``, of a model's trained tensors only; the others are those of the model in ``whole``.

    ``whole`` is a folder of the same run, above ``folder``; together they can be moved.
    """
    own = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with replacing(folder / "model.safetensors", durable=True) as temporary:
        save_file(own, str(temporary))
    _save_recipe(folder, config, targets, {"whole": os.path.relpath(whole, folder), **facts})


def load_tensors(model: VideoModel, weights: Path, *, whole: Path | None = None) -> None:
    """Fill ``model`` from a file, and what is not in it from ``whole``; without it, the rest stays as it is.

    Raises:
        RunError: the files do not fit the model.
    """
    wanted = set(model.state_dict()) if whole is not None else set(trained_state(model))
    try:
        found = load_file(str(weights), device="cpu")
        missing = wanted - found.keys()
        if missing and whole is not None:
            with safe_open(str(whole), "pt") as file:
                found |= {name: file.get_tensor(name) for name in missing & set(file.keys())}
        own = model.state_dict()
        placed = {name: like(tensor, own[name]) if name in own else tensor for name, tensor in found.items()}
        # A fitted head has its tensors once they are loaded.
        wrong = sorted((wanted - found.keys()) | set(model.load_state_dict(placed, strict=False).unexpected_keys))
        if wrong:
            raise RunError(f"{weights} does not fit its model.json: {len(wrong)} tensors differ, {wrong[0]} among them")
    except (SafetensorError, RuntimeError, OSError) as exc:
        raise RunError(f"{weights} does not fit its model.json: {exc}") from exc


def _save_recipe(folder: Path, config: RunConfig, targets: TargetInfo, facts: Mapping[str, Any]) -> None:
    tree = config.model_dump(mode="json")
    write_json(
        folder / "model.json",
        {
            "format": _FORMAT,
            "vidcore": version("vidcore"),
            **{name: tree[name] for name in _MODEL_PARTS},
            "standardise": config.train.standardise,
            "clips": {name: tree["data"][name] for name in ("frames", "sampling", "stride", "windows", "size")},
            "targets": asdict(targets),
            **facts,
        },
    )


def load(
    run: str | os.PathLike[str],
    *,
    weights: str | None = None,
    classes: str | None = None,
    device: str = "auto",
    registry: Registry | None = None,
) -> TrainedModel:
    """Rebuild the model of a run from ``model.json`` and ``model.safetensors`` alone; no data is needed.

    The name of an extractor gives its published classifier instead: ``load("i3d/inception.k400")``.

    Args:
        run: a run folder, or any folder with these two files; or an extractor's name.
        weights: of an extractor named without a tag: a tag, a file, ``hf:owner/repo/file`` or an https address.
        classes: label set of those weights, where they do not say it; see ``vidcore info``.
        device: auto, cpu or cuda.
        registry: components; by default those installed.

    Raises:
        RunError: the run is not done, or its files do not fit each other.
        UnknownNameError: a plugin of the model is not installed.
        ConfigError: the extractor has no published classifier.
    """
    folder = Path(run)
    if names_extractor(run, registry):
        from vidcore.training.published import load_published

        return load_published(
            str(run), weights=weights, classes=classes, device=device, registry=registry or installed()
        )
    if weights or classes:
        raise RunError(f"{folder} is a run, which has its own weights and classes; leave those out")
    path, tensors = folder / "model.json", folder / "model.safetensors"
    if not (path.is_file() and tensors.is_file()):
        open_run(folder)
        raise RunError(f"{folder} holds no model: the run is not done\n  go on with: vidcore train --resume {folder}")
    facts: dict[str, Any] = read_json(path)
    if facts.get("format") != _FORMAT:
        raise RunError(f"{path} has format {facts.get('format')!r}; this version reads {_FORMAT}: upgrade vidcore")
    parts = {name: facts[name] for name in _MODEL_PARTS if name in facts}
    # Models of before features were standardised have no statistics.
    standardise = {"standardise": facts.get("standardise", False)}
    config = run_config({**parts, "data": facts["clips"], "train": standardise})
    targets = TargetInfo.from_dict(facts["targets"])
    try:
        model = assemble(config, targets, registry, with_weights=False)
    except UnknownNameError as error:
        missing = missing_plugins(facts.get("plugins", {}))
        raise UnknownNameError("\n".join([str(error), *missing])) from error
    try:
        if "whole" in facts:
            load_tensors(model, tensors, whole=_whole(folder, facts["whole"]))
        else:
            load_model(model, str(tensors), device="cpu")
    except (SafetensorError, RuntimeError, OSError) as exc:
        raise RunError(f"{tensors} does not fit {path}: {exc}") from exc
    return TrainedModel(model.to(chosen_device(device)).eval(), config, targets, facts)


def _whole(folder: Path, where: str) -> Path:
    path = folder / where / "model.safetensors"
    if not path.is_file():
        raise RunError(
            f"{folder} holds what one fold trained; the rest is in {path.resolve()}, which is not there: "
            "let the run come to its end, and keep its folder together"
        )
    return path
