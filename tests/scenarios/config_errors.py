# A configuration with errors: all of them at once, status 78, nothing started, and mended by a new start.
# machines: server
# needs: installation

BROKEN = '{"cluster-cidr": "10.42.0.0", "https-listen-port": "many", "flannel-backend": "udp", "no-such-key": 1}'
GOOD = '{"write-kubeconfig-mode": "0644", "disable-agent": true}'


def configure(machine, text):
    machine.succeed(f"mkdir -p /etc/rancher/k3s && echo '{text}' > /etc/rancher/k3s/config.yaml")


start_all()

with subtest("three errors in one answer"):
    configure(server, BROKEN)
    status, text = server.execute("k3s-rs bootstrap server", check_return=False)
    t.assertEqual(78, status, text)
    for error in (
        "invalid cluster-cidr 10.42.0.0: invalid CIDR address: 10.42.0.0",
        'https-listen-port: invalid value "many": not a number',
        'flannel-backend: unknown backend "udp"',
    ):
        t.assertIn(error, text)

with subtest("the unit says the same, is not tried again, and no daemon starts"):
    server.fail("systemctl start k3s-rs-bootstrap.service")
    t.assertEqual("78", server.get_unit_property("k3s-rs-bootstrap.service", "ExecMainStatus"))
    t.assertEqual("0", server.get_unit_property("k3s-rs-bootstrap.service", "NRestarts"))
    journal = server.succeed("journalctl --no-pager -o cat -u k3s-rs-bootstrap.service")
    for word in ("invalid CIDR address", "https-listen-port", "flannel-backend"):
        t.assertIn(word, journal)
    server.execute("systemctl start k3s-rs-server.target", check_return=False)
    t.assertEqual("inactive", server.get_unit_property("k3s-rs-apiserver.service", "ActiveState"))
    server.succeed("systemctl stop k3s-rs-server.target")

with subtest("check-config tells without touching anything"):
    status, text = server.execute("k3s-rs check-config server", check_return=False)
    t.assertEqual(78, status, text)
    server.fail("test -e /var/lib/rancher/k3s/server/tls")

with subtest("unknown keys are skipped with k3s's words"):
    status, text = server.execute("k3s-rs check-config server", check_return=False)
    configure(server, '{"no-such-key": 1, "disable-agent": true}')
    text = server.execute("k3s-rs check-config server 2>&1", check_return=False)[1]
    t.assertIn("Unknown flag --no-such-key found in config.yaml, skipping", text)

with subtest("a taken port is the socket's failure, and status names who has it"):
    configure(server, GOOD)
    server.succeed("systemd-run --unit=thief socat TCP-LISTEN:6443,fork,reuseaddr EXEC:cat")
    server.wait_for_open_port(6443, timeout=30)
    server.fail("systemctl start k3s-rs-apiserver.socket")
    t.assertIn("Address already in use", server.succeed("journalctl --no-pager -o cat -u k3s-rs-apiserver.socket"))
    server.succeed("systemctl stop thief")
    server.wait_for_closed_port(6443, timeout=30)
    server.succeed("systemctl reset-failed 'k3s-rs-*'")

with subtest("mended, it starts"):
    server.succeed("systemctl start k3s-rs-server.target", timeout=120)
    server.wait_for_unit("k3s-rs-apiserver.service", timeout=60)
    server.wait_until_succeeds("kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml get --raw /readyz", timeout=60)
    t.assertEqual("inactive", server.get_unit_property("k3s-rs-kubelet.service", "ActiveState"))
