"""Where a published file is looked for, how it gets here, and what is said when it cannot."""

from __future__ import annotations

import hashlib
import http.server
import importlib.util
import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from vidcore.cache import cache_dir
from vidcore.catalog import ExtractorSpec, WeightsInfo, installed
from vidcore.errors import WeightsError
from vidcore.weights import check_digest, find_weights, place_of
from vidcore.weights._places import HubFile, UrlFile
from vidcore.weights._reach import unreachable

HUB = WeightsInfo(tag="ssl", source="hf:authors/net/pytorch_model.bin")
URL = WeightsInfo(tag="k400", source="https://files.example.org/zoo/NET_8x8.pyth", sha256="a" * 8)
CONTENT = b"the weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def into_hub(hub: Path, name: str, commit: str = "0" * 40) -> Path:
    """A file in the layout of the hub's cache."""
    repo = hub / "models--authors--net"
    put(repo / "refs" / "main", commit.encode())
    return put(repo / "snapshots" / commit / name)


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_dir("weights") == tmp_path / "own" / "weights"
    monkeypatch.delenv("VIDCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir("weights") == tmp_path / "xdg" / "vidcore" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir("weights") == tmp_path / ".cache" / "vidcore" / "weights"


def test_hub_cache(make_net, caches):
    path = into_hub(caches["hub"], "pytorch_model.bin")
    found = find_weights(make_net(HUB).spec, "ssl")
    assert (found.path, found.source, found.name) == (path, "ssl", "tiny/net.ssl")


def test_hub_file_copied_by_hand(make_net, caches):
    path = put(caches["own"] / "weights" / "huggingface.co" / "authors" / "net" / "pytorch_model.bin")
    assert find_weights(make_net(HUB).spec, "ssl").path == path


def test_hub_address_and_revision(make_net, caches):
    path = into_hub(caches["hub"], "sub/model.safetensors", "1" * 40)
    spec = make_net().spec
    assert find_weights(spec, "hf:authors/net/sub/model.safetensors").path == path
    assert find_weights(spec, f"hf:authors/net@{'1' * 40}/sub/model.safetensors").path == path
    with pytest.raises(WeightsError, match="not on this machine"):
        find_weights(spec, f"hf:authors/net@{'2' * 40}/sub/model.safetensors")


@pytest.mark.parametrize("address", ["hf:authors/net", "hf:net", "hf:a/b/../../c", "hf:"])
def test_hub_addresses_of_another_form(make_net, address):
    with pytest.raises(WeightsError, match="not of the form hf:owner/repo/file"):
        find_weights(make_net().spec, address)


def test_index_without_its_shards_is_not_here(make_net, caches):
    index = into_hub(caches["hub"], "model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    place = place_of("hf:authors/net/model.safetensors.index.json")
    assert place.cached() is None
    put(index.parent / "model-1.safetensors")
    assert place.cached() == index


@pytest.mark.parametrize("where", ["own", "torch"])
def test_url_caches(make_net, caches, where):
    path = (
        caches["own"] / "weights" / "files.example.org" / "zoo" / "NET_8x8.pyth"
        if where == "own"
        else caches["torch"] / "hub" / "checkpoints" / "NET_8x8.pyth"
    )
    put(path)
    assert find_weights(make_net(URL).spec, "k400").path == path


def test_url_stays_inside_the_cache(caches):
    place = place_of("https://files.example.org/zoo/%2e%2e/../../../escape.pth?token=1")
    own = caches["own"] / "weights" / "files.example.org"
    assert place.candidates()[0] == own / "zoo" / "escape.pth"


def test_offline_says_what_where_and_how(make_net, caches):
    with pytest.raises(WeightsError) as caught:
        find_weights(make_net(URL).spec, "k400")
    own = caches["own"] / "weights" / "files.example.org" / "zoo" / "NET_8x8.pyth"
    assert str(caught.value).splitlines() == [
        "the weights tiny/net.k400 are not on this machine, and HF_HUB_OFFLINE is set, so nothing is downloaded",
        "  wanted: https://files.example.org/zoo/NET_8x8.pyth",
        "  looked for:",
        f"    {own}",
        f"    {caches['torch'] / 'hub' / 'checkpoints' / 'NET_8x8.pyth'}",
        "  with a network: vidcore weights fetch tiny/net.k400",
        f"  without one: copy the file to {own}, or say where it is: weights=PATH",
    ]


def test_offline_hub_file(make_net, caches):
    with pytest.raises(WeightsError) as caught:
        find_weights(make_net(HUB).spec, "ssl")
    text = str(caught.value)
    assert "wanted: hf:authors/net/pytorch_model.bin" in text
    assert str(caches["hub"] / "models--authors--net" / "snapshots") in text
    assert str(caches["own"] / "weights" / "huggingface.co" / "authors" / "net" / "pytorch_model.bin") in text


def test_unknown_tag_lists_the_tags(make_net):
    with pytest.raises(WeightsError, match=r"tiny/net has no weights 'k600'.*\n  published tags: ssl, k400"):
        find_weights(make_net(HUB, URL).spec, "k600")
    with pytest.raises(WeightsError, match="tiny/net has no published weights"):
        find_weights(make_net().spec, "missing/file.pth")


def test_a_tag_goes_before_a_file_of_its_name(make_net, caches, monkeypatch, tmp_path):
    put(tmp_path / "k400")
    monkeypatch.chdir(tmp_path)
    here = put(caches["torch"] / "hub" / "checkpoints" / "NET_8x8.pyth")
    assert find_weights(make_net(URL).spec, "k400").path == here
    assert find_weights(make_net(URL).spec, "./k400").path == Path("k400")


def test_plain_http_is_refused(make_net):
    with pytest.raises(WeightsError, match="only https addresses are fetched"):
        find_weights(make_net().spec, "http://files.example.org/net.pth")


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vidcore.weights._find.unreachable", lambda _: "")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://127.0.0.1:9", r"127\.0\.0\.1 cannot be reached \("),
        # RFC 2606: a name that never resolves.
        ("https://files.invalid", r"files\.invalid (cannot be reached \(|does not answer within)"),
    ],
)
def test_a_host_that_is_not_there(monkeypatch, address, message):
    monkeypatch.setattr("vidcore.weights._reach.getproxies", dict)
    monkeypatch.setattr("vidcore.weights._reach.SECONDS", 1.0)
    before = time.monotonic()
    assert re.match(message, unreachable(address))
    assert time.monotonic() - before < 5


