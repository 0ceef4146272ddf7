"""The cluster's network: a switch namespace with a bridge, one namespace per machine. The host gets no route to any of them."""

import contextlib
import os
import signal
from pathlib import Path

from .shell import run

NAMESPACES = Path("/run/netns")


class Network:
    """Namespaces of one cluster; `prefix` begins all their names, `number` picks the addresses 10.(77+number).0.0/24."""

    def __init__(self, prefix: str, number: int):
        self.prefix = prefix
        self.base = f"10.{77 + number}.0"

    @property
    def subnet(self) -> str:
        """The machines' subnet."""
        return f"{self.base}.0/24"

    @property
    def gateway(self) -> str:
        """The bridge's address in the switch namespace, where the registry listens."""
        return f"{self.base}.1"

    @property
    def switch(self) -> str:
        """The switch namespace's name."""
        return f"{self.prefix}switch"

    def namespace(self, machine: str) -> str:
        """A machine's namespace."""
        return f"{self.prefix}{machine}"

    def address(self, index: int) -> str:
        """The address of the machine with that index, counted from 0."""
        return f"{self.base}.{11 + index}"

    def up(self, machines: list[str]) -> None:
        """Makes all namespaces, the bridge and the links between them."""
        run(["ip", "netns", "add", self.switch])
        bridge = ["link set lo up", "link add br0 type bridge", f"addr add {self.gateway}/24 dev br0", "link set br0 up"]
        self._batch(self.switch, bridge)
        for index, machine in enumerate(machines):
            self.attach(machine, index)

    def attach(self, machine: str, index: int) -> None:
        """Makes a machine's namespace and plugs it in."""
        inside, port = self.namespace(machine), f"port{index}"
        run(["ip", "netns", "add", inside])
        self._batch(self.switch, [f"link add {port} type veth peer name eth0 netns {inside}", f"link set {port} master br0 up"])
        address = f"addr add {self.address(index)}/24 dev eth0"
        self._batch(inside, ["link set lo up", address, "link set eth0 up", f"route add default via {self.gateway}"])

    def block(self, machine: str) -> None:
        """Pulls a machine's cable."""
        run(["ip", "-n", self.namespace(machine), "link", "set", "eth0", "down"])

    def unblock(self, machine: str) -> None:
        """Puts a machine's cable back; taking the link down dropped its routes."""
        gateway = f"route replace default via {self.gateway}"
        self._batch(self.namespace(machine), ["link set eth0 up", gateway])

    @staticmethod
    def _batch(namespace: str, commands: list[str]) -> None:
        run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(commands) + "\n")


def namespaces(prefix: str) -> list[str]:
    """The namespaces whose name begins with the prefix."""
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith(prefix))


def kill(prefix: str) -> None:
    """Kills every process inside the cluster's namespaces: forwarders, the registry, what a dead driver left."""
    for name in namespaces(prefix):
        for word in run(["ip", "netns", "pids", name], check=False).split():
            if int(word) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(word), signal.SIGKILL)


def remove(prefix: str) -> bool:
    """Deletes the namespaces; links between them go with them."""
    for name in namespaces(prefix):
        run(["ip", "netns", "del", name], check=False)
    return not namespaces(prefix)
