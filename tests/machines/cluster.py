"""A Kubernetes cluster on test machines, every part upstream's or ours."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import host, imagestore, parts, paths, state, trees
from .network import Network
from .nspawn import NspawnMachine
from .parts.base import Facts, Node, Unit
from .pki import Pki
from .shell import Failure, run, succeeds, wait_until

SERVICE_ADDRESS = "10.43.0.1"
PORT = 16443
STAGES = ("machines", "api", "nodes", "dns")
RUNTIME = "containerd"
CRASHES = 6


class Cluster:
    """A running cluster, or one about to run; everything it is made of is in its state file."""

    def __init__(self, name: str):
        self.name = name
        self.folder = state.folder(name)
        self.state = state.load(name)
        if not self.state:
            raise Failure(f"there is no cluster {name} (`cluster list` shows what is up)")
        self.prefix = state.prefix(name)
        self.network = Network(self.prefix, self.state["number"])
        self.chosen: dict[str, str] = self.state["parts"]
        self.nodes = [Node(node, index, self.network.address(index), index == 0) for index, node in enumerate(self.state["machines"])]
        self.facts = Facts(self.nodes, self.network.gateway, self.network.subnet, self.chosen)
        self.machines = {node.name: self._machine(node) for node in self.nodes}
        self.port: int = self.state["port"]

    @classmethod
    def create(cls, name: str, chosen: dict[str, str], *, machines: list[str], binaries: Path | None = None, port: int | None = None,
               arguments: list[str] | None = None, layers: list[Path] | None = None) -> "Cluster":
        """Takes the name for this process; nothing runs yet. Layers are folders laid over the machines' tree."""
        for program in parts.binaries(chosen):
            if binaries is None or not (binaries / program).exists():
                raise Failure(f"{program} is not in {binaries or 'any folder: give --bin DIR'}")
        over = [str(layer.resolve()) for layer in layers or []]
        folder = str(binaries.resolve()) if binaries else None
        host.raise_limits()
        if port and not is_free(port):
            raise Failure(f"port {port} of 127.0.0.1 is taken by another program: choose one with --port")
        port = port or free_port()
        state.reserve(name, parts=chosen, machines=machines, bin=folder, port=port, arguments=arguments or [], layers=over)
        state.watch_owner(name)
        return cls(name)

    def _machine(self, node: Node) -> NspawnMachine:
        binds = {"/opt/upstream": str(paths.programs().parent), "/cluster": str(self.folder / "share")}
        if self.state["bin"]:
            binds["/opt/k3s-rs"] = self.state["bin"]
        name = f"{self.prefix}{node.name}"
        layers = [*(Path(layer) for layer in self.state["layers"]), trees.node()]
        return NspawnMachine(node.name, self.folder / node.name, layers, name, name, binds)

    def up(self, archive: Path, until: str = "dns", say: Callable[[str], None] = lambda _: None) -> None:
        """Brings the cluster up as far as asked: machines, api, nodes, dns."""
        stages = STAGES[: STAGES.index(until) + 1]
        begin = time.monotonic()

        def done(text: str) -> None:
            say(f"{time.monotonic() - begin:5.1f} s  {text}")

        store = imagestore.ensure(archive)
        with ThreadPoolExecutor(1) as pool:
            pki = pool.submit(self.make_pki)
            self.boot_all(store)
            pki.result()
        done(f"{len(self.nodes)} machines up")
        self._serve(archive)
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(self.start_units, self.nodes))
        if "api" in stages:
            self.wait_for_api()
            done("API ready")
        if "dns" in stages:
            self.kubectl("apply", "-f", str(paths.HERE / "coredns.yaml"))
        if "nodes" in stages:
            self.wait_for_nodes()
            done("nodes ready")
        if "dns" in stages:
            self._wait_for_dns()
            done("cluster DNS ready")
        self._check_units()

    def _check_units(self) -> None:
        """A unit that failed for good is a fault even if the cluster seems well."""
        for machine in self.machines.values():
            failed = machine.execute("systemctl --failed --plain --no-legend | cut -d' ' -f1", check_return=False)[1].split()
            if failed:
                raise Failure(f"failed units on {machine.name}: {', '.join(failed)}\n" + "\n".join(map(machine.journal, failed)))

    def boot_all(self, store: Path | None = None) -> None:
        """Makes the network and boots all machines at once."""
        self.network.up([node.name for node in self.nodes])
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: self.boot(node, store), self.nodes))

    def boot(self, node: Node, store: Path | None = None) -> None:
        """Starts one machine, with the image store if it has none."""
        machine = self.machines[node.name]
        machine.prepare()
        hosts = [f"{other.address} {other.name}" for other in self.nodes]
        machine.put("/etc/hosts", "\n".join(["127.0.0.1 localhost", "::1 localhost", *hosts, ""]))
        machine.put("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        if store and not (machine.folder / "var/lib/containerd").exists():
            imagestore.copy(store, machine.folder / "var/lib/containerd")
        (self.folder / "share").mkdir(exist_ok=True)
        machine.start()

    def make_pki(self) -> None:
        """All certificates, and the kubeconfig for the host's shell."""
        addresses = {node.name: node.address for node in self.nodes}
        pki = Pki(self.folder / "share/pki", self.nodes[0].address, SERVICE_ADDRESS, addresses)
        pki.make()
        pki.kubeconfig("admin", f"https://127.0.0.1:{self.port}", "host.conf")

    def _serve(self, archive: Path) -> None:
        registry = ["ip", "netns", "exec", self.network.switch, sys.executable, str(paths.CONFORMANCE / "registry.py")]
        self._background("registry", [*registry, str(archive), self.network.gateway, "5000"])
        self.forward([(self.port, f"{self.nodes[0].address}:6443")])

    def forward(self, pairs: list[tuple[int, str]]) -> None:
        """Makes ports of the host's loopback lead to addresses in the first machine's namespace."""
        words = [word for port, target in pairs for word in (str(port), target)]
        log = f"forward-{pairs[0][0]}"
        command = [sys.executable, str(paths.HERE / "forward.py"), self.network.namespace(self.nodes[0].name), *words]
        process = self._background(log, command)

        def ready() -> bool:
            text = (self.folder / f"{log}.log").read_text()
            if process.poll() is not None:
                raise Failure(f"the forwarder to port {pairs[0][0]} ended: {text[-300:]}")
            return "ready" in text

        wait_until("forwarder", ready, 20)

    def _background(self, log: str, command: list[str]) -> subprocess.Popen:
        with open(self.folder / f"{log}.log", "wb") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    def units(self, node: Node, part: str) -> list[Unit]:
        """A part's units on a node, with the arguments given on the command line."""
        units = parts.units(part, "upstream" if part == RUNTIME else self.chosen[part], self.facts, node)
        for unit in units:
            unit.command += [text.split("=", 1)[1] for text in self.state["arguments"] if text.split("=", 1)[0] == part]
        return units

    def start_units(self, node: Node, only: list[str] | None = None) -> None:
        """Writes and starts the units of all parts, or of some, without waiting for them."""
        machine = self.machines[node.name]
        units = [unit for part in only or (RUNTIME, *parts.NAMES) for unit in self.units(node, part)]
        for unit in units:
            for path, content in unit.files.items():
                machine.put(path, content)
            machine.put(f"/etc/systemd/system/{unit.name}.service", unit.text())
        if units:
            machine.succeed(f"systemctl daemon-reload; systemctl restart --no-block {' '.join(unit.name for unit in units)}")

    def stop_units(self, node: Node, part: str) -> None:
        """Stops the units of a part and forgets them."""
        for unit in self.units(node, part):
            self.machines[node.name].execute(f"systemctl stop {unit.name}; rm -f /etc/systemd/system/{unit.name}.service")

    def swap(self, chosen: dict[str, str]) -> None:
        """Puts other choices for some parts into the running cluster."""
        for part, choice in chosen.items():
            if self.chosen[part] == choice:
                continue
            for node in self.nodes:
                self.stop_units(node, part)
            self.chosen[part] = choice
            state.save(self.name, self.state)
            for node in self.nodes:
                self.start_units(node, [part])

    def inside(self, command: list[str]) -> list[str]:
        """The command line that runs a host program in the first machine's network namespace, as an administrator."""
        namespace = self.network.namespace(self.nodes[0].name)
        environment = [f"KUBECONFIG={self.folder / 'share/pki/admin.conf'}", f"PATH={paths.programs()}:/usr/sbin:/usr/bin:/sbin:/bin"]
        return ["ip", "netns", "exec", namespace, "env", *environment, *command]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl of the cluster's version as an administrator."""
        return run(self.inside(["kubectl", *arguments]), stdin=stdin)

    def wait_for_api(self, timeout: float = 60) -> None:
        """Waits until the API server says it is ready."""
        probe = self.inside(["kubectl", "get", "--raw", "/readyz", "--request-timeout=5s"])
        self._wait("ready API server", lambda: succeeds(probe), timeout, ["datastore", "apiserver"])

    def wait_for_nodes(self, timeout: float = 60) -> None:
        """Waits until every node is Ready."""
        path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        probe = ["get", "nodes", "-o", f"jsonpath={path}"]
        wanted = ["True"] * len(self.nodes)

        def ready() -> bool:
            return run(self.inside(["kubectl", *probe]), check=False).split() == wanted

        self._wait("Ready nodes", ready, timeout, ["apiserver", "controller", "kubelet", "network", RUNTIME])

    def _wait_for_dns(self, timeout: float = 60) -> None:
        probe = ["kubectl", "-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.status.availableReplicas}"]

        def ready() -> bool:
            return run(self.inside(probe), check=False).strip() == "1"

        def details() -> str:
            return run(self.inside(["kubectl", "-n", "kube-system", "describe", "pods"]), check=False)[-2500:]

        self._wait("available cluster DNS", ready, timeout, ["controller", "scheduler", "kubelet", "proxy"], details)

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float, suspects: list[str], details: Callable[[], str] = str) -> None:
        """Waits; gives up early when a suspect does not stay up, and always says how the suspects are."""
        before, looked = self._restarts(suspects), [time.monotonic()]

        def checked() -> bool:
            if condition():
                return True
            if time.monotonic() - looked[0] > 2:
                looked[0] = time.monotonic()
                for unit, restarts in self._restarts(suspects).items():
                    if restarts - before.get(unit, 0) >= CRASHES:
                        raise Failure(f"no {what}: {' on '.join(unit)} ends again and again\n{self.machines[unit[1]].journal(unit[0], 40)}")
            return False

        wait_until(what, checked, timeout, lambda: details() + self.troubles(*suspects))

    def _restarts(self, suspects: list[str]) -> dict[tuple[str, str], int]:
        """How often each suspect's unit was started again, by unit and machine."""
        counts = {}
        for node in self.nodes:
            names = [f"{unit.name}.service" for part in suspects for unit in self.units(node, part)]
            text = self.machines[node.name].execute(f"systemctl show -p Id,NRestarts {' '.join(names)}", check_return=False)[1] if names else ""
            for block in text.split("\n\n"):
                fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
                if "Id" in fields:
                    counts[fields["Id"], node.name] = int(fields.get("NRestarts") or 0)
        return counts

    def troubles(self, *suspects: str, lines: int = 15) -> str:
        """The state and last lines of the suspects' units, the ill ones last, for an error message."""
        units = [(unit.name, self.machines[node.name]) for node in self.nodes for part in suspects for unit in self.units(node, part)]
        states = [(machine.execute(f"systemctl is-active {unit}", check_return=False)[1].strip(), unit, machine) for unit, machine in units]
        states.sort(key=lambda state: state[0] != "active")
        return "\n".join(f"--- {unit} on {machine.name}: {word}\n{machine.journal(unit, lines)}" for word, unit, machine in states)

    def hand_over(self) -> None:
        """Lets the cluster outlive this process."""
        self.state["owner"] = None
        state.save(self.name, self.state)

    def down(self) -> None:
        """Ends and removes everything; if this process dies meanwhile, the next run goes on."""
        self.state["owner"] = state.myself()
        state.save(self.name, self.state)
        state.remove(self.name)


def free_port() -> int:
    """A port of the host's loopback that nobody listens on and no other cluster has taken."""
    taken = {state.load(name).get("port") for name in state.names()}
    for port in range(PORT, PORT + 1000):
        if port not in taken and is_free(port):
            return port
    raise Failure(f"no free port from {PORT} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether nobody listens on a port of the host's loopback."""
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False
