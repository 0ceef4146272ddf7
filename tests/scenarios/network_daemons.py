# proxy and flannel under their installed units: little privilege, a watchdog that asks the kernel, nothing lost by their deaths.
# machines: n1 n2
# parts: all=upstream,proxy=ours,network=ours
# slow

import json
import re
import subprocess

UNITS = ("k3s-rs-proxy", "k3s-rs-flannel")
POD = {"name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost:2.63.0", "args": ["netexec", "--http-port=8080"]}
NODES = {node.name: node.address for node in cluster.nodes}


def apply(*objects):
    cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(o) for o in objects))


def pod(name, node):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [POD]}}


def reaches(source, target):
    command = ["kubectl", "exec", source, "--", "/agnhost", "connect", f"{address[target]}:8080", "--timeout=2s"]
    return subprocess.run(cluster.inside(command), capture_output=True, check=False).returncode == 0


def until(what, condition, seconds=60):
    from machines.shell import wait_until

    wait_until(what, condition, seconds)


def pid(machine, unit):
    return machine.succeed(f"systemctl show -P MainPID {unit}").strip()


with subtest("they are exposed little"):
    for unit in UNITS:
        n1.wait_for_unit(f"{unit}.service", timeout=30)
        text = n1.execute(f"systemd-analyze security --no-pager {unit}.service | tail -1")[1]
        score = float(re.search(r"level for \S+: ([0-9.]+)", text)[1])
        print(f"{unit} {score} ", end="")
        t.assertLessEqual(score, 1.9, unit)
        user = n1.succeed(f"ps -o user:20= -p {pid(n1, unit)}").strip()
        t.assertEqual(unit, user)
        bits = int(n1.succeed(f"awk '/^CapEff/ {{print $2}}' /proc/{pid(n1, unit)}/status").strip(), 16)
        t.assertEqual(1 << 12, bits, "CAP_NET_ADMIN and nothing else")

with subtest("pods reach each other, on one node and between nodes"):
    apply(pod("a", "n1"), pod("b", "n1"), pod("c", "n2"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
    address = {name: cluster.kubectl("get", "pod", name, "-o", "jsonpath={.status.podIP}") for name in "abc"}
    for source, target in ("ab", "ac", "ca"):
        until(f"{source} reaches {target}", lambda s=source, g=target: reaches(s, g))

with subtest("the tunnel's packets fit"):
    mtu = {device: int(re.search(r"mtu (\d+)", n1.succeed(f"ip -o link show {device}"))[1]) for device in ("eth0", "flannel.1", "cni0")}
    outer = mtu["eth0"]
    t.assertEqual((outer - 50, outer - 50), (mtu["flannel.1"], mtu["cni0"]))
    n1.succeed(f"ping -c 2 -W 2 -M do -s {outer - 50 - 28} {address['c']}")

with subtest("a policy holds while the proxy is dead, and probes pass"):
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}]}
    apply({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "only-b"}, "spec": spec})
    until("a is kept out", lambda: not reaches("a", "c") and not reaches("c", "a"))
    t.assertTrue(reaches("b", "a") and reaches("b", "c"))
    for machine in machines:
        machine.succeed("systemctl kill -s KILL k3s-rs-proxy; systemctl stop k3s-rs-proxy")
    t.assertFalse(reaches("a", "c") or reaches("c", "b"))
    t.assertTrue(reaches("b", "c"))
    n1.succeed(f"curl -s -m 3 http://{address['a']}:8080/hostname")
    for machine in machines:
        machine.succeed("systemctl start k3s-rs-proxy")
    t.assertFalse(reaches("a", "c"))
    t.assertTrue(reaches("b", "c"))
    cluster.kubectl("delete", "networkpolicy", "only-b")
    until("a is let in", lambda: reaches("a", "c"))

with subtest("who takes their tables or devices away sees them again"):
    before = pid(n1, "k3s-rs-flannel")
    n1.succeed("nft delete table ip k3s-rs-services; ip link delete flannel.1")
    n1.wait_until_succeeds("nft list tables | grep -q 'ip k3s-rs-services' && ip link show flannel.1", timeout=120)
    n1.wait_for_unit("k3s-rs-flannel.service", timeout=60)
    t.assertNotEqual(before, pid(n1, "k3s-rs-flannel"), "the watchdog ended it")
    until("a reaches c again", lambda: reaches("a", "c"), 90)

with subtest("routes instead of a tunnel"):
    for machine in machines:
        machine.succeed("sed -i 's/\"nodeName\"/\"backend\": \"host-gw\", \"nodeName\"/' /run/k3s-rs/flannel/config.json; systemctl restart k3s-rs-flannel")
    # whichever came first has the first range
    ranges = {name: cluster.kubectl("get", "node", name, "-o", "jsonpath={.spec.podCIDR}") for name in NODES}
    n1.wait_until_succeeds(f"ip route show {ranges['n2']} | grep 'via {NODES['n2']} dev eth0'", timeout=30)
    n2.wait_until_succeeds(f"ip route show {ranges['n1']} | grep 'via {NODES['n1']} dev eth0'", timeout=30)
    until("a reaches c", lambda: reaches("a", "c") and reaches("c", "a"))