def test_a_host_that_says_nothing(monkeypatch):
    monkeypatch.setattr("vidcore.weights._reach.SECONDS", 0.05)
    monkeypatch.setattr("vidcore.weights._reach._connect", lambda *_: time.sleep(1))
    assert unreachable("https://files.example.org") == "files.example.org does not answer within 0.05 s"


def test_behind_a_proxy_the_proxy_must_be_there(monkeypatch, server):
    monkeypatch.setattr("vidcore.weights._reach.getproxies", lambda: {"https": server})
    monkeypatch.setattr("vidcore.weights._reach.proxy_bypass", lambda _: False)
    assert unreachable("https://files.invalid") == ""


def test_no_network_is_one_line(make_net, caches, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vidcore.weights._find.unreachable", lambda host: f"{host} cannot be reached (no route)")
    with pytest.raises(WeightsError) as caught:
        find_weights(make_net(URL).spec, "k400")
    own = caches["own"] / "weights" / "files.example.org" / "zoo" / "NET_8x8.pyth"
    assert str(caught.value) == (
        "cannot fetch tiny/net.k400: https://files.example.org cannot be reached (no route); "
        f"without a network copy the file to {own}"
    )


def test_the_hub_of_a_mirror(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://mirror.example.org")
    assert place_of(HUB.source).host == "https://mirror.example.org"
    assert place_of(URL.source).host == "https://files.example.org"


def test_finding_a_file_imports_no_framework():
    code = (
        "import sys; from vidcore.weights import place_of; "
        f"place_of({URL.source!r}).cached(); place_of({HUB.source!r}).cached(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_hub_download(make_net, caches, monkeypatch, online):
    asked = []

    def download(repo, name, revision=None):
        asked.append((repo, name, revision))
        path = into_hub(caches["hub"], name)
        if name.endswith(".json"):
            path.write_text(json.dumps({"weight_map": {"a": "part-1.bin", "b": "part-2.bin", "c": "part-1.bin"}}))
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert find_weights(make_net(HUB).spec, "ssl").path.read_bytes() == CONTENT
    assert asked == [("authors/net", "pytorch_model.bin", None)]
    find_weights(make_net().spec, "hf:authors/net/sub/model.bin.index.json")
    assert [name for _, name, _ in asked[1:]] == ["sub/model.bin.index.json", "sub/part-1.bin", "sub/part-2.bin"]


def test_hub_file_of_either_name(caches, monkeypatch, online):
    from huggingface_hub.errors import RemoteEntryNotFoundError

    def download(repo, name, revision=None):
        if name == "model.safetensors":
            raise RemoteEntryNotFoundError("404", response=_Response())
        return str(into_hub(caches["hub"], name))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    both = HubFile("authors/net", ("model.safetensors", "pytorch_model.bin"))
    assert both.fetch().name == "pytorch_model.bin"
    with pytest.raises(WeightsError, match=r"authors/net of the hub has no file 'model.safetensors'"):
        HubFile("authors/net", ("model.safetensors",)).fetch()


class _Response:
    headers: dict[str, str] = {}  # noqa: RUF012
    request = None
    status_code = 404


def test_failed_hub_download_says_why(make_net, monkeypatch, online):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(repo, name, revision=None):
        raise LocalEntryNotFoundError("cannot reach the hub\nmore lines")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(WeightsError, match=r"fetching it failed: cannot reach the hub\n  wanted: hf:authors/net"):
        find_weights(make_net(HUB).spec, "ssl")


def test_no_download_unless_asked_for(make_net, monkeypatch, online):
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("it downloaded"))
    with pytest.raises(WeightsError, match="not on this machine"):
        find_weights(make_net(URL).spec, "k400", download=False)


@pytest.fixture
def server(monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/zoo/net.pth" else 404)
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_): ...

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/zoo/"
        running.shutdown()


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256[:8]])
def test_url_download(server, caches, sha256):
    place = UrlFile(server + "net.pth", sha256)
    path = place.fetch()
    assert path == caches["own"] / "weights" / "127.0.0.1" / "zoo" / "net.pth"
    assert path.read_bytes() == CONTENT
    assert place.cached() == path


