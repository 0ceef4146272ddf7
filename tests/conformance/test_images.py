"""The image writer and the registry: python3 -m unittest conformance.test_images (in tests/)."""

import hashlib
import json
import sys
import tarfile
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from oci import Archive, Layer  # noqa: E402
from registry import Handler, Store  # noqa: E402

NAME = "registry.example/group/image:1.0"


def fill(layer: Layer) -> None:
    """A layer of every kind of entry."""
    layer.folder("bin")
    layer.file("bin/tool", Path(__file__))
    layer.symlink("bin/other", "tool")
    layer.entry("etc/name", b"text\n")


def write(folder: str, name: str) -> Path:
    """An archive with one image."""
    work = Path(folder) / f"{name}.work"
    work.mkdir()
    archive = Archive(work)
    archive.image([NAME], [archive.layer("layer", fill)], Cmd=["/bin/tool"])
    target = Path(folder) / f"{name}.tar"
    archive.write(target)
    return target


class Images(unittest.TestCase):
    """Archives are the same bytes each time, and consistent in themselves."""

    def test_same_inputs_same_bytes(self) -> None:
        """Two runs write the same archive."""
        with tempfile.TemporaryDirectory() as folder:
            first, second = write(folder, "first"), write(folder, "second")
            self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_blobs_have_their_digests(self) -> None:
        """Every blob's name is its digest."""
        with tempfile.TemporaryDirectory() as folder, tarfile.open(write(folder, "image")) as tar:
            blobs = [member for member in tar if member.name.startswith("blobs/")]
            self.assertEqual(3, len(blobs))
            for member in blobs:
                content = tar.extractfile(member)
                assert content is not None
                self.assertEqual(member.name.rsplit("/", 1)[1], hashlib.sha256(content.read()).hexdigest())

    def test_registry_serves_it(self) -> None:
        """A manifest by tag and by digest, blobs by digest, an error for what is not there."""
        with tempfile.TemporaryDirectory() as folder:
            Handler.store = Store(str(write(folder, "image")))
            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
            base = f"http://127.0.0.1:{server.server_port}/v2"
            with urllib.request.urlopen(f"{base}/group/image/manifests/1.0") as answer:
                digest, manifest = answer.headers["Docker-Content-Digest"], json.load(answer)
            with urllib.request.urlopen(f"{base}/group/image/manifests/{digest}") as answer:
                self.assertEqual(manifest, json.load(answer))
            layer = manifest["layers"][0]
            with urllib.request.urlopen(f"{base}/group/image/blobs/{layer['digest']}") as answer:
                self.assertEqual(layer["size"], len(answer.read()))
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{base}/group/image/manifests/2.0")
            self.assertEqual(404, caught.exception.code)
            caught.exception.close()


if __name__ == "__main__":
    unittest.main()
