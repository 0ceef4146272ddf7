"""A control plane of upstream's as plain processes on loopback: etcd and kube-apiserver, with an audit log; and one controller manager or more.

Benches also want one whose API server and datastore are ours.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.machines import paths
from tests.machines.parts import apiserver
from tests.machines.parts.base import Facts, Node
from tests.machines.pki import Pki

POLICY = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Request", "verbs": ["create", "delete", "patch", "update"], "users": ["system:kube-controller-manager"]},
        # upstream's controllers have an account each
        {"level": "Request", "verbs": ["create", "delete", "patch", "update"], "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "None"},
    ],
}


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, check: Callable[[], object], seconds: float = 60) -> float:
    """Waits until something holds; how long that took."""
    start = time.monotonic()
    while not check():
        if time.monotonic() - start > seconds:
            raise TimeoutError(what)
        time.sleep(0.02)
    return time.monotonic() - start


@dataclass
class Usage:
    """What a process has used."""

    cpu_seconds: float
    rss_mib: float


def usage(pid: int) -> Usage:
    """CPU seconds and resident memory of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
    return Usage((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), rss)


class Process:
    """A program with its log."""

    def __init__(self, name: str, command: list[str], log: Path):
        self.name, self.command, self.log = name, command, log
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Starts it (again)."""
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(self.command, stdout=out, stderr=out, cwd=self.log.parent)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.child
        return self.child.pid

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it and waits."""
        if self.child and self.child.poll() is None:
            self.child.send_signal(number)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class Plane:
    """etcd and kube-apiserver in a folder of their own; or our datastore and API server, where the folder `own` has them."""

    def __init__(self, folder: Path, audited: bool = True, own: Path | None = None):
        self.folder, self.bin, self.audited, self.own = folder, paths.programs(), audited, own
        self.processes: list[Process] = []
        self.port, self.etcd_port = free_port(), free_port()
        self.pki = Pki(folder / "pki", "127.0.0.1", "10.43.0.1", {})
        self.pki.make()
        for name in ("admin", "controller-manager"):
            self.pki.kubeconfig(name, f"https://127.0.0.1:{self.port}")
        (folder / "audit.json").write_text(json.dumps(POLICY))

    def begin(self) -> None:
        """Starts store and API server."""
        (self._begin_own if self.own else self._begin_upstream)()
        self.wait_ready()

    def _begin_own(self) -> None:
        """Every write is on the disk before its answer."""
        folder, node = self.folder, Node("n1", 1, "127.0.0.1", True)
        facts = Facts([node], "127.0.0.1", "127.0.0.0/8", {"datastore": "ours"}, service_range="10.43.0.0/16")
        text = next(iter(apiserver.ours(facts, node)[0].files.values())).replace("/cluster/pki", str(self.pki.folder))
        socket_path = f"{folder}/store.sock"
        settings = {
            "datastore": {"socket": socket_path, "path": f"{folder}/state.db"},
            "apiserver": {**json.loads(text), "datastore": f"unix://{socket_path}", "listen": f"127.0.0.1:{self.port}"},
        }
        for name, values in settings.items():
            (folder / f"{name}.json").write_text(json.dumps(values))
        command = {name: [f"{self.own}/k3s-rs-{name}", "--config", f"{folder}/{name}.json"] for name in settings}
        self.store = self.run("datastore", command["datastore"])
        wait_for("the datastore", Path(socket_path).exists)
        self.apiserver = self.run("apiserver", command["apiserver"])

    def _begin_upstream(self) -> None:
        folder = self.folder
        self.store = self.run("etcd", [
            f"{self.bin}/etcd", f"--data-dir={folder}/etcd", "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{self.etcd_port}", f"--advertise-client-urls=http://127.0.0.1:{self.etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
        ])
        self.apiserver = self.run("apiserver", [f"{self.bin}/kube-apiserver", *self._flags()])

    def _flags(self) -> list[str]:
        pki = self.pki.folder
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}", "secure-port": str(self.port), "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1", "service-cluster-ip-range": "10.43.0.0/16",
            "client-ca-file": f"{pki}/ca.crt", "tls-cert-file": f"{pki}/apiserver.crt", "tls-private-key-file": f"{pki}/apiserver.key",
            "service-account-key-file": f"{pki}/sa.pub", "service-account-signing-key-file": f"{pki}/sa.key",
            "service-account-issuer": "https://kubernetes.default.svc", "authorization-mode": "RBAC",
            # pods are only counted: nobody waits for their tokens or for priority levels
            "disable-admission-plugins": "ServiceAccount", "enable-priority-and-fairness": "false",
            "max-requests-inflight": "4000", "max-mutating-requests-inflight": "2000",
            "endpoint-reconciler-type": "none", "watch-cache": "true",
        }
        if self.audited:
            flags |= {"audit-policy-file": f"{self.folder}/audit.json", "audit-log-path": f"{self.folder}/audit.log"}
        return [f"--{name}={value}" for name, value in flags.items()]

    def run(self, name: str, command: list[str]) -> Process:
        """Starts a program of this plane."""
        process = Process(name, command, self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    def wait_ready(self) -> None:
        """Waits for the API server."""
        wait_for("the API server", lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok", 120)

    def kubectl(self, *arguments: str, data: str | None = None, check: bool = True) -> str:
        """kubectl as admin; its output."""
        command = [str(self.bin / "kubectl"), f"--kubeconfig={self.pki.folder}/admin.conf", *arguments]
        result = subprocess.run(command, input=data, capture_output=True, text=True, check=False)
        if check and result.returncode:
            raise RuntimeError(f"{arguments}: {result.stderr}")
        return result.stdout.strip() if not result.returncode else ""

    def connect(self) -> http.client.HTTPSConnection:
        """A connection as admin: a look through it costs next to nothing beside what is measured."""
        pki = self.pki.folder
        context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
        context.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=300)

    def count(self, resource: str, *arguments: str) -> int:
        """How many objects there are."""
        return len(self.kubectl("get", resource, "-A", "-o", "name", *arguments, check=False).splitlines())

    def ours(self, binary: Path, name: str, **settings: object) -> Process:
        """k3s-rs-controller with the role its controllers declare."""
        config = self.folder / f"{name}.json"
        pki = self.pki.folder
        config.write_text(json.dumps({
            "kubeconfig": f"{pki}/controller-manager.conf", "rootCAFile": f"{pki}/ca.crt",
            "clusterSigningCertFile": f"{pki}/ca.crt", "clusterSigningKeyFile": f"{pki}/ca.key",
            "serviceAccountPrivateKeyFile": f"{pki}/sa.key", "bindAddress": f"127.0.0.1:{free_port()}", **settings,
        }))
        role = subprocess.run([str(binary), "role"], capture_output=True, text=True, check=True).stdout
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", data=role)
        bound = "k3s-rs:controller"  # what the role is called; it may have come with its binding
        binding = ["create", "clusterrolebinding", bound, f"--clusterrole={bound}", "--user=system:kube-controller-manager"]
        self.kubectl(*binding, check=False)
        return self.run(name, [str(binary), "--config", str(config)])

    def upstream(self, name: str, **more: str) -> Process:
        """kube-controller-manager without limits on its requests, with more flags or others."""
        pki = self.pki.folder
        flags = {
            "kubeconfig": f"{pki}/controller-manager.conf", "root-ca-file": f"{pki}/ca.crt", "leader-elect": "false",
            "cluster-signing-cert-file": f"{pki}/ca.crt", "cluster-signing-key-file": f"{pki}/ca.key",
            "service-account-private-key-file": f"{pki}/sa.key", "use-service-account-credentials": "true",
            "allocate-node-cidrs": "true", "cluster-cidr": "10.42.0.0/16", "service-cluster-ip-range": "10.43.0.0/16",
            "kube-api-qps": "100000", "kube-api-burst": "100000", "secure-port": str(free_port()), "bind-address": "127.0.0.1", **more,
        }
        return self.run(name, [f"{self.bin}/kube-controller-manager", *(f"--{key}={value}" for key, value in flags.items())])

    def audit(self) -> Iterator[dict[str, object]]:
        """What controllers wrote and the API server accepted."""
        for line in (self.folder / "audit.log").read_text().splitlines():
            event = json.loads(line)
            if event.get("responseStatus", {}).get("code", 0) < 300:
                yield event

    def close(self) -> None:
        """Ends everything, last started first."""
        for process in reversed(self.processes):
            process.end()


def call(connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> dict[str, object]:
    """A request and its answer."""
    headers = {"Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
    return json.loads(data)


@contextmanager
def plane(keep_log: Path | None = None, audited: bool = True, own: Path | None = None) -> Iterator[Plane]:
    """A plane that ends with the block; its logs are kept where asked, when it failed."""
    folder = Path(tempfile.mkdtemp(prefix="k3s-rs-loops-"))
    made = Plane(folder, audited, own)
    try:
        made.begin()
        yield made
    except BaseException:
        if keep_log:
            keep_log.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, keep_log)
        raise
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
