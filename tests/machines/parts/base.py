"""What a part's description is made of."""

from dataclasses import dataclass, field
from pathlib import Path

UPSTREAM = "/opt/upstream/bin"
CNI = "/opt/upstream/cni"
OURS = "/opt/k3s-rs"
PKI = "/cluster/pki"
UNITS = Path(__file__).parents[3] / "units"


@dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    name: str
    index: int
    address: str
    server: bool

    @property
    def pod_range(self) -> str:
        """The pods' addresses on this node."""
        return f"10.42.{self.index}.0/24"


@dataclass(frozen=True)
class Facts:
    """What every part may want to know of its cluster. Paths are those inside the machines."""

    nodes: list[Node]
    gateway: str
    subnet: str
    chosen: dict[str, str]
    pod_range: str = "10.42.0.0/16"
    service_range: str = "10.43.0.0/16"
    dns_address: str = "10.43.0.10"
    domain: str = "cluster.local"

    @property
    def server(self) -> Node:
        """The node with the control plane."""
        return self.nodes[0]

    @property
    def api(self) -> str:
        """The API server's address."""
        return f"https://{self.server.address}:6443"

    @property
    def datastore(self) -> str:
        """The endpoint API servers open their store at."""
        ours = self.chosen["datastore"] == "ours"
        return "unix:///run/k3s-rs/datastore.sock" if ours else "http://127.0.0.1:2379"

    def kubeconfig(self, identity: str) -> str:
        """The kubeconfig of an identity: admin, controller-manager, scheduler, proxy, or a node's name."""
        return f"{PKI}/{identity}.conf"


@dataclass
class Unit:
    """A service in a machine: its command, the files it reads, commands run before it, more lines for [Service]."""

    name: str
    command: list[str]
    files: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    service: list[str] = field(default_factory=list)
    oneshot: bool = False

    def text(self) -> str:
        """The unit file."""
        lines = ["[Unit]", f"Description={self.name} (test cluster)", "StartLimitIntervalSec=0", "[Service]"]
        lines += [f"ExecStartPre={quoted(['/bin/sh', '-euc', command])}" for command in self.before]
        lines.append(f"ExecStart={quoted(self.command)}")
        if self.oneshot:
            lines += ["Type=oneshot", "RemainAfterExit=yes"]
        else:
            lines += ["Restart=always", "RestartSec=1", "LimitNOFILE=1048576", "TasksMax=infinity"]
            lines.append(f"Environment=PATH={UPSTREAM}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        lines += self.service
        return "\n".join([*lines, "[Install]", "WantedBy=multi-user.target", ""])


@dataclass
class Installed(Unit):
    """A unit of ours as it is installed; only its command, and what the test machines have elsewhere, is another.

    `before` names the units that must have run before it."""

    def text(self) -> str:
        """The unit file, with the lines of `service` at the end of [Service]."""
        head, rest = (UNITS / f"{self.name}.service").read_text().split("[Service]\n")
        # what the bootstrap does is done by the units of `before`
        head = head.replace("Requires=k3s-rs-bootstrap.service\n", "").replace("k3s-rs-bootstrap.service ", "")
        body, install = rest.split("[Install]\n")
        lines = [line if not line.startswith("ExecStart=") else f"ExecStart={quoted(self.command)}" for line in body.splitlines()]
        after = "".join(f"After={unit}.service\nRequires={unit}.service\n" for unit in self.before)
        return f"{head}{after}\n[Service]\n" + "\n".join([*lines, *self.service, "", "[Install]", install])


def prepared(name: str, kubeconfig: str, settings: str, *commands: str) -> Unit:
    """The step before a daemon with a user of its own, as the bootstrap of an installation: the user, its kubeconfig, its settings."""
    user = f"k3s-rs-{name}"
    steps = [
        "systemd-sysusers /etc/k3s-rs/sysusers.conf",
        f"install -d -m 0700 -o {user} /run/k3s-rs /run/k3s-rs/{name}", "chmod 0755 /run/k3s-rs",
        f"install -m 0400 -o {user} {kubeconfig} /run/k3s-rs/{name}/kubeconfig",
        f"install -m 0400 -o {user} /etc/k3s-rs/{name}.json /run/k3s-rs/{name}/config.json", *commands,
    ]
    sysusers = (UNITS / "sysusers.d/k3s-rs.conf").read_text()
    files = {"/etc/k3s-rs/sysusers.conf": sysusers, f"/etc/k3s-rs/{name}.json": settings}
    return Unit(f"{user}-prepare", ["/bin/sh", "-euc", "; ".join(steps)], files=files, oneshot=True)


def quoted(command: list[str]) -> str:
    """A command line as systemd reads it back."""
    words = []
    for word in command:
        word = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"').replace("\n", "\\n")
        words.append(f'"{word}"' if not word or any(letter in word for letter in " ;'\t") else word)
    return " ".join(words)
