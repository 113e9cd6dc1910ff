"""Writes the catalogue of timm's models: ``python -m vidplug_timm.freeze [RESULTS]``, after every upgrade of timm.

RESULTS is ``results/results-imagenet.csv`` of timm's repository, from which top-1 accuracies are read; those that it
lacks, and all of them without it, stay as the catalogue holds them. These are of that file at commit aa4b585. Weights
without an ImageNet-1k classifier, and those that timm has not measured, have none.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from .network import build
from .tiny import TINY, TINY_SIDE, Layout
from .variants import VARIANTS

PATH = Path(__file__).with_name("catalogue.json")

# What the parts of timm's tags stand for, as its documentation and the models' pages name the data sets.
_DATA = {
    "in1k": "ImageNet-1k",
    "in10k": "ImageNet-10k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "inat21": "iNaturalist 2021",
    "jft300m": "JFT-300M",
    "ig1b": "Instagram-1B",
    "yfcc100m": "YFCC-100M",
    "yfcc15m": "YFCC-15M",
    "cc12m": "CC12M",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "laiona": "LAION-Aesthetic",
    "laion": "LAION",
    "datacompxl": "DataComp-XL",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "merged2b": "Merged-2B",
    "webli": "WebLI",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "sa1b": "SA-1B",
    "openai": "OpenAI's 400 M image-text pairs",
    "places365": "Places365",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """What one forward on the meta device says of an architecture."""

    parameters: int
    layout: Layout
    width: int
    stride: tuple[int, int]
    rounding: str
    pooled: int
    prefix: int
    cls: int
    token: int


class NoMapError(Exception):
    """An architecture whose ``forward_features`` is not one map of the frame."""


def probe(network: nn.Module, size: tuple[int, int]) -> Probe:
    """Read layout, widths and stride off a timm network that lives on the meta device.

    Raises:
        NoMapError: ``forward_features`` gives several maps, or none.
    """
    with torch.no_grad():
        features = network.forward_features(torch.zeros(1, 3, *size, device="meta"))
        if not isinstance(features, Tensor):
            raise NoMapError(f"forward_features gives a {type(features).__name__}")
        if features.dim() not in (3, 4):
            raise NoMapError(f"forward_features gives a tensor of {features.dim()} axes")
        pooled = network.forward_head(features, pre_logits=True)
    if not isinstance(pooled, Tensor) or pooled.dim() != 2:
        raise NoMapError("forward_head gives no vector")
    width = int(network.num_features)
    prefix = 0
    if features.dim() == 4:
        layout: Layout = "NCHW" if features.shape[1] == width else "NHWC"
        if features.shape[1 if layout == "NCHW" else 3] != width:
            raise NoMapError(f"neither axis of {tuple(features.shape)} has the {width} channels it states")
        rows, columns = features.shape[2:] if layout == "NCHW" else features.shape[1:3]
    else:
        layout, tokens = "NLC", features.shape[1]
        if features.shape[2] != width:
            raise NoMapError(f"the last axis of {tuple(features.shape)} has not the {width} channels it states")
        rows, columns = _grid(network, size, tokens)
        prefix = tokens - rows * columns
    stride, rounding = _stride(network, size, (rows, columns))
    has_cls = prefix > 0 and _has_class_token(network)
    return Probe(
        parameters=sum(p.numel() for p in network.parameters()),
        layout=layout,
        width=width,
        stride=stride,
        rounding=rounding,
        pooled=pooled.shape[1],
        prefix=prefix,
        cls=int(has_cls),
        token=int(has_cls and getattr(network, "global_pool", "") == "token"),
    )


def _reduction(network: nn.Module) -> int:
    info = getattr(network, "feature_info", None)
    return int(info[-1]["reduction"]) if info and isinstance(info, list) else 0


def _has_class_token(network: nn.Module) -> bool:
    # CoaT has one per stage: cls_token1 to cls_token4.
    return any(name.startswith("cls_token") for name, _ in network.named_parameters(recurse=False))


def _grid(network: nn.Module, size: tuple[int, int], tokens: int) -> tuple[int, int]:
    """Rows and columns of the tokens that are left behind the class and register tokens."""
    if tokens <= 2:
        raise NoMapError(f"forward_features gives tokens of the whole frame only ({tokens})")
    stated = getattr(network, "num_prefix_tokens", None)
    reduction = _reduction(network)
    for prefix in (int(_has_class_token(network)), 0) if stated is None else (int(stated),):
        places = tokens - prefix
        side = math.isqrt(places)
        grids = [(side, side)] if size[0] == size[1] else []
        if reduction:
            grids = [(-(-size[0] // reduction), -(-size[1] // reduction)), *grids]
        for rows, columns in grids:
            if rows * columns == places:
                return rows, columns
    raise NoMapError(f"its {tokens} tokens are no grid")


def _stride(network: nn.Module, size: tuple[int, int], grid: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """The stride that explains the grid: the stated one, else the smallest that does."""
    stated = _reduction(network)
    for rounding in ("ceil", "floor"):
        found = []
        for length, steps in zip(size, grid, strict=True):
            candidates = [stated, round(length / steps), *range(1, length + 1)]
            fits = (s for s in candidates if s and (-(-length // s) if rounding == "ceil" else length // s) == steps)
            found.append(next(fits, 0))
        if all(found):
            return (found[0], found[1]), rounding
    raise NoMapError(f"no stride explains a grid of {grid} for {size}")


def clip_of(cfg: Any) -> list[Any]:
    """A row of ``CLIPS``: what ``transforms_imagenet_eval`` of timm does with the sizes and the crop of ``cfg``."""
    _, height, width = cfg.input_size
    before: Any = math.floor(min(height, width) / cfg.crop_pct)
    if cfg.crop_mode == "squash":
        before = 0 if cfg.crop_pct == 1 else [math.floor(side / cfg.crop_pct) for side in (height, width)]
    elif cfg.crop_mode == "border":
        before = "pad"
    interpolation = cfg.interpolation if cfg.interpolation in ("bilinear", "bicubic") else "bicubic"
    return [height, width, before, interpolation, list(cfg.mean), list(cfg.std)]


def trained_on(tag: str) -> str:
    """The data sets a timm tag names, in the order of training; empty where it names none."""
    sets = []
    for part in tag.split("_"):
        known = _DATA.get(part, "")
        if known and known not in sets:
            sets.append(known)
    return ", then ".join(sets)


def _describe(name: str) -> dict[str, Any]:
    """The row of one architecture, with everything spelt out; {'left_out': why} where it gives no map."""
    torch.set_num_threads(1)
    cfg = get_pretrained_cfg(TINY[name][0] if name in TINY else name)
    try:
        if cfg is None:
            raise NoMapError("it has no default configuration")
        if cfg.input_size is None or cfg.input_size[0] != 3:
            raise NoMapError(f"it takes {cfg.input_size}, not RGB frames")
        size = (TINY_SIDE, TINY_SIDE) if name in TINY else cfg.input_size[1:]
        with torch.device("meta"):
            network = build(name).eval()
        found = probe(network, size)
    except NoMapError as exc:
        return {"name": name, "left_out": str(exc)}
    except Exception as exc:  # noqa: BLE001  what a network of a stranger's raises on the meta device is kept as the reason
        return {"name": name, "left_out": f"{type(exc).__name__}: {str(exc).splitlines()[0][:100] if str(exc) else ''}"}
    clip = [*size, 0, *clip_of(cfg)[3:]] if name in TINY else clip_of(cfg)
    return {"name": name, "probe": found, "clip": clip, "weights": [] if name in TINY else list(_weights(name))}


def _weights(name: str) -> Iterator[tuple[str, list[Any], str, str]]:
    for full in timm.list_pretrained(f"{name}.*"):
        cfg = get_pretrained_cfg(full)
        tag = full.partition(".")[2]
        if tag and cfg is not None and (cfg.hf_hub_id or cfg.url):
            yield tag, clip_of(cfg), cfg.license or "unknown", trained_on(tag)


class _Table:
    """Values that many rows share, each written once."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def index(self, value: Any) -> int:
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def scores(results: Path | None = None) -> dict[str, tuple[float, int]]:
    """Top-1 accuracy on ImageNet-1k, in per cent, and the side it was measured at, by the full name of the weights."""
    known = {
        f"{v.name}.{tag}": (score, side) for v in VARIANTS.values() for tag, _, _, _, score, side in v.weights if score
    }
    if results is None:
        return known
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return known | {row["model"]: (round(float(row["top1"]), 2), int(row["img_size"])) for row in rows}


