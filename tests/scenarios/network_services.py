# What a proxy makes of every kind of Service, ours beside upstream's: the outcomes must be the same.
# machines: n1 n2
# parts: all=upstream,proxy=ours,network=ours
# slow

import json
import subprocess
import time

from machines.shell import patience

POD = {"image": "registry.k8s.io/e2e-test-images/agnhost:2.63.0", "args": ["netexec", "--http-port=8080", "--udp-port=8081"]}
OUTSIDE = cluster.network.gateway
NODES = {node.name: node.address for node in cluster.nodes}


def apply(*objects):
    cluster.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(o) for o in objects))


def pod(name, node, labels, **spec):
    container = {"name": "c", **POD, "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}, **spec.pop("container", {})}
    spec = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def service(name, selector="web", udp=False, **spec):
    port = {"port": 81, "targetPort": 8081, "protocol": "UDP"} if udp else {"port": 80, "targetPort": 8080}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": selector}, "ports": [port], **spec}}


def field(kind, name, path):
    return cluster.kubectl("get", kind, name, "-o", f"jsonpath={{{path}}}")


def ready(*pods):
    cluster.kubectl("wait", "--for=condition=Ready", *pods, f"--timeout={60 * patience():.0f}s")


def outside(command):
    """A command on the switch, which is no node: its output, or how it failed."""
    return ask(["ip", "netns", "exec", cluster.network.switch, "sh", "-c", command])


def on(node, command):
    """A command on a node."""
    return ask(["ip", "netns", "exec", cluster.network.namespace(node), "sh", "-c", command])


def ask(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else {7: "refused", 28: "no answer"}.get(done.returncode, f"status {done.returncode}")


def curl(target, path="hostname"):
    return f"curl -s -m 3 http://{target}/{path}"


def several(where, command, times=12):
    return sorted({where(command) for _ in range(times)})


def eventually(condition, wanted=True, seconds=20):
    """The condition's value as soon as it is the wanted one, or its last."""
    end = time.monotonic() + seconds * patience()
    while (value := condition()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return value


def external_ips():
    return eventually(lambda: several(outside, curl("10.99.0.1:80")), ["web-1", "web-2"])


def balancer_address():
    return eventually(lambda: several(outside, curl("10.99.0.2:80")), ["web-1", "web-2"])


def balancer_source_ranges():
    return eventually(lambda: outside(curl("10.99.0.3:80")), "no answer"), eventually(lambda: outside(curl("10.99.0.4:80")) in ("web-1", "web-2"))


def external_local():
    port = field("service", "local", ".spec.ports[0].nodePort")
    source = lambda: outside(curl(f"{NODES['n1']}:{port}", "clientip")).rsplit(":", 1)[0] == OUTSIDE
    return eventually(source), eventually(lambda: outside(curl(f"{NODES['n2']}:{port}")), "no answer")


def health_checks():
    port = field("service", "local", ".spec.healthCheckNodePort")
    answers = []
    for node, code in (("n1", "200"), ("n2", "503")):
        read = lambda node=node: outside(f"curl -s -m 3 -w ' %{{http_code}}' http://{NODES[node]}:{port}/healthz")
        text = eventually(lambda read=read: read().endswith(code)) and read()
        answers.append((json.loads(text.rsplit(" ", 1)[0]), text[-3:]) if text else "never")
    return answers


def internal_local():
    address = field("service", "internal", ".spec.clusterIP")
    return eventually(lambda: several(lambda c: on("n1", c), curl(address)), ["web-1"]), eventually(lambda: several(lambda c: on("n2", c), curl(address)), ["web-2"])


def internal_local_nobody():
    address = field("service", "internal-one", ".spec.clusterIP")
    return eventually(lambda: on("n1", curl(address)), "only-1"), eventually(lambda: on("n2", curl(address)), "no answer")


def close_zone():
    address = field("service", "close", ".spec.clusterIP")
    return [eventually(lambda n=n, w=w: several(lambda c: on(n, c), curl(address)), [w]) for n, w in (("n1", "web-1"), ("n2", "web-2"))]


def nobody():
    address = field("service", "nobody", ".spec.clusterIP")
    return eventually(lambda: on("n1", curl(address)), "refused"), on("n1", f"curl -s -m 3 http://{address}:99/")


def sticky():
    address = field("service", "sticky", ".spec.clusterIP")
    eventually(lambda: on("n1", curl(address)) in ("web-1", "web-2"))
    stays = len(several(lambda c: on("n1", c), curl(address), 20))
    # forgotten after two seconds of silence: sooner or later another endpoint is drawn
    seen = set()
    for _ in range(12):
        seen.add(on("n1", curl(address)))
        if len(seen) == 2:
            break
        time.sleep(3)
    return stays, len(seen)


def hairpin():
    address = field("service", "only", ".spec.clusterIP")
    probe = lambda: cluster.kubectl("exec", "only-1", "--", "/agnhost", "connect", f"{address}:80", "--timeout=3s") == ""
    return eventually(probe)


def udp_moves_on():
    """A client that never changes its port gets another endpoint when its own is gone."""
    apply(pod("udp-1", "n1", {"app": "udp"}))
    ready("pod/udp-1")
    address = field("service", "udp", ".spec.clusterIP")
    client = f"echo hostname | socat -t 1 - UDP:{address}:81,sourceport=34567"
    first = eventually(lambda: on("n2", client), "udp-1")
    apply(pod("udp-2", "n2", {"app": "udp"}))
    ready("pod/udp-2")
    cluster.kubectl("delete", "pod", "udp-1", "--wait=true")
    second = eventually(lambda: on("n2", client), "udp-2")
    cluster.kubectl("delete", "pod", "udp-2", "--wait=true")
    return first, second


def ending_still_serves():
    """The last endpoint answers new connections while it ends."""
    sleep = {"preStop": {"sleep": {"seconds": 15}}}
    apply(pod("ending-1", "n1", {"app": "ending"}, terminationGracePeriodSeconds=20, container={"lifecycle": sleep}))
    ready("pod/ending-1")
    address = field("service", "ending", ".spec.clusterIP")
    before = eventually(lambda: on("n2", curl(address)), "ending-1")
    cluster.kubectl("delete", "pod", "ending-1", "--wait=false")
    is_ending = lambda: "true" in field("endpointslices", "-lkubernetes.io/service-name=ending", ".items[*].endpoints[*].conditions.terminating")
    eventually(is_ending)
    during = several(lambda c: on("n2", c), curl(address), 5)
    cluster.kubectl("delete", "pod", "ending-1", "--force", "--ignore-not-found")
    return before, during, eventually(lambda: on("n2", curl(address)), "refused", 40)


CHECKS = [external_ips, balancer_address, balancer_source_ranges, external_local, health_checks, internal_local, internal_local_nobody,
          close_zone, nobody, sticky, hairpin, udp_moves_on, ending_still_serves]

with subtest("pods and Services of every kind"):
    for node, zone in (("n1", "a"), ("n2", "b")):
        cluster.kubectl("label", "node", node, f"topology.kubernetes.io/zone={zone}", "--overwrite")
    apply(pod("web-1", "n1", {"app": "web"}), pod("web-2", "n2", {"app": "web"}), pod("only-1", "n1", {"app": "only"}))
    balancer = {"type": "LoadBalancer", "loadBalancerClass": "example.com/none"}
    apply(
        service("external", externalIPs=["10.99.0.1"]), service("balancer", **balancer),
        service("others", **balancer, loadBalancerSourceRanges=["192.0.2.0/24"]),
        service("ours", **balancer, loadBalancerSourceRanges=[f"{OUTSIDE}/32", cluster.network.subnet]),
        service("local", "only", **balancer, externalTrafficPolicy="Local"), service("internal", internalTrafficPolicy="Local"),
        service("internal-one", "only", internalTrafficPolicy="Local"), service("close", trafficDistribution="PreferSameZone"),
        service("nobody", "nobody"), service("only", "only"), service("udp", "udp", udp=True), service("ending", "ending"),
        service("sticky", sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 2}}),
    )
    for name, ip in (("balancer", "10.99.0.2"), ("others", "10.99.0.3"), ("ours", "10.99.0.4")):
        status = {"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}
        cluster.kubectl("patch", "service", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    ready("pod", "--all")
    outside(f"ip route replace 10.99.0.0/24 via {NODES['n1']}")

outcomes = {}
for choice in ("ours", "upstream"):
    cluster.swap({"proxy": choice})
    for machine in machines:
        if choice == "upstream":
            machine.succeed("nft delete table ip k3s-rs-services; nft delete table ip6 k3s-rs-services")
    for check in CHECKS:
        with subtest(f"{choice}: {check.__name__}"):
            outcomes.setdefault(check.__name__, {})[choice] = check()
            print(outcomes[check.__name__][choice], end=" ", flush=True)

for name, both in outcomes.items():
    print(f"  {name}: {both['ours']}" + ("" if both["ours"] == both["upstream"] else f"  BUT upstream: {both['upstream']}"))
for name, both in outcomes.items():
    t.assertEqual(both["upstream"], both["ours"], name)
