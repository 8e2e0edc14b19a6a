"""Downloads against a server of this test: whole or not at all, checked, tried again, and told when out of reach."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import birdprobe as bp
from birdprobe import InputError
from birdprobe.probe.assets import WREN
from birdprobe.probe.models import registry
from tests.lite_models import spectrogram_network
from tests.probe.test_cli import birdprobe, one_line

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """content: path -> bytes. short: so many of the next answers break off halfway. ranges: whether it serves parts.
    asked: paths that were asked for. begun: where each answer began."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.short, self.slow, self.asked = {"/m.onnx": CONTENT}, 0, False, []
        self.ranges, self.begun = False, []

    def url(self, path="/m.onnx"):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = self.server.content.get(self.path)
        if body is None:
            self.send_error(404)
            return
        asked, whole = self.headers.get("Range"), len(body)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if start >= whole:
            self.send_error(416)
            return
        body = body[start:]
        self.send_response(206 if start else 200)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(body)))
        self.server.begun.append(start)
        self.end_headers()
        if self.server.slow:
            self.wfile.write(body[:100_000])
            self.wfile.flush()
            time.sleep(30)
        elif self.server.short:
            self.server.short -= 1
            self.wfile.write(body[: len(body) // 2])
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    serving = Server()
    thread = threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


def listed(tmp_path, monkeypatch, url, digest=DIGEST, **more):
    fields = {"url": url, "sha256": digest, "size": len(CONTENT), "sample_rate": 8000, "window_s": 1.0, **more}
    table = tmp_path / "models.toml"
    lines = (f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in fields.items())
    table.write_text("\n".join(["[far]", *lines]))
    monkeypatch.setenv("BIRDPROBE_MODELS", str(table))


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*")) if (tmp_path / "cache").exists() else []


def test_once_and_then_from_the_cache(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    said = birdprobe("fetch", "far")
    path = tmp_path / "cache" / "far.onnx"
    assert said.returncode == 0 and said.stdout.strip() == str(path), said.stderr
    assert path.read_bytes() == CONTENT and left(tmp_path) == ["far.onnx"]
    assert bp.fetch("far") == path and registry.resolve("far") == path
    assert len(server.asked) == 1
    bp.fetch("far", overwrite=True)
    assert len(server.asked) == 2 and left(tmp_path) == ["far.onnx"]


def test_a_connection_that_breaks_off_is_tried_again(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    server.short = 1
    assert bp.fetch("far", retries=1).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_one_that_keeps_breaking_off_leaves_nothing(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    server.short = 9
    with pytest.raises(InputError, match=r"far: cannot be downloaded .*put it at .*cache/far.onnx"):
        bp.fetch("far", retries=0)
    assert left(tmp_path) == []


def parts(tmp_path):
    return [name for name in left(tmp_path) if name.endswith(".part")]


def test_a_broken_download_goes_on_where_it_was(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    server.ranges, server.short = True, 2
    path = bp.fetch("far", retries=2)
    first, second, third = server.begun
    assert first == 0 and 0 < second <= len(CONTENT) // 2 < third and path.read_bytes() == CONTENT
    assert left(tmp_path) == ["far.onnx"]


def test_the_next_command_goes_on_too(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    server.ranges, server.short = True, 1
    with pytest.raises(
        InputError, match=r"the connection broke off\)\. 0\.5 MB are kept, the same command goes on\. By"
    ):
        bp.fetch("far", retries=0)
    assert len(parts(tmp_path)) == 1 and not (tmp_path / "cache" / "far.onnx").exists()
    said = []
    assert bp.fetch("far", retries=0, log=said.append).read_bytes() == CONTENT
    assert server.begun[0] == 0 and 0 < server.begun[1] <= len(CONTENT) // 2 and ", from 0.5 MB on" in said[0]
    assert left(tmp_path) == ["far.onnx"]


def test_a_beginning_of_another_file_is_thrown_away(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    server.ranges, server.short = True, 1
    server.content["/m.onnx"] = CONTENT[::-1]
    with pytest.raises(InputError, match="are kept"):
        bp.fetch("far", retries=0)
    server.content["/m.onnx"] = CONTENT
    assert bp.fetch("far", retries=0).read_bytes() == CONTENT
    assert server.begun[::2] == [0, 0] and 0 < server.begun[1] <= len(CONTENT) // 2 and left(tmp_path) == ["far.onnx"]


@pytest.mark.parametrize("rest", [CONTENT, CONTENT + b"more"])
def test_a_beginning_that_is_all_of_it(server, tmp_path, monkeypatch, rest):
    listed(tmp_path, monkeypatch, server.url())
    server.ranges = True
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / f".far-{DIGEST[:12]}.part").write_bytes(rest)
    assert bp.fetch("far", retries=0).read_bytes() == CONTENT and left(tmp_path) == ["far.onnx"]
    assert server.begun == ([] if rest == CONTENT else [0])


def test_another_file_than_expected(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url(), digest="0" * 64)
    with pytest.raises(InputError, match=r"another file than expected, its sha256 is not 000000000000"):
        bp.fetch("far", retries=0)
    assert left(tmp_path) == []


def test_a_good_file_survives_a_bad_replacement(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url())
    path = bp.fetch("far")
    server.content["/m.onnx"] = b"error page"
    with pytest.raises(InputError, match="another file"):
        bp.fetch("far", overwrite=True, retries=0)
    assert path.read_bytes() == CONTENT


def test_no_network(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, "http://127.0.0.1:9/m.onnx")  # nobody listens there
    line = one_line(birdprobe_without_retries("far"))
    assert "cannot be downloaded (no connection)" in line
    assert "http://127.0.0.1:9/m.onnx" in line and str(tmp_path / "cache" / "far.onnx") in line and "1 MB" in line
    assert left(tmp_path) == []


def birdprobe_without_retries(name):
    from unittest import mock

    from birdprobe.probe.models import fetch as module

    with mock.patch.dict(module.fetch.__wrapped__.__kwdefaults__, {"retries": 0}):
        return birdprobe("fetch", name)


def test_an_address_that_is_gone(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, server.url("/gone.onnx"))
    with pytest.raises(InputError, match="the server answers 404"):
        bp.fetch("far", retries=0)


def test_put_there_by_hand(server, tmp_path, monkeypatch):
    listed(tmp_path, monkeypatch, "http://127.0.0.1:9/m.onnx")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "far.onnx").write_bytes(CONTENT)
    assert bp.fetch("far").read_bytes() == CONTENT
    (tmp_path / "cache" / "far.onnx").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="An interrupted copy"):
        bp.fetch("far")


@pytest.mark.parametrize("ranges", [False, True])
def test_a_killed_download_leaves_nothing_that_stays(server, tmp_path, monkeypatch, ranges):
    listed(tmp_path, monkeypatch, server.url())
    server.slow, server.ranges = True, ranges
    code = "import birdprobe; birdprobe.fetch('far')"
    killed = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ), stderr=subprocess.DEVNULL)
    while not (server.asked and (not ranges or any(map(os.path.getsize, (tmp_path / "cache").glob(".*.part"))))):
        time.sleep(0.05)
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "cache" / "far.onnx").exists()
    server.slow = False
    bp.fetch("far")
    assert (server.begun[-1] > 0) == ranges
    assert [name for name in left(tmp_path) if not name.endswith(".lock")] == ["far.onnx"]


def test_an_archive_is_unpacked_and_converted(server, tmp_path, monkeypatch):
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    lite = spectrogram_network(tmp_path / "m.tflite").read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inside/audio.tflite", lite)
        archive.writestr("labels.txt", "a")
    server.content["/m.zip"] = packed.getvalue()
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    about = {"kind": "convert", "member": "inside/audio.tflite", "file": "m.zip"}
    listed(tmp_path, monkeypatch, server.url("/m.zip"), digest, window_s=0.128, **about)
    path = bp.fetch("far")
    assert path == tmp_path / "cache" / "far.onnx" and left(tmp_path) == ["far.onnx"]
    backbone = bp.open_backbone("far", threads=1)
    assert (backbone.sample_rate, backbone.window_samples) == (8000, 1024)
    listed(tmp_path, monkeypatch, server.url("/m.zip"), digest, **{**about, "member": "other.tflite"})
    with pytest.raises(InputError, match=r"no whole other\.tflite in it"):
        bp.fetch("far", overwrite=True)
    assert path.is_file()


def test_what_needs_no_download():
    assert bp.fetch("wren") == WREN
    with pytest.raises(InputError, match="no name that `birdprobe models` lists; known are wren, perch-v2"):
        bp.fetch("no-such-model")


@pytest.mark.slow
def test_weights_that_are_out_of_reach_are_named_with_what_to_do(tmp_path):
    pytest.importorskip("torch")
    env = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
        "BIRDPROBE_CACHE": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "birdprobe", "fetch", "bird-mae-base"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"birdprobe export birdmae-base --init FILE -o {tmp_path / 'cache' / 'bird-mae-base.onnx'}" in done.stderr
    assert left(tmp_path) == []
