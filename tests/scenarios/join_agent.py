# An agent joins: the server's authority pinned by the token, names guarded by node passwords, and never a failed boot.
# machines: server agent
# needs: installation

import json

KUBECTL = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"
JOURNAL = "journalctl --no-pager -o cat -u k3s-rs-bootstrap.service"


def configure(machine, settings):
    machine.succeed(f"mkdir -p /etc/rancher/k3s && echo '{json.dumps(settings)}' > /etc/rancher/k3s/config.yaml")


def address(machine):
    return machine.succeed("ip -4 -o addr show eth0 | awk '{print $4}'").split("/")[0]


def retry_with(**settings):
    agent.succeed("systemctl stop k3s-rs-agent.target k3s-rs-bootstrap.service; journalctl --rotate --vacuum-time=1s -q || true")
    configure(agent, {"server": f"https://{address(server)}:6443", **settings})
    agent.succeed("systemctl --no-block start k3s-rs-agent.target")


start_all()

with subtest("without a server the agent waits, says so, and nothing has failed"):
    retry_with(token="K10" + "a" * 64 + "::server:nothing")
    agent.wait_until_succeeds(f"{JOURNAL} | grep 'server is not ready'", timeout=240)
    t.assertEqual("activating", agent.get_unit_property("k3s-rs-bootstrap.service", "ActiveState"))
    t.assertIn("Joining https://", agent.get_unit_property("k3s-rs-bootstrap.service", "StatusText"))
    agent.wait_for_unit("multi-user.target", timeout=240)

with subtest("the server comes up"):
    configure(server, {"write-kubeconfig-mode": "0644"})
    server.succeed("systemctl start k3s-rs-server.target", timeout=180)
    server.wait_until_succeeds(f"{KUBECTL} get --raw /readyz", timeout=240)
token = server.succeed("cat /var/lib/rancher/k3s/server/node-token").strip()
t.assertRegex(token, r"^K10[0-9a-f]{64}::server:[0-9a-f]{32}$")

with subtest("a wrong hash of the authority"):
    agent.wait_until_succeeds(f"{JOURNAL} | grep 'token CA hash does not match the Cluster CA certificate hash: aaaa'", timeout=240)

with subtest("a wrong password"):
    retry_with(token=token.rsplit(":", 1)[0] + ":wrong")
    agent.wait_until_succeeds(f"{JOURNAL} | grep '/v1-k3s/config: 401 Unauthorized'", timeout=240)

with subtest("a name that is taken"):
    retry_with(token=token, **{"node-name": "server"})
    agent.wait_until_succeeds(f"{JOURNAL} | grep 'Node password rejected, duplicate hostname'", timeout=240)

with subtest("the right token"):
    retry_with(token=token)
    agent.wait_for_unit("k3s-rs-kubelet.service", timeout=240)
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node/agent node/server --timeout=1s", timeout=240)
    secret = json.loads(server.succeed(f"{KUBECTL} -n kube-system get secret agent.node-password.k3s -o json"))
    t.assertEqual((True, "k3s.cattle.io/node-password"), (secret["immutable"], secret["type"]))
    owner = server.succeed(f"{KUBECTL} get node agent -o jsonpath={{.metadata.uid}}").strip()
    server.wait_until_succeeds(f"{KUBECTL} -n kube-system get secret agent.node-password.k3s -o 'jsonpath={{.metadata.ownerReferences[*].uid}}' | grep {owner}", timeout=60)

