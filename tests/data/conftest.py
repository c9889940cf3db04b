"""A miniature MNIST (five training, three test images) and a scripted web server on 127.0.0.1."""

import gzip
import hashlib
import re
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from repro.data.datasets import Download, mnist


def idx(array: np.ndarray) -> bytes:
    """An idx file of unsigned bytes, written independently of the parser."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", side) for side in array.shape)
    return header + array.tobytes()


@dataclass
class Miniature:
    """The four files' content as kept, by name, and as a mirror wraps them, by path."""

    content: dict[str, bytes]
    wrapped: dict[str, bytes]

    def mirror(self, folder: Path) -> Path:
        """Write the files laid out as a mirror."""
        (folder / "mnist").mkdir(parents=True)
        for path, content in self.wrapped.items():
            (folder / "mnist" / path).write_bytes(content)
        return folder


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch) -> Miniature:
    """MNIST with other files, of no public source."""
    draw = np.random.default_rng(0)
    content = {}
    for part, count in (("train", 5), ("t10k", 3)):
        images = draw.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        content[f"{part}-images-idx3-ubyte"] = idx(images)
        content[f"{part}-labels-idx1-ubyte"] = idx(draw.integers(0, 10, count).astype(np.uint8))
    files = tuple(
        Download(name, f"{name}.gz", hashlib.sha256(data).hexdigest(), len(data), ())
        for name, data in content.items()
    )
    monkeypatch.setattr(mnist, "FILES", files)
    return Miniature(content, {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in content.items()})


@dataclass
class Server:
    """What the server holds, how it misbehaves, and what it was asked."""

    base: str
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    """Bytes of the body after which each of the next answers breaks off."""
    ignore_range: bool = False
    wrong_range: bool = False
    close_delimited: bool = False
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of each request."""


class Handler(BaseHTTPRequestHandler):
    """Serves ``script.files`` as ``script`` says."""

    script: Server

    def do_GET(self) -> None:
        script, wanted = self.script, self.headers.get("Range")
        script.requests.append((self.path, wanted))
        content = script.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and not script.ignore_range:
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert match is not None
            start = int(match[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            claimed = 0 if script.wrong_range else start
            self.send_header("Content-Range", f"bytes {claimed}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        if not script.close_delimited:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: script.break_after.pop(0)] if script.break_after else body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = type("ScriptedHandler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        handler.script = script = Server(f"http://127.0.0.1:{web.server_port}")
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        web.shutdown()
        thread.join()


@pytest.fixture
def web_mirror(server: Server, miniature: Miniature) -> Server:
    """The server as a mirror of the miniature."""
    server.files = {f"/mnist/{path}": content for path, content in miniature.wrapped.items()}
    return server