def catalogue(rows: list[dict[str, Any]], scores: dict[str, tuple[float, int]]) -> str:
    """The catalogue file: shared values first, then a line per architecture."""
    clips, licences, sets = _Table(), _Table(), _Table()
    lines = []
    for row in rows:
        if "probe" not in row:
            continue
        p: Probe = row["probe"]
        weights = [
            [tag, clips.index(clip), licences.index(lic), sets.index(on), *scores.get(f"{row['name']}.{tag}", (0, 0))]
            for tag, clip, lic, on in row["weights"]
        ]
        values = [
            row["name"],
            p.parameters,
            p.layout,
            p.width,
            *p.stride,
            p.rounding,
            p.pooled,
            p.prefix,
            p.cls,
            p.token,
        ]
        lines.append(_json([*values, clips.index(row["clip"]), weights]))
    left_out = {row["name"]: row["left_out"] for row in rows if "left_out" in row}
    head = {"timm": timm.__version__, "licences": licences.values, "trained_on": sets.values, "left_out": left_out}
    body = ",\n".join(lines)
    clip_lines = ",\n".join(map(_json, clips.values))
    return f'{_json(head)[:-1]},\n"clips":[\n{clip_lines}\n],\n"models":[\n{body}\n]}}\n'


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    """Probe every architecture of the installed timm and rewrite the catalogue."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(_describe, [*timm.list_models(), *TINY], chunksize=8))
    temporary = PATH.with_suffix(".part")
    temporary.write_text(catalogue(rows, scores(*map(Path, sys.argv[1:2]))))
    temporary.replace(PATH)
    kept = sum("probe" in row for row in rows)
    print(f"{kept} of {len(rows)} architectures of timm {timm.__version__} -> {Path(PATH).name}")


if __name__ == "__main__":
    main()