with subtest("what the supervisor says, and to whom"):
    base = "curl -sk https://127.0.0.1:6443"
    t.assertEqual("pong", server.succeed(f"{base}/ping"))
    t.assertEqual(server.succeed("cat /var/lib/rancher/k3s/server/tls/server-ca.crt"), server.succeed(f"{base}/cacerts"))
    t.assertEqual("401", server.succeed(f"{base}/v1-k3s/config -o /dev/null -w '%{{http_code}}'"))
    password = token.rsplit(":", 1)[1]
    config = json.loads(server.succeed(f"{base}/v1-k3s/config -u node:{password}"))
    t.assertEqual("//8AAA==", config["ClusterIPRange"]["Mask"])
    t.assertEqual([f"{address(server)}:6443"], json.loads(server.succeed(f"{base}/v1-k3s/apiservers -u node:{password}")))
    t.assertEqual("ok", server.succeed(f"{base}/v1-k3s/readyz -u node:{password}"))
    old = server.succeed(f"{base}/v1-k3s/client-kube-proxy.crt -u node:{password}")
    t.assertIn("PRIVATE KEY", old)
    t.assertEqual("400", server.succeed(f"{base}/v1-k3s/client-kubelet.crt -u node:{password} -o /dev/null -w '%{{http_code}}'"))
    t.assertEqual("404", server.succeed(f"{base}/static/../cred/passwd --path-as-is -o /dev/null -w '%{{http_code}}'"))

with subtest("a restart without a server takes what the last join said"):
    server.succeed("systemctl stop k3s-rs-apiserver.socket k3s-rs-apiserver.service")
    agent.succeed("systemctl restart k3s-rs-bootstrap.service", timeout=240)
    agent.wait_for_unit("k3s-rs-kubelet.service", timeout=240)
    server.succeed("systemctl start k3s-rs-apiserver.socket k3s-rs-apiserver.service", timeout=240)
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node/agent --timeout=1s", timeout=240)

with subtest("a deleted node may come back under another password"):
    agent.succeed("systemctl stop k3s-rs-agent.target k3s-rs-kubelet k3s-rs-bootstrap && rm -r /etc/rancher/node /var/lib/rancher/k3s/agent/*.crt")
    server.succeed(f"{KUBECTL} delete node agent")
    server.wait_until_fails(f"{KUBECTL} -n kube-system get secret agent.node-password.k3s", timeout=60)
    agent.succeed("systemctl start k3s-rs-agent.target", timeout=240)
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node/agent --timeout=1s", timeout=240)

with subtest("a token of its own, for a while"):
    made = server.succeed("k3s-rs token create --ttl 1h --description test").strip()
    t.assertRegex(made, r"^K10[0-9a-f]{64}::[a-z0-9]{6}\.[a-z0-9]{16}$")
    secret = made.split("::")[1]
    t.assertIn(secret, server.succeed("k3s-rs token list"))
    t.assertEqual("ok", server.succeed(f"{base}/v1-k3s/readyz -H 'Authorization: Bearer {secret}'"))
    server.succeed(f"k3s-rs token delete {secret}")
    t.assertEqual("401", server.succeed(f"{base}/v1-k3s/readyz -H 'Authorization: Bearer {secret}' -o /dev/null -w '%{{http_code}}'"))

with subtest("the server's token exchanged, without a restart: the old one counts no more, who has joined stays"):
    code = f"{base}/v1-k3s/readyz -o /dev/null -w '%{{http_code}}' -u"
    status, text = server.execute("k3s-rs token rotate --token K10wrong --new-token s3cret", check_return=False)
    t.assertEqual((1, True), (status, "not authorized" in text), text)
    made = server.succeed("k3s-rs token rotate --new-token s3cret").strip()
    t.assertEqual(token.rsplit(":", 1)[0] + ":s3cret", made)
    t.assertEqual(made, server.succeed("cat /var/lib/rancher/k3s/server/node-token").strip())
    server.wait_until_succeeds(f"test $({code} server:s3cret) = 200", timeout=240)
    t.assertEqual("401", server.succeed(f"{code} node:{password}"))
    server.succeed("systemctl start k3s-rs-renew.service", timeout=240)
    t.assertEqual(made, server.succeed("cat /var/lib/rancher/k3s/server/node-token").strip())
    server.succeed(f"{KUBECTL} wait --for=condition=Ready node/agent --timeout=1s")
    retry_with(token=made)
    agent.wait_for_unit("k3s-rs-kubelet.service", timeout=240)
