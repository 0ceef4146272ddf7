# The units as installed: verified, as exposed as they may be at most, and at work under their hardening.
# machines: server
# needs: installation

KUBECTL = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"
# exposure as systemd-analyze security prints it, at most
CEILINGS = {"datastore": 0.4, "apiserver": 1.2, "controller": 1.2, "scheduler": 1.2, "flannel": 1.9, "proxy": 1.9, "kubelet": 7.3}

start_all()
server.succeed("mkdir -p /etc/rancher/k3s && echo '{\"write-kubeconfig-mode\": \"0644\"}' > /etc/rancher/k3s/config.yaml")

with subtest("systemd-analyze verify is clean"):
    listed = "ls /usr/lib/systemd/system/k3s-rs-*.* /usr/lib/systemd/system/k3srs*.slice"
    said = server.succeed(f"systemd-analyze verify --man=no $({listed}) 2>&1")
    t.assertEqual("", "\n".join(line for line in said.splitlines() if "k3s" in line), said)

with subtest("no unit is more exposed than it may be"):
    for name, most in CEILINGS.items():
        line = server.succeed(f"systemd-analyze security --no-pager k3s-rs-{name}.service | tail -1")
        score = float(line.split(":")[1].split()[0])
        print(f"{name} {score}", end=" … ", flush=True)
        t.assertLessEqual(score, most, line)

with subtest("they work under it"):
    server.succeed("systemctl start k3s-rs-server.target", timeout=180)
    for name in CEILINGS:
        server.wait_for_unit(f"k3s-rs-{name}.service", timeout=240)
    server.wait_until_succeeds(f"{KUBECTL} get --raw /readyz", timeout=240)
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node --all --timeout=1s", timeout=240)
    server.succeed(f"{KUBECTL} create deployment web --image=rancher/mirrored-library-busybox:1.37.0 --replicas=2 -- sleep infinity")
    server.succeed(f"{KUBECTL} rollout status deployment web --timeout=240s", timeout=300)

with subtest("each daemon's credentials are its own"):
    for name in ("apiserver", "controller", "datastore", "flannel", "proxy"):
        t.assertEqual(f"700 k3s-rs-{name}", server.succeed(f"stat -c '%a %U' /run/k3s-rs/{name}").strip())
    server.fail("runuser -u k3s-rs-proxy -- cat /run/k3s-rs/controller/client-ca.key")
    server.fail("runuser -u k3s-rs-apiserver -- cat /var/lib/rancher/k3s/server/tls/client-ca.key")
    server.fail("test -e /run/k3s-rs/apiserver/client-ca.key")

with subtest("certificates are renewed in place, no daemon is restarted"):
    before = {name: server.get_unit_property(f"k3s-rs-{name}.service", "MainPID") for name in CEILINGS}
    old = server.succeed("openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial")
    server.succeed("k3s-rs certificate rotate", timeout=240)
    new = f"openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial | grep -v '{old.strip()}'"
    server.wait_until_succeeds(new, timeout=240)
    for name, pid in before.items():
        t.assertEqual(pid, server.get_unit_property(f"k3s-rs-{name}.service", "MainPID"), name)
    server.succeed(f"{KUBECTL} scale deployment web --replicas=3")
    server.succeed(f"{KUBECTL} rollout status deployment web --timeout=240s", timeout=300)
    t.assertNotIn("EXPIRED", server.succeed("k3s-rs certificate check"))