@pytest.mark.parametrize(("name", "message"), [("net.pth", "invalid hash"), ("absent.pth", "404")])
def test_failed_url_download_leaves_nothing(server, caches, name, message):
    with pytest.raises(WeightsError, match=message):
        UrlFile(server + name, "0" * 8).fetch()
    assert not [path for path in caches["own"].rglob("*") if path.is_file()]


def test_digest_of_another_file(make_net, caches):
    spec = make_net(URL).spec
    put(caches["torch"] / "hub" / "checkpoints" / "NET_8x8.pyth")
    with pytest.raises(WeightsError) as caught:
        check_digest(spec, find_weights(spec, "k400"))
    assert "is not the published file of tiny/net.k400" in str(caught.value)
    assert f"sha256 expected aaaaaaaa\n  sha256 found    {SHA256}" in str(caught.value)


def test_digest_that_is_published(make_net, tmp_path):
    info = WeightsInfo(tag="k400", source=URL.source, sha256=SHA256.upper())
    path = put(tmp_path / "renamed.pth")
    assert check_digest(make_net(info).spec, find_weights(make_net(info).spec, str(path))) == (SHA256, True)
    assert check_digest(make_net(HUB).spec, find_weights(make_net(HUB).spec, str(path))) == (SHA256, False)


def test_torchvision_weights(caches):
    place = place_of("torchvision:R3D_18_Weights.KINETICS400_V1")
    assert place.candidates()[1] == caches["torch"] / "hub" / "checkpoints" / "r3d_18-b3b3357e.pth"
    assert place.sha256 == "b3b3357e"
    with pytest.raises(WeightsError, match=r"the installed torchvision has no such weights; expected Enum.TAG"):
        place_of("torchvision:R3D_18_Weights.KINETICS600_V1")
    with pytest.raises(WeightsError, match="no such weights"):
        place_of("torchvision:r3d_18")


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_timm_weights():
    place = place_of("timm:vit_base_patch16_224.augreg_in21k_ft_in1k")
    assert place == HubFile(
        "timm/vit_base_patch16_224.augreg_in21k_ft_in1k", ("model.safetensors", "pytorch_model.bin")
    )
    with pytest.raises(WeightsError, match="has no weights of this name"):
        place_of("timm:no_such_network")
    with pytest.raises(WeightsError, match="Invalid pretrained tag"):
        place_of("timm:vit_base_patch16_224.no_such_tag")


def test_every_installed_source_is_understood():
    """Each published source names a file that this machine's libraries know where to put."""
    specs = [entry.spec for entry in installed().entries("extractor")]
    sources = {info.source for spec in specs if isinstance(spec, ExtractorSpec) for info in spec.weights}
    for source in sources:
        place = place_of(source)
        assert place is not None, source
        assert place.candidates()[0].is_relative_to(cache_dir("weights")), source


def test_cache_that_cannot_be_written(server, caches):
    put(caches["own"])
    with pytest.raises(WeightsError, match="Not a directory"):
        UrlFile(server + "net.pth").fetch()
