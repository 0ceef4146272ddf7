"""Writes OCI image-layout archives without a registry or a container runtime; the same inputs give the same bytes."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Layer:
    """A layer being filled: files from the host, literal files, links and folders, all owned by root and without times."""

    def __init__(self, path: Path):
        self._path = path
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)

    def entry(self, name: str, data: bytes = b"", mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
        """A file with the given bytes, or with another kind a folder or link."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.type, info.linkname = len(data), mode, kind, link
        self._tar.addfile(info, io.BytesIO(data))

    def folder(self, name: str, mode: int = 0o755) -> None:
        """An empty folder."""
        self.entry(name, mode=mode, kind=tarfile.DIRTYPE)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link."""
        self.entry(name, mode=0o777, kind=tarfile.SYMTYPE, link=target)

    def hardlink(self, name: str, target: str) -> None:
        """Another name of a file that is already in the layer."""
        self.entry(name, mode=0o755, kind=tarfile.LNKTYPE, link=target)

    def file(self, name: str, source: Path, mode: int = 0o755) -> None:
        """A file of the host."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = source.stat().st_size, mode
        with open(source, "rb") as content:
            self._tar.addfile(info, content)

    def tree(self, root: Path, without: Iterable[str]) -> None:
        """A whole folder as the image's root, owners and modes kept, the contents of some top folders left out."""
        skipped = tuple(f"{folder}/" for folder in without)

        def normal(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
            info.uname = info.gname = ""
            info.mtime = 0
            return None if info.name.removeprefix("./").startswith(skipped) else info

        self._tar.add(root, ".", filter=normal)

    def close(self) -> dict:
        """The layer's descriptor."""
        self._tar.close()
        with open(self._path, "rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
        return {"mediaType": LAYER, "digest": digest, "size": self._path.stat().st_size}


class Archive:
    """Collects images and writes them as one archive; layers used by several images are stored once."""

    def __init__(self, work: Path):
        self._work = work
        self._files: dict[str, Path] = {}
        self._data: dict[str, bytes] = {}
        self._index: list[dict] = []

    def layer(self, name: str, fill: Callable[[Layer], None]) -> dict:
        """Makes a layer and returns its descriptor."""
        path = self._work / f"{name}.tar"
        layer = Layer(path)
        fill(layer)
        descriptor = layer.close()
        self._files[descriptor["digest"]] = path
        return descriptor

    def image(self, names: list[str], layers: list[dict], **config: object) -> None:
        """Adds an image under one or more full names."""
        platform = {"architecture": "amd64", "os": "linux"}
        history = [{"created_by": "k3s-rs tests/conformance"} for _ in layers]
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        described = self._put({**platform, "config": config, "rootfs": rootfs, "history": history}, CONFIG)
        manifest = self._put({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}, MANIFEST)
        for name in names:
            reference = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}
            self._index.append({**manifest, "platform": platform, "annotations": reference})

    def write(self, target: Path) -> list[str]:
        """Writes the archive and returns the names in it."""
        with tarfile.open(target, "w") as tar:
            self._add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._index}
            self._add(tar, "index.json", json.dumps(index).encode())
            for digest, data in self._data.items():
                self._add(tar, "blobs/sha256/" + digest.split(":")[1], data)
            for digest, path in self._files.items():
                info = tarfile.TarInfo("blobs/sha256/" + digest.split(":")[1])
                info.size = path.stat().st_size
                with open(path, "rb") as content:
                    tar.addfile(info, content)
        return [entry["annotations"]["io.containerd.image.name"] for entry in self._index]

    def _put(self, value: dict, media_type: str) -> dict:
        data = json.dumps(value).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self._data[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    @staticmethod
    def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
