# What a daemon says when it cannot go on, what journalctl explains of it, and the watchdog that ends one that hangs.
# machines: server
# needs: installation
# slow

DAEMONS = ("datastore", "apiserver", "controller", "scheduler", "kubelet", "proxy", "flannel")
KUBECTL = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml"


def journal(name, more=""):
    return server.succeed(f"journalctl --no-pager -o cat -u k3s-rs-{name}.service {more}")


server.succeed("journalctl --update-catalog; mkdir -p /etc/rancher/k3s; systemctl start k3s-rs-server.target", timeout=180)
server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node --all --timeout=1s", timeout=120)

with subtest("an error's whole chain is in the line people see, and in a field of its own"):
    server.succeed("systemctl stop k3s-rs-scheduler.socket k3s-rs-scheduler.service; mv /run/k3s-rs/scheduler/kubeconfig /run/kubeconfig")
    server.execute("systemctl start k3s-rs-scheduler.service", check_return=False)
    line = server.wait_until_succeeds("journalctl --no-pager -o cat -u k3s-rs-scheduler.service | grep '^Stopped by an error: '", timeout=30)
    t.assertRegex(line, r"Stopped by an error: .*/run/k3s-rs/scheduler/kubeconfig.*: No such file or directory \(os error 2\)")
    cause = line.splitlines()[0].removeprefix("Stopped by an error: ")
    t.assertIn(cause, server.succeed("journalctl --no-pager -o json -u k3s-rs-scheduler.service --output-fields=K3S_RS_ERROR"))

with subtest("journalctl -x explains it"):
    text = server.succeed("journalctl --no-pager -x -u k3s-rs-scheduler.service")
    t.assertIn("Subject: k3s-rs-scheduler stopped by an error", text)
    t.assertIn(cause, text.split("Subject: k3s-rs-scheduler stopped by an error")[1])
    server.succeed("mv /run/kubeconfig /run/k3s-rs/scheduler/kubeconfig; systemctl reset-failed k3s-rs-scheduler.service; systemctl start k3s-rs-scheduler.socket k3s-rs-scheduler.service")
    t.assertIn("Subject: k3s-rs-apiserver serves", server.succeed("journalctl --no-pager -x -u k3s-rs-apiserver.service"))

with subtest("every daemon has a watchdog and feeds it"):
    for name in DAEMONS:
        server.wait_for_unit(f"k3s-rs-{name}.service", timeout=60)
        t.assertNotIn(server.get_unit_property(f"k3s-rs-{name}.service", "WatchdogUSec"), ("0", "infinity"), name)
    # shorter, so that a daemon that gives no sign shows within seconds
    for name in DAEMONS:
        server.write_file(f"/run/systemd/system/k3s-rs-{name}.service.d/test.conf", "[Service]\nWatchdogSec=8\n")
    server.succeed("systemctl daemon-reload")
    for name in DAEMONS:
        server.succeed(f"systemctl restart k3s-rs-{name}.service", timeout=120)
    pids = {name: server.get_unit_property(f"k3s-rs-{name}.service", "MainPID") for name in DAEMONS}
    since = server.succeed("cat /proc/uptime | cut -d. -f1").strip()
    server.wait_until_succeeds(f"test $(cut -d. -f1 /proc/uptime) -gt $(({since} + 20))", timeout=60)
    for name, pid in pids.items():
        t.assertEqual(pid, server.get_unit_property(f"k3s-rs-{name}.service", "MainPID"), f"{name}: {journal(name, '-n 5')}")

with subtest("one that hangs is ended and started again"):
    for name in DAEMONS:
        server.succeed(f"kill -STOP {pids[name]}")
        changed = f"test $(systemctl show -P MainPID k3s-rs-{name}.service) != {pids[name]} && systemctl is-active k3s-rs-{name}.service"
        server.wait_until_succeeds(changed, timeout=90)
        t.assertIn("Watchdog timeout", journal(name))
    server.wait_until_succeeds(f"{KUBECTL} wait --for=condition=Ready node --all --timeout=1s", timeout=60)
