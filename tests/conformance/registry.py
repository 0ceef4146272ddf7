#!/usr/bin/env python3
"""A read-only OCI registry over an image archive, for what really pulls: registry.py ARCHIVE ADDRESS PORT."""

import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Store:
    """Blobs by digest and manifests by repository and tag, read from the archive where they lie."""

    def __init__(self, path: str):
        self._path = path
        with tarfile.open(path) as tar:
            self._where = {member.name: (member.offset_data, member.size) for member in tar}
        self._tags: dict[tuple[str, str], str] = {}
        for entry in json.loads(self._read("index.json"))["manifests"]:
            repository, tag = entry["annotations"]["io.containerd.image.name"].rsplit(":", 1)
            self._tags[repository.split("/", 1)[1], tag] = entry["digest"]

    def _read(self, name: str) -> bytes:
        offset, size = self._where[name]
        with open(self._path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest a tag stands for; a digest stands for itself."""
        return reference if reference.startswith("sha256:") else self._tags.get((repository, reference))

    def blob(self, digest: str | None) -> bytes | None:
        """The bytes under a digest."""
        name = f"blobs/sha256/{digest.split(':')[1]}" if digest else ""
        return self._read(name) if name in self._where else None


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the distribution API."""

    protocol_version = "HTTP/1.1"
    store: Store

    def do_GET(self) -> None:
        """Answers /v2/, /v2/REPOSITORY/manifests/REFERENCE and /v2/REPOSITORY/blobs/DIGEST."""
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["v2"]:
            return self._answer(200, b"{}", "application/json")
        if len(parts) < 4 or parts[-2] not in ("manifests", "blobs"):
            return self._answer(404, b'{"errors":[{"code":"UNSUPPORTED"}]}', "application/json")
        digest = self.store.digest("/".join(parts[1:-2]), parts[-1])
        data = self.store.blob(digest)
        if data is None:
            return self._answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "application/json")
        return self._answer(200, data, MANIFEST if parts[-2] == "manifests" else "application/octet-stream", digest)

    do_HEAD = do_GET

    def _answer(self, status: int, body: bytes, kind: str, digest: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


if __name__ == "__main__":
    Handler.store = Store(sys.argv[1])
    ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
