"""Whether a host can be reached at all, asked before a library tries for minutes."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 4.0
"""How long a name server and a host together may take to answer."""


def unreachable(address: str) -> str:
    """Why ``https://host[:port]`` cannot be connected to, or nothing where it can.

    Where a proxy stands in between, it is the proxy that must be there. The name is looked up in a thread of its own:
    without a network that alone can take longer than anyone waits.
    """
    host, port = _endpoint(address)
    found: list[str] = []
    thread = threading.Thread(target=_connect, args=(host, port, found), daemon=True)
    thread.start()
    thread.join(SECONDS)
    return found[0] if found else f"{host} does not answer within {SECONDS:g} s"


def _endpoint(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(parts.hostname or ""):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)


def _connect(host: str, port: int, found: list[str]) -> None:
    try:
        with socket.create_connection((host, port), timeout=SECONDS):
            found.append("")
    except OSError as exc:
        found.append(f"{host} cannot be reached ({exc.strerror or exc})")
