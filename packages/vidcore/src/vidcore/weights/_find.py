"""What a person asks for -> a file on this machine."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidcore.catalog import ExtractorSpec, WeightsInfo
from vidcore.config.early import check_weights
from vidcore.errors import WeightsError
from vidcore.weights._files import digest, weights_file
from vidcore.weights._places import HubFile, Place, UrlFile
from vidcore.weights._reach import unreachable

# timm's and torchvision's file names end in the first digits of their SHA-256, a convention of torch hub.
_DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A weights file on this machine and what is published of it."""

    path: Path
    source: str
    """What was asked for: a tag, a path, ``hf:owner/repo/file`` or an address."""
    name: str
    """``family/variant.tag``, or the source where it is no tag; for messages."""
    sha256: str | None = None
    """The published digest, or its first digits."""


def find_weights(spec: ExtractorSpec, source: str, *, download: bool = True) -> FoundFile:
    """The file that ``source`` means for an extractor, downloaded if it is not here.

    Args:
        spec: of the extractor; its published tags come first.
        source: a tag of ``spec.weights``, a file or a folder of transformers or timm,
            ``hf:owner/repo/file`` or an https address.
        download: False: only look on this machine.

    Raises:
        WeightsError: no such tag or file; or not on this machine and not to be had, in which case the
            message says which file is wanted, where it was looked for and how to put it there.
    """
    info = next((info for info in spec.weights if info.tag == source), None)
    place = place_of(info.source if info else source)
    if place is None:
        return FoundFile(_local(spec, source), source, source)
    name = f"{spec.name}.{info.tag}" if info else source
    path = place.cached()
    if path is None:
        path = _fetch(place, name, info, download)
    return FoundFile(path, source, name, (info.sha256 if info else None) or place.sha256)


def check_digest(spec: ExtractorSpec, found: FoundFile) -> tuple[str, bool]:
    """SHA-256 of a file, and whether a published digest confirms it.

    A file named by its path is confirmed where any of the extractor's weights has its digest.

    Raises:
        WeightsError: a digest is published for this file, and it is another.
    """
    sha256 = digest(found.path)
    if found.sha256 is None:
        return sha256, any(info.sha256 and sha256.startswith(info.sha256.lower()) for info in spec.weights)
    if not sha256.startswith(found.sha256.lower()):
        raise WeightsError(
            f"{found.path} is not the published file of {found.name}\n"
            f"  sha256 expected {found.sha256}\n  sha256 found    {sha256}\n"
            "  a broken or another download? delete it and fetch it again"
        )
    return sha256, True


def place_of(address: str) -> Place | None:
    """Where a published file comes from; None for a path of this machine.

    Raises:
        WeightsError: an address of a known form that names nothing, or plain http.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "hf":
        return HubFile.parse(rest)
    if scheme == "https":
        return UrlFile(address)
    if scheme == "timm":
        return _timm(rest)
    if scheme == "torchvision":
        return _torchvision(rest)
    if "://" in address:
        raise WeightsError(f"{address}: only https addresses are fetched; download it yourself and name the file")
    return None


def _timm(name: str) -> Place:
    timm = _library("timm", name)
    try:
        pretrained = timm.models.get_pretrained_cfg(name)
    except RuntimeError as exc:
        raise WeightsError(f"'timm:{name}': {exc}") from exc
    if pretrained is None or not (pretrained.hf_hub_id or pretrained.url):
        raise WeightsError(f"'timm:{name}': the installed timm ({timm.__version__}) has no weights of this name")
    if pretrained.hf_hub_id:
        own = pretrained.hf_hub_filename
        return HubFile(pretrained.hf_hub_id, (own,) if own else ("model.safetensors", "pytorch_model.bin"))
    return UrlFile(pretrained.url, _digest_in_name(pretrained.url))


def _torchvision(name: str) -> Place:
    models = _library("torchvision.models", name)
    try:
        url = models.get_weight(name).url
    except (ValueError, KeyError, AttributeError) as exc:
        raise WeightsError(
            f"'torchvision:{name}': the installed torchvision has no such weights; "
            "expected Enum.TAG, for example R3D_18_Weights.KINETICS400_V1"
        ) from exc
    return UrlFile(url, _digest_in_name(url))


def _library(module: str, name: str) -> Any:
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise WeightsError(f"'{library}:{name}' needs {library}: pip install {library} ({exc})") from exc


def _digest_in_name(url: str) -> str | None:
    found = _DIGEST_IN_NAME.search(url)
    return found[1] if found else None


def _local(spec: ExtractorSpec, source: str) -> Path:
    check_weights(spec, source)
    return weights_file(Path(source).expanduser())


def _fetch(place: Place, name: str, info: WeightsInfo | None, download: bool) -> Path:
    if not download:
        raise WeightsError(_absent(place, name, info, "downloading was not asked for"))
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise WeightsError(_absent(place, name, info, "HF_HUB_OFFLINE is set, so nothing is downloaded"))
    if reason := unreachable(place.host):
        raise WeightsError(f"cannot fetch {name}: {reason}; without a network copy the file to {place.candidates()[0]}")
    try:
        return place.fetch()
    except WeightsError as exc:
        raise WeightsError(_absent(place, name, info, f"fetching it failed: {exc}")) from exc


def _absent(place: Place, name: str, info: WeightsInfo | None, why: str) -> str:
    candidates = place.candidates()
    fetch = f"vidcore weights fetch {name}" if info else "download it"
    return "\n".join(
        [
            f"the weights {name} are not on this machine, and {why}",
            f"  wanted: {place.address}",
            "  looked for:",
            *(f"    {path}" for path in candidates),
            f"  with a network: {fetch}",
            f"  without one: copy the file to {candidates[0]}, or say where it is: weights=PATH",
        ]
    )
