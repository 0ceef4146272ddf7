# LoadBalancer Services on the nodes' own addresses: the controller chooses nodes, each proxy answers, clients keep their address.
# machines: n1 n2
# parts: all=upstream,proxy=ours,network=ours,controller=ours
# slow

import json
import subprocess

from machines.shell import patience, wait_until

POD = {"name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost:2.63.0", "args": ["netexec", "--http-port=8080"]}
OUTSIDE = cluster.network.gateway
NODES = [node.address for node in cluster.nodes]
LABEL = "svccontroller.k3s.cattle.io/enablelb"


def apply(*objects):
    cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(o) for o in objects))


def pod(name, node):
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [POD]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def balancer(name, port=80, **spec):
    spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": port, "targetPort": 8080}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def addresses(name):
    return cluster.kubectl("get", "service", name, "-o", "jsonpath={.status.loadBalancer.ingress[*].ip}").split()


def has(name, wanted):
    wait_until(f"{name} at {wanted}", lambda: addresses(name) == wanted, 30, lambda: str(addresses(name)))


def client(node, port=80):
    """Whom the pod sees when the switch, which is no node, asks; empty without an answer."""
    command = ["ip", "netns", "exec", cluster.network.switch, "curl", "-s", "-m", "3", f"http://{node}:{port}/clientip"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.rpartition(":")[0]


def events(name):
    return cluster.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "jsonpath={.items[*].reason}").split()


with subtest("both nodes answer"):
    apply(pod("web", "n1"), balancer("web"))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/web", f"--timeout={60 * patience():.0f}s")
    has("web", NODES)
    for node in NODES:
        wait_until("an answer", lambda n=node: client(n), 20)
    t.assertEqual(OUTSIDE, client(NODES[0]), "the node with the pod keeps the client's address")
    wait_until("the event", lambda: "UpdatedLoadBalancer" in events("web"), 20)
    modes = cluster.kubectl("get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[*].ipMode}")
    t.assertEqual(["VIP", "VIP"], modes.split())

with subtest("a taken port leaves the second one pending, until it is free"):
    apply(balancer("second"), balancer("third", 81))
    has("third", NODES)
    t.assertEqual([], addresses("second"))
    cluster.kubectl("delete", "service", "web")
    has("second", NODES)
    wait_until("an answer", lambda: client(NODES[1]), 20)

with subtest("with the local policy only nodes with a pod"):
    cluster.kubectl("patch", "service", "second", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    has("second", NODES[:1])
    wait_until("the client's own address", lambda: client(NODES[0]) == OUTSIDE, 20)

with subtest("only who may"):
    cluster.kubectl("patch", "service", "third", "-p", '{"spec":{"loadBalancerSourceRanges":["192.0.2.0/24"]}}')
    wait_until("no answer", lambda: not client(NODES[0], 81), 20)
    cluster.kubectl("patch", "service", "third", "-p", json.dumps({"spec": {"loadBalancerSourceRanges": [f"{OUTSIDE}/32", "10.0.0.0/8"]}}))
    wait_until("an answer", lambda: client(NODES[0], 81), 20)

with subtest("labelled nodes only"):
    cluster.kubectl("label", "node", "n2", f"{LABEL}=true")
    has("third", NODES[1:])
    cluster.kubectl("label", "node", "n2", f"{LABEL}-")
    has("third", NODES)

with subtest("no load balancer any more"):
    cluster.kubectl("patch", "service", "third", "-p", '{"spec":{"type":"ClusterIP","loadBalancerSourceRanges":null}}')
    has("third", [])
    wait_until("no answer", lambda: not client(NODES[0], 81), 20)
