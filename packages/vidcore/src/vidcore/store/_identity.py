"""What a collection holds, in words and as a folder name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from vidcore.errors import StoreError

_DIGITS = 16
# Follow from the name, the options and the weights; too long for a line.
_UNSAID = ("clip", "plugin")


def identity_digest(identity: Mapping[str, Any]) -> str:
    """SHA-256 of an identity; the order of its keys does not matter.

    Raises:
        StoreError: It is empty or holds what JSON cannot say.
    """
    try:
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise StoreError(f"the identity of a collection must be plain JSON data: {exc}") from exc
    if not identity or json.loads(text) != dict(identity):
        raise StoreError(
            "the identity of a collection must be plain JSON data, not empty, that reads back as it was written "
            f"(lists, no tuples; text keys); got {dict(identity)!r}"
        )
    return hashlib.sha256(text.encode()).hexdigest()


def folder_name(identity: Mapping[str, Any], digest: str) -> str:
    """A name a person recognises and a program finds: x3d-xs-0123456789abcdef."""
    name = identity.get("name") or identity.get("extractor")
    slug = re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")[:40] if isinstance(name, str) else ""
    return f"{slug or 'collection'}-{digest[:_DIGITS]}"


def in_words(identity: Mapping[str, Any]) -> str:
    """One line for tables: the name, then what a person chose, long hashes cut."""
    words = []
    for key, value in identity.items():
        if key in _UNSAID:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        short = text[:12] if re.fullmatch(r"[0-9a-f]{32,}", text) else text
        words.append(short if key == "name" else f"{key}={short}")
    return ", ".join(words)
