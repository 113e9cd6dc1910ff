"""Published files: where each comes from, and where it lies on this machine once it is here."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from vidcore.cache import cache_dir
from vidcore.errors import WeightsError
from vidcore.weights._files import shard_names

_HUB_ADDRESS = re.compile(r"(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+?)(?:@(?P<revision>[\w.-]+))?/(?P<file>[^@]+)")


class Place(Protocol):
    """A published file."""

    @property
    def address(self) -> str:
        """Where it comes from."""
        ...

    @property
    def host(self) -> str:
        """Address of the machine it comes from: ``https://host`` or ``https://host:port``."""
        ...

    @property
    def sha256(self) -> str | None:
        """The digest, or the first digits of it, that the address itself states."""
        ...

    def candidates(self) -> list[Path]:
        """Where it is looked for, in order; a file copied to the first of them is found."""
        ...

    def cached(self) -> Path | None:
        """The file on this machine, if it is here."""
        ...

    def fetch(self) -> Path:
        """Download it.

        Raises:
            WeightsError: the download failed; the message says why.
        """
        ...


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the Hugging Face hub; ``names`` are tried in order."""

    repo: str
    names: tuple[str, ...]
    revision: str | None = None
    sha256: str | None = None

    @classmethod
    def parse(cls, address: str) -> HubFile:
        """Read ``owner/repo/file`` or ``owner/repo@revision/file``.

        Raises:
            WeightsError: the address has another form.
        """
        parts = _HUB_ADDRESS.fullmatch(address)
        if parts is None or ".." in address.split("/"):
            raise WeightsError(f"'hf:{address}' is not of the form hf:owner/repo/file or hf:owner/repo@revision/file")
        return cls(f"{parts['owner']}/{parts['repo']}", (parts["file"],), parts["revision"])

    @property
    def address(self) -> str:
        """``hf:owner/repo/file``."""
        return f"hf:{self.repo}{'@' + self.revision if self.revision else ''}/{self.names[0]}"

    @property
    def host(self) -> str:
        """The hub, or the mirror that ``HF_ENDPOINT`` names."""
        from huggingface_hub import constants

        return str(constants.ENDPOINT)

    def candidates(self) -> list[Path]:
        """A plain copy in vidcore's cache, then the hub's own cache."""
        from huggingface_hub import constants

        hub = Path(constants.HF_HUB_CACHE, f"models--{self.repo.replace('/', '--')}", "snapshots")
        copies = [self._copy(name) for name in self.names]
        return [*copies, *(hub / (self.revision or "*") / name for name in self.names)]

    def cached(self) -> Path | None:
        """The file in either cache."""
        from huggingface_hub import try_to_load_from_cache

        for name in self.names:
            cached = try_to_load_from_cache(self.repo, name, revision=self.revision)
            for path in (self._copy(name), Path(cached) if isinstance(cached, str) else None):
                if path and path.is_file() and all(path.with_name(shard).is_file() for shard in shard_names(path)):
                    return path
        return None

    def fetch(self) -> Path:
        """Download into the hub's cache, with the shards where the file is an index; see ``Place.fetch``."""
        from huggingface_hub.errors import RemoteEntryNotFoundError

        for name in self.names:
            try:
                path = self._download(name)
            except RemoteEntryNotFoundError as exc:
                if name == self.names[-1]:
                    raise WeightsError(f"repository {self.repo} of the hub has no file {name!r}") from exc
            else:
                return path
        raise WeightsError(f"no file is named in repository {self.repo} of the hub")

    def _download(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RemoteEntryNotFoundError

        # Its first base is the error of the HTTP library that the installed hub client uses.
        http_error: Any = HfHubHTTPError.__bases__[0]
        try:
            path = Path(hf_hub_download(self.repo, name, revision=self.revision))
            if name.endswith(".index.json"):
                for shard in shard_names(path):
                    hf_hub_download(self.repo, str(Path(name).with_name(shard)), revision=self.revision)
        except RemoteEntryNotFoundError:
            raise
        except (OSError, HFValidationError, http_error) as exc:
            raise WeightsError(_first_line(exc)) from exc
        return path

    def _copy(self, name: str) -> Path:
        revision = f"@{self.revision}" if self.revision else ""
        return cache_dir("weights") / "huggingface.co" / f"{self.repo}{revision}" / name


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file behind an https address."""

    url: str
    sha256: str | None = None

    @property
    def address(self) -> str:
        """The address itself."""
        return self.url

    @property
    def host(self) -> str:
        """Scheme and host of the address."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def candidates(self) -> list[Path]:
        """The cache of vidcore, by host and path, then the cache of torch hub and torchvision, by file name."""
        parts = urlsplit(self.url)
        steps = [step for step in unquote(parts.path).split("/") if step not in ("", ".", "..")]
        if not steps:
            raise WeightsError(f"{self.url} names no file")
        return [cache_dir("weights").joinpath(parts.hostname or "", *steps), _torch_hub() / "checkpoints" / steps[-1]]

    def cached(self) -> Path | None:
        """The file in either cache."""
        return next((path for path in self.candidates() if path.is_file()), None)

    def fetch(self) -> Path:
        """Download to a temporary name, check what digest is known, rename; see ``Place.fetch``."""
        from torch.hub import download_url_to_file

        path = self.candidates()[0]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            download_url_to_file(self.url, str(path), hash_prefix=self.sha256, progress=sys.stderr.isatty())
        # An address that does not parse is a ValueError, a wrong digest a RuntimeError, the network an OSError.
        except (OSError, RuntimeError, ValueError) as exc:
            raise WeightsError(_first_line(exc)) from exc
        return path


def _torch_hub() -> Path:
    """The folder of torch hub, found without importing torch where nobody has."""
    if "torch" in sys.modules:
        from torch.hub import get_dir

        return Path(get_dir())
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or f"{shared}/torch").expanduser() / "hub"


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
