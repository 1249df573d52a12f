"""Serves a release to the explorer on 127.0.0.1: its page, and byte ranges of its data files."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from polyfact_dataset.release.explorer.page import FILE, page
from polyfact_dataset.release.reader import config_files, locate, read_manifest, read_release
from polyfact_dataset.release.stats import statistics

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def explorer_files(release: str) -> dict[str, bytes | Path]:
    """Path -> content of the explorer's files: its page, and the data files of the release.

    Raises as `locate` and `read_release` do.
    """
    manifest = read_manifest(locate(release, ()))
    configs = ("parallel", *manifest["build"]["config"]["languages"])
    folder = locate(release, configs)
    shipped = folder / FILE
    # Rendered here for a release that was built without it, or fetched from the Hub without its pages.
    html = shipped.read_bytes() if shipped.is_file() else page(read_release(folder), statistics(folder)).encode("utf-8")
    files: dict[str, bytes | Path] = {"": html, FILE: html}
    for config in configs:
        for paths in config_files(folder, config, manifest).values():
            files |= {path.relative_to(folder).as_posix(): path for path in paths}
    return files


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Mapping[str, bytes | Path]

    def log_message(self, *_: object) -> None:
        """Logs no requests."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        # Blocks DNS rebinding: another site whose name resolves to this machine must not read the release.
        host = (self.headers.get("Host") or "").partition(":")[0]
        content = self.files.get(unquote(urlsplit(self.path).path).lstrip("/"))
        if content is None or host not in ("127.0.0.1", "localhost"):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        byte_range = _RANGE.fullmatch(self.headers.get("Range") or "")
        start = int(byte_range[1]) if byte_range else 0
        end = min(int(byte_range[2]) if byte_range and byte_range[2] else size - 1, size - 1)
        if start > end:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if byte_range else 200)
        if byte_range:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        kind = "text/html; charset=utf-8" if isinstance(content, bytes) else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_body:
            self.wfile.write(_part(content, start, end))


def _part(content: bytes | Path, start: int, end: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : end + 1]
    with content.open("rb") as handle:
        handle.seek(start)
        return handle.read(end - start + 1)


@contextmanager
def serving(files: Mapping[str, bytes | Path], port: int = 0) -> Iterator[str]:
    """Serves the files while the block runs, and yields the address of the page."""
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"files": files}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{FILE}"
    finally:
        server.shutdown()
        server.server_close()
