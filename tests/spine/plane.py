"""Stores and API servers of either make as plain processes on loopback, in any combination, with one PKI.

    with Plane() as plane:
        store = plane.store("ours")
        one, other = plane.apiserver("ours", store), plane.apiserver("upstream", store)

`K3S_RS_BIN` is the folder with our programs.
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from machines import paths
from machines.parts import apiserver as part
from machines.parts.base import Facts, Node
from machines.pki import Pki
from machines.shell import Failure, run, wait_until

SERVICES = "10.43.0.0/16"
HERE = Path(__file__).resolve().parent


def ours(name: str) -> Path:
    """A program of ours."""
    folder = os.environ.get("K3S_RS_BIN")
    if not folder:
        raise Failure("K3S_RS_BIN is not set: it names the folder with our programs")
    return Path(folder) / name


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Daemon:
    """A running program with its log; `rss` and `cpu` are what it has cost."""

    name: str
    make: str
    command: list[str]
    log: Path
    endpoint: str = ""
    process: subprocess.Popen | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Starts it; it ends with this process."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Ends it and waits until it is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None, "it was started"
        return self.process.pid

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        text = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(text[11]) + int(text[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Resident memory in KiB."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The largest resident memory so far in KiB."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def tail(self) -> str:
        """The end of its log."""
        return f"{self.name}: {self.log}\n" + self.log.read_text(errors="replace")[-3000:]


class Plane:
    """A folder, a PKI, and everything started in it; all of it goes when the block ends."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder or Path(tempfile.mkdtemp(prefix="k3s-rs-spine-"))
        self.pki = Pki(self.folder / "pki", "127.0.0.1", "10.43.0.1", {})
        self.daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        self.pki.make()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop()
        if kind is None or not os.environ.get("K3S_RS_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _daemon(self, kind: str, make: str, command: list[str], **facts: Any) -> Daemon:
        name = f"{kind}-{make}-{len(self.daemons)}"
        daemon = Daemon(name, make, command, self.folder / f"{name}.log", facts=facts)
        self.daemons.append(daemon)
        return daemon

    def store(self, make: str, folder: Path | None = None, **settings: Any) -> Daemon:
        """etcd or our datastore, ready."""
        folder = folder or self.folder / f"store-{len(self.daemons)}"
        folder.mkdir(parents=True, exist_ok=True)
        if make == "ours":
            values = {"socket": f"{folder}/store.sock", "path": f"{folder}/state.db", **settings}
            endpoint, config = f"unix://{values['socket']}", folder / "config.json"
            config.write_text(json.dumps(values))
            daemon = self._daemon("store", make, [str(ours("k3s-rs-datastore")), "--config", str(config)], folder=folder)
        else:
            endpoint, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
            urls = [f"--listen-client-urls={endpoint}", f"--advertise-client-urls={endpoint}", f"--listen-peer-urls={peer}"]
            urls += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}", "--log-level=warn"]
            daemon = self._daemon("store", make, [str(paths.programs() / "etcd"), f"--data-dir={folder}", *urls], folder=folder)
        daemon.endpoint = endpoint
        daemon.start()
        self.wait_store(daemon)
        return daemon

    def wait_store(self, daemon: Daemon) -> None:
        """Until a store answers."""
        def up() -> bool:
            if daemon.process and daemon.process.poll() is not None:
                raise Failure(f"it ended\n{daemon.tail()}")
            if daemon.endpoint.startswith("unix://"):
                with socket.socket(socket.AF_UNIX) as probe:
                    return probe.connect_ex(daemon.endpoint.removeprefix("unix://")) == 0
            try:
                with urllib.request.urlopen(f"{daemon.endpoint}/health", timeout=2) as answer:
                    return b"true" in answer.read()
            except OSError:
                return False

        wait_until("store", up, 30, daemon.tail)

    def apiserver(self, make: str, store: Daemon | str, *, compaction: int = 300, arguments: tuple[str, ...] = (), **settings: Any) -> Daemon:
        """kube-apiserver or ours over a store, ready."""
        port = free_port()
        endpoint = store if isinstance(store, str) else store.endpoint
        node = Node("n1", 1, "127.0.0.1", True)
        facts = Facts([node], "127.0.0.1", "127.0.0.0/8", {"datastore": "upstream"}, service_range=SERVICES)
        pki = str(self.folder / "pki")
        unit = getattr(part, make)(facts, node)[0]
        if make == "ours":
            config = self.folder / f"apiserver-{port}.json"
            text = next(iter(unit.files.values())).replace("/cluster/pki", pki)
            values = {**json.loads(text), "datastore": endpoint, "listen": f"127.0.0.1:{port}", "compactionIntervalSeconds": compaction, **settings}
            config.write_text(json.dumps(values))
            command = [str(ours("k3s-rs-apiserver")), "--config", str(config)]
        else:
            words = [word.replace("/cluster/pki", pki) for word in unit.command[1:] if not word.startswith(("--etcd-servers=", "--secure-port="))]
            words += [f"--etcd-servers={endpoint}", f"--secure-port={port}", "--bind-address=127.0.0.1", f"--etcd-compaction-interval={compaction}s"]
            words += ["--endpoint-reconciler-type=none", f"--cert-dir={self.folder}/certs-{port}", *arguments]
            command = [str(paths.programs() / "kube-apiserver"), *words]
        daemon = self._daemon("apiserver", make, command)
        daemon.endpoint = f"https://127.0.0.1:{port}"
        daemon.facts["kubeconfig"] = str(self.pki.kubeconfig("admin", daemon.endpoint, f"admin-{port}.conf"))
        begin = time.monotonic()
        daemon.start()
        self.wait_api(daemon)
        daemon.facts["ready"] = time.monotonic() - begin
        return daemon

    def run(self, command: list[str]) -> str:
        """A command that ends."""
        return run(command)

    def tls(self) -> ssl.SSLContext:
        """The administrator's."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        context.load_cert_chain(self.folder / "pki/admin.crt", self.folder / "pki/admin.key")
        return context

    def get(self, daemon: Daemon, path: str) -> tuple[int, bytes]:
        """One GET as the administrator."""
        try:
            with urllib.request.urlopen(daemon.endpoint + path, timeout=60, context=self.tls()) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_api(self, daemon: Daemon) -> None:
        """Until an API server says that it is ready."""
        def ready() -> bool:
            if daemon.process and daemon.process.poll() is not None:
                raise Failure(f"it ended\n{daemon.tail()}")
            try:
                return self.get(daemon, "/readyz")[0] == 200
            except OSError:
                return False

        wait_until("API server", ready, 300, daemon.tail)


def program() -> Path:
    """The Go program of this folder, built when its files changed."""
    out = paths.cache() / "upstream" / "spine"
    newest = max(file.stat().st_mtime for file in [*HERE.glob("*.go"), *HERE.glob("go.*")])
    with paths.locked("spine"):
        if not out.exists() or out.stat().st_mtime < newest:
            partial = out.with_name(f".spine.{os.getpid()}")
            command = ["nice", "go", "build", "-p", os.environ.get("K3S_RS_GO_JOBS", "1"), "-mod=readonly", "-ldflags", "-s -w", "-o", str(partial), "."]
            done = subprocess.run(command, cwd=HERE, env={**os.environ, "CGO_ENABLED": "0"}, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failure(f"building tests/spine: {done.stderr[-3000:]}")
            partial.rename(out)
    return out


def play(words: list[str], timeout: float = 300) -> str:
    """Runs the Go program; its transcript, or a failure with what it said."""
    done = subprocess.run([str(program()), *words], capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise Failure(f"spine {' '.join(words)}: status {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
