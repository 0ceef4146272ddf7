"""Certificates, keys and kubeconfigs of a cluster, by the host's openssl: every part gets an identity of its own."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .shell import run

DAYS = "3650"
SERVICE_NAMES = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]


@dataclass(frozen=True)
class Leaf:
    """A certificate to be issued."""

    name: str
    subject: str
    authority: str = "ca"
    names: tuple[str, ...] = field(default=())


class Pki:
    """The files of one cluster in one folder; what exists is kept."""

    def __init__(self, folder: Path, server: str, service_address: str, nodes: dict[str, str]):
        self.folder = folder
        self._server = server
        self._service = service_address
        self._nodes = nodes

    def leaves(self) -> list[Leaf]:
        """All identities: subjects are upstream's."""
        addresses = ("127.0.0.1", self._service, self._server)
        serving = tuple([f"DNS:{name}" for name in SERVICE_NAMES] + [f"IP:{address}" for address in addresses])
        leaves = [
            Leaf("apiserver", "/CN=kube-apiserver", names=serving),
            Leaf("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
            Leaf("front-client", "/CN=front-proxy-client", "front"),
            Leaf("admin", "/O=system:masters/CN=admin"),
            Leaf("etcd-client", "/CN=kube-apiserver-etcd-client"),
        ]
        leaves += [Leaf(part, f"/CN=system:kube-{part}") for part in ("controller-manager", "scheduler", "proxy")]
        for name, address in self._nodes.items():
            leaves.append(Leaf(name, f"/O=system:nodes/CN=system:node:{name}", names=(f"DNS:{name}", f"IP:{address}")))
        return leaves

    def make(self) -> None:
        """Makes every file that is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for authority in ("ca", "front"):
            self._authority(authority)
        if not self._path("sa.key").exists():
            run(["openssl", "genrsa", "-out", self._at("sa.key"), "2048"])
            run(["openssl", "rsa", "-in", self._at("sa.key"), "-pubout", "-out", self._at("sa.pub")])
        leaves = self.leaves()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._leaf, leaves))
        for leaf in leaves:
            if leaf.authority == "ca":
                self.kubeconfig(leaf.name, f"https://{self._server}:6443")

    def kubeconfig(self, name: str, server: str, file: str | None = None) -> Path:
        """Writes the kubeconfig of an identity; JSON is YAML."""
        def data(file: str) -> str:
            return base64.b64encode(self._path(file).read_bytes()).decode()

        value = {
            "apiVersion": "v1", "kind": "Config", "current-context": "default",
            "clusters": [{"name": "default", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}}],
            "users": [{"name": name, "user": {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": name}}],
        }
        path = self._path(file or f"{name}.conf")
        path.write_text(json.dumps(value, indent=1))
        return path

    def _authority(self, name: str) -> None:
        if self._path(f"{name}.crt").exists():
            return
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._at(f"{name}.key")]
        run(["openssl", "req", "-x509", *key, "-days", DAYS, "-out", self._at(f"{name}.crt"), "-subj", f"/CN=k3s-rs-test-{name}"])

    def _leaf(self, leaf: Leaf) -> None:
        if self._path(f"{leaf.name}.crt").exists():
            return
        request, extensions = self._path(f"{leaf.name}.csr"), self._path(f"{leaf.name}.ext")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._at(f"{leaf.name}.key")]
        run(["openssl", "req", *key, "-out", str(request), "-subj", leaf.subject])
        names = f"subjectAltName={','.join(leaf.names)}\n" if leaf.names else ""
        extensions.write_text(f"keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n{names}")
        signing = ["-CA", self._at(f"{leaf.authority}.crt"), "-CAkey", self._at(f"{leaf.authority}.key"), "-set_serial", serial(leaf.name)]
        run(["openssl", "x509", "-req", "-in", str(request), *signing, "-days", DAYS, "-out", self._at(f"{leaf.name}.crt"), "-extfile", str(extensions)])
        request.unlink()
        extensions.unlink()

    def _path(self, file: str) -> Path:
        return self.folder / file

    def _at(self, file: str) -> str:
        return str(self._path(file))


def serial(name: str) -> str:
    """A serial number of its own for each name, so that certificates can be signed at the same time."""
    return "0x" + name.encode().hex()[:38]
